"""Gates, signals and schedules of ReGap, as far as they follow from its reconstruction."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defenses.drift_correction import DriftCorrection
from defenses.regap import SPARED, ReGap
from harness.contracts import PluginError
from harness.gates import Ramp
from harness.residual import read
from tests import tiny_world as tiny

OPEN = {"gate": "hard", "tau": -1e9}
SCORES = st.lists(st.floats(-50, 50), min_size=2, max_size=40)


def regap(**params: Any) -> ReGap:
    return ReGap(**{"alpha_max": 2.0, "alpha0": 1.0, **params}).fit(tiny.model(), tiny.calibration())


def answers(defense: Any) -> list[Any]:
    return defense.wrap(tiny.model()).generate(list(tiny.prompts()), tiny.SHORT)  # type: ignore[no-any-return]


@pytest.mark.parametrize("orthogonalise", ["none", "d_perp_r"])
def test_an_open_gate_is_the_fixed_correction(orthogonalise: Any) -> None:
    fixed = DriftCorrection(alpha=2.0, orthogonalise=orthogonalise, drift_class="balanced")
    fixed.fit(tiny.model(), tiny.calibration())
    adaptive = regap(orthogonalise=orthogonalise, **OPEN)
    assert [r.text for r in answers(adaptive)] == [r.text for r in answers(fixed)]


def test_a_closed_gate_is_the_undefended_model() -> None:
    closed = answers(regap(gate="hard", tau=1e9, orthogonalise="none"))
    assert [r.text for r in closed] == [r.text for r in tiny.model().generate(list(tiny.prompts()), tiny.SHORT)]
    assert all(r.trace.triggered is False for r in closed)


def test_no_trial_correction_gives_no_signal() -> None:
    for prompt, response in zip(tiny.prompts(), answers(regap(alpha0=0.0)), strict=True):
        if prompt.media:
            assert response.trace.signals["self_rectification"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("signal", "passes"), [("gap", 2), ("ratio", 2), ("absolute", 1)])
def test_two_passes_are_counted_and_only_for_media(signal: Any, passes: int) -> None:
    for prompt, response in zip(tiny.prompts(), answers(regap(signal=signal)), strict=True):
        assert response.cost.extra_forward_passes == (passes if prompt.media else 0)
        assert ("self_rectification" in response.trace.signals) == bool(prompt.media)


def test_one_pass_needs_no_extra_pass_and_hears_the_same_signal() -> None:
    one = regap(schedule="one_pass", signal="absolute", orthogonalise="none")
    expected = one.signals(tiny.model(), [p for p in dict.fromkeys(tiny.prompts()) if p.media])
    for prompt, response in zip(tiny.prompts(), answers(one), strict=True):
        assert response.cost.extra_forward_passes == 0
        if prompt.media:
            assert response.trace.score == pytest.approx(expected[prompt.id], abs=1e-4)
            share = Ramp("clipped_linear", one.tau_, one.width_)(response.trace.score)
            assert response.trace.signals["alpha"] == pytest.approx(2.0 * share, abs=1e-3)


def test_one_pass_with_a_closed_gate_is_the_trial_correction_alone() -> None:
    one = regap(schedule="one_pass", signal="absolute", gate="hard", tau=1e9, orthogonalise="none")
    trial = DriftCorrection(alpha=1.0, layers=one.layers_.tolist(), drift_class="balanced")
    trial.fit(tiny.model(), tiny.calibration())
    assert [r.text for r in answers(one)] == [r.text for r in answers(trial)]


def test_gamma_pushes_towards_refusal_by_what_is_heard_and_only_so() -> None:
    prompts = [s.prompt for s in tiny.samples("test", 6) if s.prompt.media]
    states = []
    for gamma in (0.0, 5.0):
        defense = regap(schedule="one_pass", signal="absolute", gate="hard", tau=1e9, gamma=gamma)
        doses = defense.doses(tiny.model(), prompts)
        with defense.steer(tiny.model(), doses):
            states.append(read(tiny.model(), prompts))
    heard = torch.tensor([doses[p.id].score for p in prompts])
    assert (heard > 0.05).any() and (heard < -0.05).any()
    layer = defense.later_layers_.tolist()[0]
    expected = 5.0 * heard.clamp_min(0)[:, None] * defense.refusal_[layer]
    torch.testing.assert_close((states[1] - states[0])[:, layer], expected, atol=1e-4, rtol=1e-4)


def test_layers_of_the_signal() -> None:
    two = regap(layers=[0, 1])
    assert two.signal_layers_.tolist() == [2, 3] and two.later_layers_.numel() == 0
    one = regap(layers=[0, 1, 2], schedule="one_pass", signal="absolute")
    assert (one.layers_.tolist(), one.signal_layers_.tolist(), one.later_layers_.tolist()) == ([0], [1], [2])
    for wrong in ({"layers": [1, 3]}, {"layers": [2], "signal_layers": [1]}):
        with pytest.raises(PluginError, match="no room"):
            regap(**wrong)
    with pytest.raises(PluginError, match="signal=absolute"):
        ReGap(schedule="one_pass")
    with pytest.raises(PluginError, match="one_pass"):
        ReGap(gamma=1.0)


def test_thresholds_come_from_calibration_and_can_be_given() -> None:
    found = regap(orthogonalise="none")
    benign = found.signals(tiny.model(), tiny.calibration().validation.media("benign"))
    above = sum(s > found.tau_ for s in benign.values()) / len(benign)
    assert above <= 0.06 + 1 / len(benign) and found.width_ > 0
    given_ = regap(tau=0.5, width=2.0)
    assert (given_.tau_, given_.width_) == (0.5, 2.0)


def test_the_share_of_benign_prompts_that_is_spared_sets_the_gate() -> None:
    taus = [regap(orthogonalise="none", spared=s).tau_ for s in (0.95, 0.8, 0.5)]
    assert taus[0] > taus[1] > taus[2]
    auto = regap(orthogonalise="none", max_over_refusal=1.0)
    assert auto.tau_ in [regap(orthogonalise="none", spared=s).tau_ for s in SPARED]
    assert regap(orthogonalise="none", tau=0.25).tau_ == 0.25
    with pytest.raises(PluginError, match="share"):
        ReGap(spared=1.5)


def test_the_sign_flip_keeps_the_gate() -> None:
    there, back = (regap(orthogonalise="none", sign=s) for s in (1, -1))
    scores = [[r.trace.score for r in answers(d) if r.trace.score is not None] for d in (there, back)]
    assert len(scores[0]) == sum(bool(p.media) for p in tiny.prompts())
    assert scores[0] == pytest.approx(scores[1])


@given(harmful=SCORES, benign=SCORES, gate=st.sampled_from(["clipped_linear", "sigmoid", "hard"]))
def test_ramps_rise_from_zero_to_one(harmful: list[float], benign: list[float], gate: Any) -> None:
    ramp = Ramp.calibrated(gate, harmful, benign)
    shares = [ramp(s) for s in sorted(harmful + benign)]
    assert all(0 <= a <= b <= 1 for a, b in zip(shares, shares[1:], strict=False))
    # The percentile is interpolated, so one benign score more than 5 % may lie above it.
    assert sum(ramp(s) > 0.5 for s in benign) <= 0.05 * len(benign) + 1
    assert ramp(float(torch.finfo(torch.float32).max)) == 1 and ramp(-1e30) == 0


def test_a_calibrated_ramp_opens_fully_for_half_of_the_harmful() -> None:
    ramp = Ramp.calibrated("clipped_linear", [2.0, 3.0, 4.0], [-1.0, 0.0, 1.0])
    assert ramp(0.8) == 0 and 0 < ramp(2.0) < 1 and ramp(3.0) == pytest.approx(1) and ramp(4.0) == 1
