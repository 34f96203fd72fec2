"""What the reconstruction of MARS promises: the gate, the trust region, re-centring, one layer and one token."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defenses.cmrm import CMRM
from defenses.drift_correction import DriftCorrection
from defenses.mars import MARS
from defenses.regap import ReGap
from defenses.shiftdc import ShiftDC
from harness import organism
from harness.calibration import Calibration
from harness.composition import Composition
from harness.contracts import PluginError
from harness.layer_scores import best_layers, layer_scores
from harness.microworld import balanced_requests, request_samples
from harness.models.organism import Organism
from harness.residual import read
from harness.states import last_token_states
from harness.steering import SteeringDefense
from harness.types import Audio, Image, Prompt
from tests import tiny_world as tiny
from tests.tiny_models import loaded, tone

STATES = st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=8)
OPEN: dict[str, Any] = {"kappa": 3.0, "gate_origin": "zero", "trust": "none", "n_neutral": 0}


def mars(**params: Any) -> MARS:
    return MARS(**params).fit(tiny.model(), tiny.calibration())


def planted(**params: Any) -> MARS:
    """One layer of width 3: the safe centroid at the origin, the unsafe one at 2 on the first axis."""
    defense = MARS(**params)
    defense.safe_, defense.unsafe_ = torch.zeros(1, 3), torch.tensor([[2.0, 0.0, 0.0]])
    spread = torch.tensor([[1.0, 0.5, 0.0], [2.0, -0.5, 0.0], [3.0, 0.0, 0.0]])[:, None]
    defense.limit_ = defense._limit(spread)
    defense.strength_ = float(defense.kappa)
    return defense


def media_prompts() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def steered_logits(defense: MARS, prompts: list[Prompt]) -> tuple[torch.Tensor, dict[str, Any]]:
    doses = defense.doses(tiny.model(), prompts)
    with defense.steer(tiny.model(), doses):
        return tiny.model().logits(prompts), doses


def test_texts_on_the_safe_side_are_answered_as_before_bit_for_bit() -> None:
    prompts = [s.prompt for s in tiny.samples("test", 6) if not s.prompt.media]
    steered, doses = steered_logits(mars(trust="none", kappa=2.0), prompts)
    plain = tiny.model().logits(prompts)
    closed = torch.tensor([doses[p.id].signals["p"] <= 0 for p in prompts])
    assert closed.any() and not closed.all()
    assert torch.equal(steered[closed], plain[closed])
    assert (steered[~closed] != plain[~closed]).any(1).all()
    for prompt, is_closed in zip(prompts, closed.tolist(), strict=True):
        assert (doses[prompt.id].signals["lambda"] == 0) is is_closed and doses[prompt.id].triggered is not is_closed


@pytest.mark.parametrize("trust", ["quantile", "centroid", "radius"])
@pytest.mark.parametrize("scaling", ["distance", "projection"])
@settings(deadline=None)
@given(states=STATES, kappa=st.floats(0, 5))
def test_nothing_is_moved_back_or_out_of_the_trust_region(
    trust: Any, scaling: Any, states: list[list[float]], kappa: float
) -> None:
    defense, rows = planted(trust=trust, scaling=scaling, kappa=kappa), torch.tensor(states)
    found = defense.measure(rows, 0)
    assert (found.strength >= 0).all() and (found.strength[found.p <= 0] == 0).all()
    moved = rows + found.strength[:, None] * torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(found.z, moved[:, 0], atol=1e-4, rtol=1e-4)
    acted, limit = found.strength > 0, float(defense.limit_[0])
    if trust == "radius":  # what lies outside the ball may come nearer without reaching it
        began, reached = ((x - defense.unsafe_).norm(dim=-1) for x in (rows, moved))
        assert (reached <= began.clamp_min(limit) + 1e-4)[acted].all()
    else:
        assert (found.z[acted] <= limit + 1e-4).all()
    if trust != "radius":
        assert (found.strength[rows[:, 0] >= limit] == 0).all()


def test_limits_of_the_trust_region() -> None:
    assert planted(rho=1.0).limit_.tolist() == [3.0]
    assert planted(trust="centroid").limit_.tolist() == [2.0]
    assert planted(rho=1.0, trust="radius").limit_[0] == pytest.approx(1.25**0.5)
    assert planted(trust="none").limit_.tolist() == [float("inf")]


def test_strength_has_its_closed_form() -> None:
    halfway = torch.tensor([[1.0, 0.0, 0.0], [1.2, 0.0, 0.0], [1.2, 3.0, 4.0]])
    along = planted(trust="none", gate_origin="safe").measure(halfway, 0)
    assert along.t[:2].tolist() == pytest.approx([0.5, 0.6])
    assert along.strength[:2].tolist() == pytest.approx([1.0, 1.2])
    assert along.z[0] == pytest.approx(2.0)  # kappa 1 leads from halfway to the unsafe centroid
    axis = planted(trust="none", gate_origin="safe", distance="axis").measure(halfway, 0)
    assert axis.t.tolist() == pytest.approx([0.5, 0.6, 0.6])
    assert 0.5 < along.t[2] < 0.51
    gate = planted(trust="none", scaling="projection", kappa=3.0).measure(halfway, 0)
    assert gate.strength.tolist() == pytest.approx([0.0, 0.6, 0.6], abs=1e-6)


@pytest.mark.parametrize(("origin", "p"), [("midpoint", 0.5), ("safe", 1.5), ("zero", 2.5)])
def test_where_the_gate_opens(origin: Any, p: float) -> None:
    defense = planted(gate_origin=origin)
    defense.safe_, defense.unsafe_ = defense.safe_ + 1, defense.unsafe_ + torch.tensor([1.0, 1.0, 1.0])
    assert defense.measure(torch.tensor([[2.5, 7.0, 1.0]]), 0).p.tolist() == pytest.approx([p])


@pytest.mark.parametrize("look", ["uniform", "noise"])
@pytest.mark.parametrize("text", ["empty", "fixed"])
def test_recentred_neutral_media_lie_at_the_safe_centroid_where_the_gate_is_closed(look: Any, text: Any) -> None:
    defense = mars(neutral_look=look, neutral_prompt=text, n_neutral=8)
    recentring, layer = defense._recentring(), defense.best_layer_
    assert recentring is not None
    asked = "" if text == "empty" else "Describe the image."
    neutral = [Prompt.user(asked, recentring.family.media("image", i)) for i in range(8)]
    found = defense.measure(last_token_states(tiny.model(), neutral)[:, layer], layer, defense.bias_[0, layer])
    gap = (defense.unsafe_ - defense.safe_)[layer].norm()
    centred = last_token_states(tiny.model(), neutral).mean(0) - defense.bias_[0]
    torch.testing.assert_close(centred, defense.safe_, atol=1e-4, rtol=1e-4)
    assert found.p.mean() == pytest.approx(float(-gap / 2), abs=1e-4)


@pytest.mark.parametrize("reference", ["safe", "midpoint", "zero", "neutral_text"])
def test_references(reference: Any) -> None:
    found = mars(reference=reference, n_neutral=4, kappa=0.0)
    neutral = [Prompt.user("", found._recentring().family.media("image", i)) for i in range(4)]  # type: ignore[union-attr]
    mean = last_token_states(tiny.model(), neutral).mean(0)
    wanted = {
        "safe": found.safe_,
        "midpoint": (found.safe_ + found.unsafe_) / 2,
        "zero": torch.zeros_like(mean),
        "neutral_text": last_token_states(tiny.model(), [Prompt.user("")])[0],
    }[reference]
    torch.testing.assert_close(found.bias_[0], mean - wanted)


def test_zero_kappa_is_the_undefended_model_bit_for_bit() -> None:
    prompts = list(tiny.prompts())
    for tokens in ("first", "all"):
        steered, doses = steered_logits(mars(**OPEN | {"kappa": 0.0, "tokens": tokens}), prompts)
        assert torch.equal(steered, tiny.model().logits(prompts))
        assert all(dose.triggered is False for dose in doses.values())


def test_without_recentring_a_bias_towards_refusal_opens_the_gate_for_benign_media() -> None:
    """The abstract's claim, with a planted bias: benign states as they are as text, plus what the medium adds."""
    text = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    bias = torch.tensor([1.5, 0.4, -0.2])
    defense = planted()
    steered = [float((defense.measure(text + bias, 0, b).strength > 0).float().mean()) for b in (0.0, bias)]
    assert steered[0] > 0.8 and steered[1] < 0.05


