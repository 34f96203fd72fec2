"""What the theory of drift correction promises, on a random model: the identities hold whatever the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from defenses.actadd import ActAdd
from defenses.adashield import AdaShield
from defenses.drift_correction import DriftCorrection
from defenses.random_direction import RandomDirection
from defenses.regap import ReGap
from harness.contracts import Model, PluginError
from harness.directions import orthogonal, projection, random_like, unit
from harness.residual import edit, read
from harness.states import last_token_states
from harness.steering import Dose, SteeringDefense
from harness.strength import choose
from harness.types import REFUSAL, GenerationConfig, Prompt, Response
from tests import tiny_world as tiny


def fitted(cls: Any, **params: Any) -> Any:
    return cls(**params).fit(tiny.model(), tiny.calibration())


def media_prompts() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def edited_states(defense: DriftCorrection, prompts: list[Prompt], strength: float = 1.0) -> torch.Tensor:
    with edit(tiny.model(), defense.layers_.tolist(), defense.change, positions="last", strength=strength):
        return read(tiny.model(), prompts)


def test_orthogonal_drift_leaves_the_refusal_projection_of_its_layer() -> None:
    defense = fitted(DriftCorrection, alpha=2.0, layers=[1], orthogonalise="d_perp_r")
    plain, corrected = read(tiny.model(), media_prompts()), edited_states(defense, media_prompts(), 2.0)
    assert (corrected - plain)[:, 1].norm() > 0.1
    along = [projection(states, defense.refusal_)[:, 1] for states in (plain, corrected)]
    torch.testing.assert_close(along[0], along[1], atol=1e-4, rtol=0)


def test_raw_drift_does_not() -> None:
    defense = fitted(DriftCorrection, alpha=2.0, layers=[1])
    plain, corrected = read(tiny.model(), media_prompts()), edited_states(defense, media_prompts(), 2.0)
    assert (projection(corrected - plain, defense.refusal_)[:, 1].abs() > 1e-3).all()


def test_orthogonalised_directions() -> None:
    drift = fitted(DriftCorrection, alpha=1.0, orthogonalise="d_perp_r", drift_class="balanced")
    refusal = fitted(DriftCorrection, alpha=1.0, orthogonalise="r_perp_d", drift_class="harmful")
    for defense in (drift, refusal):
        cosines = (unit(defense.drift_) * unit(defense.refusal_)).sum(-1)
        assert cosines.abs().max() < 1e-5
    once = orthogonal(drift.drift_, drift.refusal_)
    torch.testing.assert_close(once, drift.drift_, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["shift", "unit", "projection"])
def test_zero_strength_is_the_undefended_model_bit_for_bit(form: str) -> None:
    defense = fitted(DriftCorrection, alpha=0.0, form=form, positions="all", phase="both")
    prompts = list(tiny.prompts())
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        steered = tiny.model().logits(prompts)
    assert torch.equal(steered, tiny.model().logits(prompts))


def test_projection_removes_the_drift_coordinate_and_is_idempotent() -> None:
    defense = fitted(DriftCorrection, alpha=1.0, layers=[2], form="projection")
    corrected = edited_states(defense, media_prompts())
    left = projection(corrected - defense.text_mean_, defense.drift_)[:, 2]
    torch.testing.assert_close(left, torch.zeros_like(left), atol=1e-4, rtol=0)
    again = corrected[:, 2] - defense.correction(corrected[:, 2], 2)
    torch.testing.assert_close(again, corrected[:, 2], atol=1e-4, rtol=0)


def test_shift_of_one_brings_the_mean_of_the_calibration_pairs_to_that_of_text() -> None:
    defense = fitted(DriftCorrection, alpha=1.0, layers=[1])
    pairs = tiny.calibration().train.pairs("benign")
    corrected = edited_states(defense, [p.media for p in pairs])[:, 1].mean(0)
    torch.testing.assert_close(corrected, defense.text_mean_[1], atol=1e-3, rtol=0)


def test_relative_drift_is_zero_for_text_and_one_for_media_on_average() -> None:
    defense = fitted(DriftCorrection, alpha=1.0)
    pairs = tiny.calibration().train.pairs("benign")
    means = []
    for form in ("text", "media"):
        states = last_token_states(tiny.model(), [getattr(p, form) for p in pairs])
        relative = projection(states - defense.text_mean_, defense.drift_) / defense.drift_.norm(dim=-1)
        means.append(relative.mean(0))
    torch.testing.assert_close(means[0], torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(means[1], torch.ones(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("match", ["drift", "refusal"])
def test_random_direction_has_the_norm_and_nothing_else(match: str) -> None:
    drift, control = fitted(DriftCorrection, alpha=1.5), fitted(RandomDirection, alpha=1.5, match=match, seed=3)
    wanted = drift.drift_ if match == "drift" else drift.refusal_
    torch.testing.assert_close(control.drift_.norm(dim=-1), wanted.norm(dim=-1))
    assert control.layers_.equal(drift.layers_) and control.strength_ == drift.strength_
    assert not random_like(wanted, 3).equal(random_like(wanted, 4))
    assert random_like(wanted, 3).equal(control.drift_)


def test_sign_flip_moves_the_other_way_by_as_much() -> None:
    plain = read(tiny.model(), media_prompts())
    moves = []
    for sign in (1, -1):
        defense = fitted(DriftCorrection, alpha=1.0, layers=[1], sign=sign)
        with defense.steer(tiny.model(), defense.doses(tiny.model(), media_prompts())):
            moves.append((read(tiny.model(), media_prompts()) - plain)[:, 1])
    torch.testing.assert_close(moves[0], -moves[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("cls", [DriftCorrection, RandomDirection])
def test_text_is_left_alone(cls: Any) -> None:
    text = [p for p in tiny.prompts() if not p.media]
    defense = fitted(cls, **{"alpha": 40.0})
    plain = tiny.model().logits(text)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), text)):
        assert torch.equal(tiny.model().logits(text), plain)
    everything = fitted(cls, **{"alpha": 40.0, "inputs": "all"})
    with everything.steer(tiny.model(), everything.doses(tiny.model(), text)):
        assert not torch.equal(tiny.model().logits(text), plain)


def test_steering_sinks_to_the_root_in_both_orders() -> None:
    steering, prompting = fitted(ActAdd, scale=3.0), AdaShield()
    prompts = list(tiny.prompts())
    outer = steering.wrap(prompting.wrap(tiny.model()))
    inner = prompting.wrap(steering.wrap(tiny.model()))
    answers = [[r.text for r in m.generate(prompts, tiny.SHORT)] for m in (outer, inner)]
    assert answers[0] == answers[1]
    assert answers[0] != [r.text for r in prompting.wrap(tiny.model()).generate(prompts, tiny.SHORT)]
    assert answers[0] != [r.text for r in steering.wrap(tiny.model()).generate(prompts, tiny.SHORT)]


def test_steering_on_steering_adds_up() -> None:
    half = [fitted(DriftCorrection, alpha=a, layers=[1]) for a in (1.0, 2.0)]
    whole = fitted(DriftCorrection, alpha=3.0, layers=[1])
    prompts = media_prompts()
    stacked = half[0].wrap(half[1].wrap(tiny.model())).generate(prompts, tiny.SHORT)
    assert [r.text for r in stacked] == [r.text for r in whole.wrap(tiny.model()).generate(prompts, tiny.SHORT)]
    mixed = half[0].wrap(AdaShield().wrap(half[1].wrap(tiny.model())))
    assert len(mixed.generate(prompts, tiny.SHORT)) == len(prompts)


def test_a_broken_row_fails_alone() -> None:
    for defense in (fitted(DriftCorrection, alpha=1.0), fitted(ReGap, alpha_max=1.0), fitted(ActAdd, scale=0.1)):
        good = media_prompts()[:2]
        answers = defense.wrap(tiny.model()).generate([good[0], tiny.broken(), good[1]], tiny.SHORT)
        assert answers[1].error is not None and answers[1].text is None
        assert [r.text for r in answers[::2]] == [r.text for r in defense.wrap(tiny.model()).generate(good, tiny.SHORT)]


def test_what_a_user_gets_wrong_is_said_in_a_sentence() -> None:
    with pytest.raises(PluginError, match="not fitted"):
        DriftCorrection().wrap(tiny.model()).generate(media_prompts(), tiny.SHORT)
    with pytest.raises(PluginError, match="0 to 3"):
        fitted(DriftCorrection, alpha=1.0, layers=[7])
    with pytest.raises(PluginError, match="shift, unit, projection"):
        DriftCorrection(form="sideways")  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="number or 'auto'"):
        DriftCorrection(alpha="much")
    with pytest.raises(PluginError, match="fractions"):
        fitted(DriftCorrection, alpha=1.0, depth=(0.8, 0.2))


class Responding(SteeringDefense):
    """A known dose-response curve: refuses harmful prompts from strength 1, benign ones from 2, and breaks at 3."""

    inputs = "all"

    def doses(self, model: Model, prompts: Any) -> dict[str, Dose]:
        return {p.id: Dose(self.strength_) for p in prompts}

    def respond(self, model: Model, prompts: list[Prompt], config: GenerationConfig) -> list[Response]:
        harmful = {s.prompt.id for s in tiny.calibration().samples if s.kind == "harmful"}
        return [Response(self.answer(p.id in harmful)) for p in prompts]

    def answer(self, harmful: bool) -> str:
        strength = self.sign * self.strength_
        if strength >= 3:
            return "la la la la la la la la la la la la la la la la"
        return REFUSAL if strength >= (1 if harmful else 2) else "Certainly, here is a short answer for you."


class Answering(Model):
    def fingerprint(self) -> dict[str, Any]:
        return {}

    def generate(self, prompts: Any, config: GenerationConfig) -> list[Response]:
        return [Response("Certainly, here is a short answer for you.") for _ in prompts]


@pytest.mark.parametrize(
    ("allowed", "grid", "chosen"),
    [
        (0.05, (0.5, 1.0, 1.5, 2.0, 3.0), 1.0),
        (1.0, (0.5, 1.5, 2.0), 1.5),
        (0.05, (2.0, 3.0), 0.0),
        (0.05, (0.3, 0.8), 0.8),
    ],
)
def test_auto_takes_the_most_refusals_within_the_over_refusal_allowed(
    allowed: float, grid: tuple[float, ...], chosen: float
) -> None:
    defense = Responding()
    assert choose(defense, Answering(), tiny.calibration(), max_over_refusal=allowed, grid=grid) == chosen


def test_a_sign_flipped_control_is_as_strong_as_the_method() -> None:
    flipped = Responding()
    flipped.sign = -1
    assert choose(flipped, Answering(), tiny.calibration(), max_over_refusal=0.05, grid=(0.9, 1.5)) == 1.5
    assert flipped.sign == -1


def test_calibration_prompts_are_read_once_for_all_defenses(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted(DriftCorrection, alpha=1.0)

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("harness.residual.read", never)
    fitted(RandomDirection, alpha=1.0)
    fitted(ActAdd, scale=1.0)


def test_each_medium_is_corrected_by_its_own_drift() -> None:
    """A tiny model has one medium, so a second one is planted; prompts of other media get the pooled drift."""
    prompts = media_prompts()
    pooled = fitted(DriftCorrection, alpha=1.0, layers=[1])
    assert pooled.media_ == [] and len(pooled.drifts_) == 0
    own = fitted(DriftCorrection, alpha=1.0, layers=[1])
    other = torch.randn(own.drift_.shape, generator=torch.Generator().manual_seed(0))
    moved = {}
    plain = read(tiny.model(), prompts)[:, 1]
    for media in (["image", "video"], ["audio", "video"]):
        own.media_, own.drifts_ = media, torch.stack([other, other])
        with own.steer(tiny.model(), own.doses(tiny.model(), prompts)):
            moved[media[0]] = plain - read(tiny.model(), prompts)[:, 1]
    torch.testing.assert_close(moved["image"], other[1].expand_as(plain), atol=1e-4, rtol=0)
    torch.testing.assert_close(moved["audio"], own.drift_[1].expand_as(plain), atol=1e-4, rtol=0)


def test_one_refusal_direction_for_all_layers() -> None:
    defense = fitted(DriftCorrection, alpha=1.0, refusal_from="best", orthogonalise="d_perp_r")
    first = unit(defense.refusal_)[0]
    torch.testing.assert_close(unit(defense.refusal_), first.expand_as(defense.refusal_), atol=1e-5, rtol=0)
    assert (unit(defense.drift_) @ first).abs().max() < 1e-4


def test_fewer_calibration_questions_and_variants_give_other_directions() -> None:
    whole = fitted(DriftCorrection, alpha=1.0)
    for part in ({"questions": 2}, {"variants": ["picture"]}, {"read_tokens": 3}):
        assert not torch.allclose(fitted(DriftCorrection, alpha=1.0, **part).drift_, whole.drift_)
    with pytest.raises(PluginError, match="no pairs are left"):
        fitted(DriftCorrection, alpha=1.0, variants=["hologram"])
    with pytest.raises(PluginError, match="at least 1"):
        DriftCorrection(questions=0)
