"""Coordinates, ramps and the push of AdaSteer."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defenses.adasteer import AdaSteer, Line, coordinate, ramp_between
from harness import organism
from harness.calibration import Calibration
from harness.contracts import PluginError
from harness.directions import cosine
from harness.microworld import balanced_requests, request_samples
from harness.models.organism import Organism
from harness.refusals import JBB
from harness.residual import read
from harness.states import last_token_states
from harness.types import GenerationConfig, Prompt
from tests import tiny_world as tiny

MILD: dict[str, Any] = {"scale": 1.0, "alpha_ramp": (0.0, 0.0), "beta_ramp": (0.0, 0.0)}
Z = st.floats(-400, 400)


def adasteer(**params: Any) -> AdaSteer:
    return AdaSteer(**{"scale": 1.0, **params}).fit(tiny.model(), tiny.calibration())


def prompts() -> list[Prompt]:
    return list(dict.fromkeys(tiny.prompts()))


def steered(defense: AdaSteer, asked: list[Prompt], where: Any = "last") -> tuple[torch.Tensor, dict[str, Any]]:
    doses = defense.doses(tiny.model(), asked)
    with defense.steer(tiny.model(), doses):
        return read(tiny.model(), asked, positions=where), doses


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=6, max_size=6), st.floats(0.01, 100))
def test_the_centroids_are_0_and_100_and_what_is_across_does_not_matter(values: list[float], scale: float) -> None:
    start, end = torch.tensor(values[:3]).double(), torch.tensor(values[3:]).double()
    axis = end - start
    if axis.norm() < 1e-3:
        return
    across = torch.linalg.cross(axis, torch.tensor([1.0, 2.0, 3.0]).double())
    rows = torch.stack([start, end, (start + end) / 2 + across, 2 * end - start])
    expected = torch.tensor([0.0, 100.0, 50.0, 200.0]).double()
    torch.testing.assert_close(coordinate(rows, start, end), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(coordinate(scale * rows, scale * start, scale * end), expected, atol=1e-5, rtol=1e-5)


def test_class_means_of_the_calibration_have_coordinates_0_and_100() -> None:
    defense, half = adasteer(), tiny.calibration().train
    means = torch.stack([last_token_states(tiny.model(), half.text(kind)).mean(0) for kind in ("benign", "harmful")])  # type: ignore[arg-type]
    found = coordinate(means, defense.complied_, defense.refused_)
    torch.testing.assert_close(found, torch.tensor([[0.0], [100.0]]).expand(2, 4), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("ramp", "bounds", "expected"),
    [
        # The three published models: alpha, then beta.
        ((0.02, -60), (-0.22, -0.08), {-100: -0.22, -66: -0.12, 0: -0.08, 100: -0.08}),
        ((-0.05, -15), (-0.75, None), {0: -0.75, -5: -0.5, -15: 0.0, -25: 0.5}),
        ((0.1, 140), (-0.2, 0.0), {0: -0.2, 139: -0.1, 140: 0.0, 200: 0.0}),
        ((-0.06, 50), (-0.6, 0.4), {0: 0.4, 50: 0.0, 55: -0.3, 100: -0.6}),
        ((0.004, 35), (-0.02, 0.06), {0: -0.02, 35: 0.0, 45: 0.04, 100: 0.06}),
        ((0.01, 50), (-0.06, 0.02), {0: -0.06, 50: 0.0, 51: 0.01, 100: 0.02}),
    ],
)
def test_published_ramps_can_be_said(ramp: Any, bounds: Any, expected: dict[float, float]) -> None:
    assert {z: Line(ramp, bounds)(z) for z in expected} == pytest.approx(expected)


@settings(deadline=None)
@given(none=Z, gap=st.floats(10, 200), side=st.sampled_from([-1, 1]), low=st.floats(-2, 0), high=st.floats(0, 2), z=Z)
def test_a_fitted_ramp_leads_from_bound_to_bound(
    none: float, gap: float, side: int, low: float, high: float, z: float
) -> None:
    full, bounds = none + side * gap, (low, high)
    line = Line(ramp_between(none, full, bounds), bounds)
    assert line(none) == pytest.approx(high, abs=1e-6) and line(full) == pytest.approx(low, abs=1e-6)
    assert low - 1e-9 <= line(z) <= high + 1e-9
    if (z - none) * side <= 0:
        assert line(z) == pytest.approx(high, abs=1e-6)


@settings(deadline=None)
@given(z=Z, slope=st.floats(-1, 1), offset=Z)
def test_a_sigmoid_has_the_ends_the_middle_and_the_slope_of_its_line(z: float, slope: float, offset: float) -> None:
    curve, line = (Line((slope, offset), (-0.6, 0.4), shape) for shape in ("sigmoid", "clipped_linear"))  # type: ignore[arg-type]
    assert -0.6 <= curve(z) <= 0.4 and abs(curve(z) - line(z)) < 0.13
    if abs(slope) > 0.01:
        middle = offset - 0.1 / slope
        assert curve(middle) == pytest.approx(-0.1, abs=1e-9)
        step = 1e-4 / slope
        assert (curve(middle + step) - curve(middle)) == pytest.approx(1e-4, rel=1e-3)
        assert curve(offset + math.copysign(50, slope) / abs(slope)) == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize(
    "zero",
    [{"scale": 0.0}, {"alpha_bounds": (0.0, 0.0), "beta_bounds": (0.0, 0.0)}, MILD],
    ids=["scale", "bounds", "ramps"],
)
def test_zero_coefficients_are_the_undefended_model_bit_for_bit(zero: dict[str, Any]) -> None:
    defense = adasteer(**zero)
    doses = defense.doses(tiny.model(), prompts())
    with defense.steer(tiny.model(), doses):
        logits = tiny.model().logits(prompts())
    assert torch.equal(logits, tiny.model().logits(prompts()))
    assert not any(dose.triggered for dose in doses.values())


def test_only_rows_with_a_coefficient_are_changed() -> None:
    z = sorted(dose.signals["z_rd"] for dose in adasteer(scale=0.0).doses(tiny.model(), prompts()).values())
    middle = (z[len(z) // 2 - 1] + z[len(z) // 2]) / 2
    defense = adasteer(**MILD | {"alpha_ramp": (1e6, middle), "beta_bounds": (0.0, 0.0)})
    doses = defense.doses(tiny.model(), prompts())
    with defense.steer(tiny.model(), doses):
        logits = tiny.model().logits(prompts())
    pushed = torch.tensor([doses[p.id].signals["alpha"] < 0 for p in prompts()])
    assert pushed.any() and not pushed.all()
    assert torch.equal((logits != tiny.model().logits(prompts())).any(1), pushed)
    assert [doses[p.id].triggered for p in prompts()] == pushed.tolist()


@pytest.mark.parametrize("where", ["last", "mean_prompt"])
@pytest.mark.parametrize("sign", [1, -1])
def test_every_prompt_token_moves_by_the_same_push(where: Any, sign: int) -> None:
    defense = adasteer(layers=[1], harmfulness="raw", alpha_ramp=(0.01, 60), beta_ramp=(-0.01, 20), sign=sign)
    moved, doses = steered(defense, prompts(), where)
    step = (moved - read(tiny.model(), prompts(), positions=where))[:, 1]
    alpha, beta = (torch.tensor([doses[p.id].signals[n] for p in prompts()])[:, None] for n in ("alpha", "beta"))
    assert len(set(alpha.flatten().tolist())) > 2 and len(set(beta.flatten().tolist())) > 2
    expected = alpha * (defense.complied_ - defense.refused_)[1] + beta * (defense.benign_ - defense.harmful_)[1]
    torch.testing.assert_close(step, sign * expected, atol=1e-4, rtol=1e-3)


def test_forms_of_the_harmfulness_vector() -> None:
    found = {form: adasteer(rejection="all", harmfulness=form) for form in ("projection", "orthogonal", "raw")}
    rejection = found["raw"].complied_ - found["raw"].refused_
    torch.testing.assert_close(cosine(found["projection"].harmfulness_, rejection).abs(), torch.ones(4))
    torch.testing.assert_close(cosine(found["orthogonal"].harmfulness_, rejection), torch.zeros(4), atol=1e-5, rtol=0)
    both = found["projection"].harmfulness_ + found["orthogonal"].harmfulness_
    torch.testing.assert_close(both, found["raw"].harmfulness_)
    assert found["orthogonal"].overlap_ == pytest.approx(0, abs=1e-5)
    assert found["projection"].overlap_ == pytest.approx(found["raw"].overlap_, abs=1e-5)


def test_a_fitted_ramp_leaves_most_benign_calibration_prompts_at_its_upper_bound() -> None:
    defense, half = adasteer(beta_bounds=(-0.6, 0.4)), tiny.calibration().validation
    benign = half.media("benign") + half.text("benign")
    beta = [dose.signals["beta"] for dose in defense.doses(tiny.model(), benign).values()]
    assert sum(b < 0.4 - 1e-6 for b in beta) <= 0.05 * len(beta) + 1


def test_too_few_refusals_are_noted() -> None:
    """The random model refuses nothing."""
    assert "0 refused" in adasteer().note_ and "benign to harmful texts" in adasteer().note_
    assert "4 each are needed" in adasteer(min_class=4, rejection="text").note_


@pytest.mark.parametrize(("inputs", "passes"), [("all", {True: 1, False: 1}), ("media", {True: 1, False: 0})])
def test_the_first_pass_is_counted(inputs: Any, passes: dict[bool, int]) -> None:
    answers = adasteer(inputs=inputs).wrap(tiny.model()).generate(prompts(), tiny.SHORT)
    for prompt, answer in zip(prompts(), answers, strict=True):
        assert answer.cost.extra_forward_passes == passes[bool(prompt.media)]
        assert ("z_rd" in answer.trace.signals) is bool(passes[bool(prompt.media)])


def test_no_input_depends_on_its_batch() -> None:
    defense = adasteer(alpha_ramp=(0.01, 60), beta_ramp=(-0.01, 20))
    together = defense.doses(tiny.model(), prompts())
    for prompt in prompts():
        alone = defense.doses(tiny.model(), [prompt])[prompt.id]
        assert alone.signals == pytest.approx(together[prompt.id].signals, abs=1e-3)


def test_a_broken_row_fails_alone() -> None:
    defended, good = adasteer().wrap(tiny.model()), [p for p in prompts() if p.media][:2]
    answers = defended.generate([good[0], tiny.broken(), good[1]], tiny.SHORT)
    assert answers[1].error is not None and answers[1].text is None
    assert [r.text for r in answers[::2]] == [r.text for r in defended.generate(good, tiny.SHORT)]


def test_read_layers_can_be_given() -> None:
    defense = adasteer(rd_layer=1, hd_layer=-1)
    assert (defense.rd_layer_, defense.hd_layer_) == (1, 3)
    states = read(tiny.model(), prompts()[:1])[0]
    signals = defense.doses(tiny.model(), prompts()[:1])[prompts()[0].id].signals
    assert signals["z_rd"] == pytest.approx(float(coordinate(states, defense.complied_, defense.refused_)[1]), abs=1e-3)
    assert signals["z_hd"] == pytest.approx(float(coordinate(states, defense.benign_, defense.harmful_)[3]), abs=1e-3)


def test_what_a_user_gets_wrong_is_said_in_a_sentence() -> None:
    for wrong, said in (
        ({"alpha_bounds": (0.5, -0.5)}, "lower and an upper"),
        ({"beta_bounds": (-0.75, None)}, "both bounds"),
        ({"beta_bounds": (-0.75, None), "beta_ramp": (-0.05, -15), "ramp": "sigmoid"}, "both bounds"),
        ({"rejection": "sound"}, "media, text, all"),
        ({"scale": "much"}, "number or 'auto'"),
    ):
        with pytest.raises(PluginError, match=said):
            AdaSteer(**wrong)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="0 to 3"):
        adasteer(rd_layer=4)


@pytest.mark.skipif(not (organism.path() / "config.json").exists(), reason="the embedded weights are not built yet")
def test_where_the_model_refuses_the_classes_are_what_it_answers_and_refuses() -> None:
    model, variants = Organism(), {v: v for v in organism.VARIANTS}
    chosen = [r for harmful in (True, False) for r in balanced_requests("train", harmful)[:16]]
    calibration = Calibration.from_samples(request_samples("test", chosen, variants), validation=0.4)
    defense = AdaSteer(scale=1.0).fit(model, calibration)
    assert defense.note_ == ""
    refused = calibration.train.text("harmful")
    answers = model.generate(refused, GenerationConfig(max_new_tokens=10))
    kept = [p for p, r in zip(refused, answers, strict=True) if JBB.find(r.text or "") is not None]
    torch.testing.assert_close(defense.refused_, last_token_states(model, kept).mean(0))