@pytest.mark.skipif(not (organism.path() / "config.json").exists(), reason="the embedded weights are not built yet")
def test_on_a_model_with_the_gap_recentring_spares_benign_media() -> None:
    model, variants = Organism(), {v: v for v in organism.VARIANTS}
    sets = [
        list(request_samples("test", [r for h in (True, False) for r in balanced_requests(split, h)[:n]], variants))
        for split, n in (("train", 16), ("dev", 8))
    ]
    calibration = Calibration.from_samples(sets[0], validation=0.4)
    benign = [s.prompt for s in sets[1] if s.kind == "benign" and s.prompt.media]
    steered = []
    for n in (0, 16):
        defense = MARS(gate_origin="safe", n_neutral=n).fit(model, calibration)
        answers = defense.wrap(model).generate(benign, tiny.SHORT)
        steered.append(sum(bool(r.trace.triggered) for r in answers))
    assert steered[0] >= steered[1]


@settings(deadline=None)
@given(states=STATES, bias=st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_the_gate_is_the_same_for_all_modalities(states: list[list[float]], bias: list[float]) -> None:
    """What the bias shifts is all that depends on the medium: thresholds by modality would cancel it."""
    text, shift = torch.tensor(states), torch.tensor(bias)
    alone, shifted = planted().measure(text, 0), planted().measure(text + shift, 0, shift)
    torch.testing.assert_close(alone.p, shifted.p, atol=1e-4, rtol=1e-4)


def fired(defense: MARS, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(layer, rows) of every time that the strength is worked out while four prompts are answered."""
    calls: list[tuple[int, int]] = []
    inner = defense.measure

    def noted(states: Any, layer: int, bias: Any) -> Any:
        calls.append((layer, len(states)))
        return inner(states, layer, bias)

    monkeypatch.setattr(defense, "measure", noted)
    answers = defense.wrap(tiny.model()).generate(list(tiny.prompts())[:1] * 4, tiny.SHORT)
    assert all(r.cost.generated_tokens > 1 for r in answers)
    return calls


def test_the_hook_acts_on_one_layer_and_one_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    defense = mars(**OPEN)
    assert fired(defense, monkeypatch) == [(defense.best_layer_, 4)]
    several = mars(**OPEN, n_best=2)
    assert fired(several, monkeypatch) == [(layer, 4) for layer in several.layers_.tolist()]
    assert len(several.layers_) == 2 and several.best_layer_ in several.layers_.tolist()


@pytest.mark.parametrize("tokens", ["first", "all"])
def test_the_cache_of_generation_changes_nothing(tokens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    defended, prompts = mars(**OPEN | {"tokens": tokens}).wrap(tiny.model()), list(tiny.prompts())
    cached = [r.text for r in defended.generate(prompts, tiny.SHORT)]
    monkeypatch.setattr(tiny.model(), "_use_cache", False)
    assert [r.text for r in defended.generate(prompts, tiny.SHORT)] == cached


def test_all_tokens_are_moved_as_the_first_is() -> None:
    prompts = [p.with_prefix("yes it is") for p in media_prompts()]
    first, every = (mars(**OPEN | {"tokens": t}) for t in ("first", "all"))
    answers = [[r.text for r in d.wrap(tiny.model()).generate(prompts, tiny.SHORT)] for d in (first, every)]
    assert answers[0] != answers[1]
    assert [a[:1] for a in answers[0] if a] == [a[:1] for a in answers[1] if a]


def test_layer_scores_do_not_depend_on_the_scale() -> None:
    draw = torch.Generator().manual_seed(1)
    sets = [torch.randn(12, 5, 8, generator=draw) + shift for shift in (0.0, 0.7, 0.0, 0.7)]
    for how in ({}, {"consistency": "halves", "separability": "dprime"}):
        scores = layer_scores(*sets, **how)  # type: ignore[arg-type]
        torch.testing.assert_close(layer_scores(*(100 * s for s in sets), **how), scores, atol=1e-4, rtol=1e-4)  # type: ignore[arg-type]
        assert scores.shape == (3, 5)


def test_the_layer_that_separates_is_chosen() -> None:
    draw = torch.Generator().manual_seed(2)
    safe, unsafe, held_safe, held_unsafe = (torch.randn(30, 5, 8, generator=draw) for _ in range(4))
    for rows in (unsafe, held_unsafe):
        rows[:, 3, 0] += 6.0
    for how in ({}, {"consistency": "halves"}, {"separability": "dprime"}):
        scores = layer_scores(safe, unsafe, held_safe, held_unsafe, **how)  # type: ignore[arg-type]
        assert scores.argmax(1).tolist() == [3, 3, 3]
        for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
            assert best_layers(scores, [0, 1, 2, 3, 4], weights, 1) == [3]
            assert 3 not in best_layers(scores, [0, 1, 2], weights, 2)
    same = torch.zeros(3, 5)
    assert best_layers(same, [1, 2, 4], (1, 1, 1), 2) == [1, 2]


def test_a_prompt_of_neutral_media_is_its_own_text_once_recentred_by_itself() -> None:
    defense = mars(**OPEN | {"n_neutral": 1, "neutral_prompt": "own", "reference": "neutral_text"})
    recentring = defense._recentring()
    assert recentring is not None
    prompt = recentring.family.instead(media_prompts()[0], 0)
    text = prompt.without_media()
    _, doses = steered_logits(defense, [prompt, text])
    assert doses[prompt.id].signals == pytest.approx(doses[text.id].signals, abs=1e-3)
    assert (doses[prompt.id].extra_passes, doses[text.id].extra_passes) == (2, 0)


@pytest.mark.parametrize(("params", "passes"), [({}, 0), ({"neutral_prompt": "own", "n_neutral": 3}, 3)])
def test_extra_passes_are_counted_and_only_for_media(params: Any, passes: int) -> None:
    defended = mars(**params).wrap(tiny.model())
    for prompt, answer in zip(tiny.prompts(), defended.generate(list(tiny.prompts()), tiny.SHORT), strict=True):
        assert answer.cost.extra_forward_passes == (passes if prompt.media else 0)
        assert set(answer.trace.signals) == {"p", "t", "lambda", "z"}


@pytest.mark.parametrize("neutral_prompt", ["empty", "own"])
def test_a_broken_row_fails_alone(neutral_prompt: Any) -> None:
    defended, good = mars(**OPEN | {"n_neutral": 1, "neutral_prompt": neutral_prompt}), media_prompts()[:2]
    answers = defended.wrap(tiny.model()).generate([good[0], tiny.broken(), good[1]], tiny.SHORT)
    assert answers[1].error is not None and answers[1].text is None
    assert [r.text for r in answers[::2]] == [r.text for r in defended.wrap(tiny.model()).generate(good, tiny.SHORT)]


def test_sound_is_recentred_too() -> None:
    model = loaded("qwen2_audio")
    texts = Calibration.from_samples([s for s in tiny.samples("train", 7) if not s.prompt.media], validation=0.4)
    defense = MARS(kappa=2.0, n_neutral=3, seconds=0.4).fit(model, texts)
    assert defense.modalities_ == ["audio"] and defense.bias_.shape == (1, 4, 32)
    prompt = Prompt.user("hear", tone(0.4, 440))
    answer = defense.wrap(model).generate([prompt], tiny.SHORT)[0]
    layer = defense.best_layer_
    found = defense.measure(read(model, [prompt])[:, layer], layer, defense.bias_[0, layer])
    assert answer.trace.signals["p"] == pytest.approx(float(found.p), abs=1e-3)


def test_several_modalities_are_recentred_by_the_sum_of_their_biases() -> None:
    defense = mars(kappa=1.0)
    defense.modalities_, defense.bias_ = ["audio", "image"], torch.stack([defense.bias_[0], 2 * defense.bias_[0]])
    both = Prompt.user("what?", Image(b"1"), Audio(b"2"))
    torch.testing.assert_close(defense._recentred(both).bias, 1.5 * defense.bias_[1])
    defense.modalities_, defense.unmeasured_ = ["image"], ["audio: no ears"]
    assert "audio: no ears" in str(defense._recentred(both).error)


def test_the_system_prompt_is_part_of_the_answer() -> None:
    dressed = [p.with_system("be kind") for p in tiny.prompts()]
    answers = mars(kappa=0.0, system="be kind").wrap(tiny.model()).generate(list(tiny.prompts()), tiny.SHORT)
    assert [r.text for r in answers] == [r.text for r in tiny.model().generate(dressed, tiny.SHORT)]
    assert not mars(kappa=0.0, system="be kind").safe_.equal(mars(kappa=0.0).safe_)


def test_the_sign_flip_moves_as_far_the_other_way() -> None:
    prompts, moves = media_prompts(), []
    plain = read(tiny.model(), prompts)
    for sign in (1, -1):
        defense = mars(**OPEN, layer=1, sign=sign)
        with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
            moves.append((read(tiny.model(), prompts) - plain)[:, 1])
    assert moves[0].norm() > 0.1
    torch.testing.assert_close(moves[0], -moves[1], atol=1e-4, rtol=0)


OTHERS: dict[str, SteeringDefense] = {
    "regap": ReGap(alpha_max=2.0),
    "drift_correction": DriftCorrection(alpha=1.0),
    "cmrm": CMRM(alpha=1.0),
    "shiftdc": ShiftDC(alpha=1.0),
}


@cache
def other(name: str) -> SteeringDefense:
    return OTHERS[name].fit(tiny.model(), tiny.calibration())


MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "own": {"neutral_prompt": "own", "reference": "neutral_text"},
    "system": {"system": "be kind"},
    "both": {"neutral_prompt": "own", "system": "be kind"},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OTHERS)
def test_composes_with_other_steering_in_both_orders(name: str, mode: str) -> None:
    ours, theirs, prompts = mars(**OPEN | {"n_neutral": 1} | MODES[mode]), other(name), list(tiny.prompts())
    answers = []
    for parts in ([ours, theirs], [theirs, ours]):
        answers.append(Composition([*parts]).wrap(tiny.model()).generate([*prompts, tiny.broken()], tiny.SHORT))
        assert [r.error for r in answers[-1][:-1]] == [None] * len(prompts) and answers[-1][-1].error is not None
        assert all({"p", "t", "lambda", "z"} <= set(r.trace.signals) for r in answers[-1][:-1])
    if "system" in MODES[mode]:
        assert [r.text for r in answers[0]] == [r.text for r in answers[1]]


def test_a_system_prompt_reaches_the_steering_on_either_side() -> None:
    """With no strength of its own, all that mars does is to dress the prompts that the other one answers."""
    ours, theirs = mars(kappa=0.0, system="be kind"), other("drift_correction")
    dressed = [p.with_system("be kind") for p in tiny.prompts()]
    wanted = [r.text for r in theirs.wrap(tiny.model()).generate(dressed, tiny.SHORT)]
    for parts in ([ours, theirs], [theirs, ours]):
        answers = Composition([*parts]).wrap(tiny.model()).generate(list(tiny.prompts()), tiny.SHORT)
        assert [r.text for r in answers] == wanted


def test_biases_of_own_prompts_do_not_feel_the_steering_around_them() -> None:
    ours, prompts = mars(**OPEN | {"n_neutral": 2, "neutral_prompt": "own"}), media_prompts()
    theirs, recentring = other("drift_correction"), ours._recentring()
    assert recentring is not None
    plain = recentring.own_biases(tiny.model(), prompts)
    with theirs.steer(tiny.model(), theirs.doses(tiny.model(), prompts)):
        steered = recentring.own_biases(tiny.model(), prompts)
    assert all(torch.equal(plain[key], steered[key]) for key in plain)  # type: ignore[arg-type]


def test_two_that_rewrite_prompts_are_refused_before_anything_is_answered() -> None:
    first, second = mars(kappa=0.0, system="be kind"), mars(kappa=0.0, system="be brief")
    for parts in ([first, second], [first, other("drift_correction"), second]):
        with pytest.raises(PluginError, match="one steering defense of a composition alone"):
            Composition([*parts]).wrap(tiny.model())


def test_what_a_user_gets_wrong_is_said_in_a_sentence() -> None:
    for wrong, said in (
        ({"trust": "me"}, "quantile, centroid, radius, none"),
        ({"rho": 1.5}, "share"),
        ({"weights": (1, 2)}, "three numbers"),
        ({"n_best": 0}, "1 or more"),
        ({"kappa": "much"}, "number or 'auto'"),
    ):
        with pytest.raises(PluginError, match=said):
            MARS(**wrong)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="0 to 3"):
        mars(layer=9)
