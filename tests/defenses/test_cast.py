"""The condition and the vector of CAST: closed forms, planted pairs, and one pass that hears what two would read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from defenses.cast import CAST, POSITIONS
from harness import residual
from harness.contracts import PluginError
from harness.models.hf import HFModel
from harness.pairwise import best_rule, condition_score, pca_pairwise, separation, suffix_states
from harness.types import Prompt, Response
from tests import tiny_world as tiny
from tests.tiny_models import loaded, prompts_for

OPEN: dict[str, Any] = {"threshold": -9.0, "when": "above"}
SHUT: dict[str, Any] = {"threshold": 9.0, "when": "above"}


def cast(**params: Any) -> CAST:
    return CAST(**{"strength": 2.0, **params}).fit(tiny.model(), tiny.calibration())


def answers(defense: CAST) -> list[Response]:
    return defense.wrap(tiny.model()).generate(list(tiny.prompts()), tiny.SHORT)


def plain() -> list[str | None]:
    return [r.text for r in tiny.model().generate(list(tiny.prompts()), tiny.SHORT)]


def test_the_component_of_pairs_is_the_planted_difference() -> None:
    torch.manual_seed(0)
    base, planted = torch.randn(40, 3, 16) * 5, torch.nn.functional.normalize(torch.randn(3, 16), dim=-1)
    noise = 0.01 * torch.randn(40, 3, 16)
    found = pca_pairwise(base + 2 * planted, base + noise)
    torch.testing.assert_close(found, planted, atol=0.02, rtol=0)
    torch.testing.assert_close(pca_pairwise(base + noise, base + 2 * planted), -found, atol=1e-5, rtol=0)
    torch.testing.assert_close(separation(base + 2 * planted, base, found), torch.full((3,), 2.0), atol=0.02, rtol=0)


def test_the_condition_is_the_published_formula() -> None:
    torch.manual_seed(1)
    states, c = torch.randn(5, 8), torch.randn(8)
    for h, score in zip(states, condition_score(states, c), strict=True):
        projected = torch.tanh(torch.outer(c, c) / (c @ c) @ h)
        expected = (h @ projected) / (h.norm() * projected.norm())
        torch.testing.assert_close(score, expected, atol=1e-6, rtol=0)


def test_neither_sign_nor_length_of_the_axis_matters() -> None:
    torch.manual_seed(2)
    states, c = torch.randn(5, 8), torch.randn(8)
    for other in (-c, 7 * c):
        torch.testing.assert_close(condition_score(states, other), condition_score(states, c), atol=1e-6, rtol=0)


def test_the_rule_with_the_best_f1() -> None:
    low, high = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.6, 0.7])
    f1, threshold, when = best_rule(high, low)
    assert (f1, when) == (1.0, "above") and threshold == pytest.approx(0.45)
    assert best_rule(low, high)[2] == "below"
    mixed = best_rule(torch.tensor([0.1, 0.9]), torch.tensor([0.5]))
    assert mixed[0] == pytest.approx(2 * 2 / (3 + 2)), "all of them, with one false alarm"
    assert best_rule(high, low, threshold=0.65)[:2] == pytest.approx((2 / 3, 0.65))
    assert best_rule(high, low, when="below")[0] == pytest.approx(2 * 2 / (5 + 2))


@pytest.mark.parametrize("name", ["llava", "qwen3_vl"])
def test_text_tokens_are_all_but_placeholders(name: str) -> None:
    model: HFModel = loaded(name)
    prompts = prompts_for(model)
    together = residual.read(model, prompts, positions="mean_text")
    for i, prompt in enumerate(prompts):
        ((_, batch),) = model.batches([prompt])
        with torch.no_grad():
            hidden = model.forward(batch, output_hidden_states=True).hidden_states[2][0]
        torch.testing.assert_close(together[i, 1], hidden[~batch.media[0]].mean(0), atol=1e-4, rtol=1e-4)


def test_suffixes_take_turns_and_only_their_tokens_are_read() -> None:
    questions, suffixes = [Prompt.user("a"), Prompt.user("bb"), Prompt.user("c")], ["No.", "I will not."]
    found = suffix_states(tiny.model(), questions, suffixes)
    for i, (question, suffix) in enumerate(zip(questions, ["No.", "I will not.", "No."], strict=True)):
        ((_, batch),) = tiny.model().batches([question.with_prefix(suffix)])
        with torch.no_grad():
            hidden = tiny.model().forward(batch, output_hidden_states=True).hidden_states[3][0]
        # One token a character in this tokenizer.
        torch.testing.assert_close(found[i, 2], hidden[-len(suffix) :].mean(0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pool", list(POSITIONS))
def test_one_pass_hears_what_a_pass_of_its_own_reads(pool: Any) -> None:
    defense = cast(pool=pool, layers=[2], condition_layer=1)
    prompts = list(tiny.prompts())
    states = residual.read(tiny.model(), prompts, [1], positions=POSITIONS[pool])[:, 0]
    expected = condition_score(states, defense.condition_).tolist()
    found = answers(defense)
    assert [r.trace.signals["condition"] for r in found] == pytest.approx(expected, abs=1e-5)
    assert all(r.cost.extra_forward_passes == 0 for r in found)
    opened = [e > defense.threshold_ if defense.when_ == "above" else e < defense.threshold_ for e in expected]
    assert [r.trace.triggered for r in found] == opened


def test_a_late_condition_is_read_in_a_pass_of_its_own() -> None:
    late, prompts = cast(layers=[1], condition_layer=2), list(tiny.prompts())
    expected = condition_score(residual.read(tiny.model(), prompts)[:, 2], late.condition_).tolist()
    found = answers(late)
    assert [r.trace.signals["condition"] for r in found] == pytest.approx(expected, abs=1e-5), "of unsteered states"
    assert all(r.cost.extra_forward_passes == 1 for r in found)


def test_the_score_of_the_trace_rises_with_harm_on_either_side() -> None:
    for when, sign in (("above", 1), ("below", -1)):
        for response in answers(cast(threshold=0.5, when=when)):
            assert response.trace.score == sign * response.trace.signals["condition"]


def test_a_shut_gate_is_the_undefended_model() -> None:
    for params in ({}, {"layers": [1], "condition_layer": 2}):
        found = answers(cast(strength=50.0, **SHUT, **params))
        assert [r.text for r in found] == plain()
        assert all(r.trace.triggered is False for r in found)


def test_an_open_gate_without_strength_is_the_undefended_model_bit_for_bit() -> None:
    defense, prompts = cast(strength=0.0, **OPEN), list(tiny.prompts())
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        steered = tiny.model().logits(prompts)
    assert torch.equal(steered, tiny.model().logits(prompts))


def test_an_open_gate_adds_the_vector_to_every_token_of_its_layers() -> None:
    defense, prompts = cast(layers=[3], **OPEN), list(dict.fromkeys(tiny.prompts()))
    before = residual.read(tiny.model(), prompts, positions="mean_prompt")
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        after = residual.read(tiny.model(), prompts, positions="mean_prompt")
    moved = torch.zeros(4, 32)
    moved[3] = 2.0 * defense.vector_[3]
    torch.testing.assert_close(after - before, moved.expand_as(before), atol=1e-4, rtol=1e-4)


def test_the_gate_opens_by_row() -> None:
    scores = [r.trace.signals["condition"] for r in answers(cast(condition_layer=0))]
    middle = sorted(scores)[len(scores) // 2]
    half = answers(cast(strength=50.0, condition_layer=0, threshold=middle, when="above"))
    steered = [r.text for r in answers(cast(strength=50.0, condition_layer=0, **OPEN))]
    expected = [s if score > middle else p for s, p, score in zip(steered, plain(), scores, strict=True)]
    assert 0 < sum(s > middle for s in scores) < len(scores) and steered != plain()
    assert [r.text for r in half] == expected


def test_without_a_cache_the_answers_are_the_same() -> None:
    defense = cast(strength=5.0, **OPEN)
    expected = [r.text for r in answers(defense)]
    tiny.model()._use_cache = False
    try:
        assert [r.text for r in answers(defense)] == expected
    finally:
        tiny.model()._use_cache = True


def test_the_length_of_the_vector() -> None:
    unit, separated = cast(norm="unit"), cast()
    torch.testing.assert_close(unit.vector_.norm(dim=-1), torch.ones(4))
    cosines = torch.nn.functional.cosine_similarity(unit.vector_, separated.vector_, dim=-1)
    torch.testing.assert_close(cosines, torch.ones(4))
    assert (separated.vector_.norm(dim=-1) > 0).all()


def test_a_broken_row_fails_alone() -> None:
    good = list(tiny.prompts())[:2]
    for params in ({}, {"layers": [1], "condition_layer": 2}):
        found = cast(**params).wrap(tiny.model()).generate([good[0], tiny.broken(), good[1]], tiny.SHORT)
        assert [r.error is None for r in found] == [True, False, True]


def test_what_a_user_gets_wrong_is_said() -> None:
    for params, message in (
        ({"when": "sideways"}, "above, below"),
        ({"pool": "some"}, "last, text, all"),
        ({"refusals": ()}, "at least one opening"),
    ):
        with pytest.raises(PluginError, match=message):
            CAST(**params)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="0 to 3"):
        cast(condition_layer=9)
