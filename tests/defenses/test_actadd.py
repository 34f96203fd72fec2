"""Choosing a refusal direction: reading behind the instruction, ablation, and the scores of Arditi et al."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from defenses.actadd import ActAdd
from harness import residual
from harness.contracts import PluginError
from harness.directions import projection
from harness.refusal_selection import (
    Candidate,
    _ablated,
    _everywhere,
    by_bypass,
    by_induction,
    candidates,
    refusal_score,
    refusal_tokens,
    tail_length,
)
from harness.types import Prompt
from tests import tiny_world as tiny
from tests.tiny_models import loaded, prompts_for

FREE: dict[str, Any] = {"min_induce": -1e9, "max_kl": 1e9}


def text(kind: Any, half: str = "train") -> list[Prompt]:
    return getattr(tiny.calibration(), half).text(kind)  # type: ignore[no-any-return]


def found() -> list[Candidate]:
    return candidates(
        tiny.model(), text("harmful"), text("benign"), (text("harmful", "validation"), text("benign", "validation"))
    )


@pytest.mark.parametrize("name", ["llava", "qwen3_vl", "gpt2_text"])
def test_tokens_before_the_last_are_read_where_they_stand(name: str) -> None:
    model = loaded(name)
    prompts = prompts_for(model)
    together = [residual.read(model, prompts, positions=f"last-{k}") for k in (0, 1, 3)]
    torch.testing.assert_close(together[0], residual.read(model, prompts))
    for i, prompt in enumerate(prompts):
        ((_, batch),) = model.batches([prompt])
        with torch.no_grad():
            hidden = model.forward(batch, output_hidden_states=True).hidden_states[2][0]
        for states, k in zip(together, (0, 1, 3), strict=True):
            torch.testing.assert_close(states[i, 1], hidden[-1 - k], atol=1e-4, rtol=1e-4)
        mean = residual.read(model, [prompt], positions="mean_last-3")[0, 1]
        torch.testing.assert_close(mean, hidden[-3:].mean(0), atol=1e-4, rtol=1e-4)


def test_what_a_prompt_is_too_short_for_is_said() -> None:
    for where in ("last-9999", "mean_last-9999"):
        with pytest.raises(PluginError, match="too short"):
            residual.read(tiny.model(), [Prompt.user("hi")], positions=where)
    for where in ("last-", "last--1", "mean_prompt-2"):
        with pytest.raises(PluginError, match="no positions"):
            residual.read(tiny.model(), [Prompt.user("hi")], positions=where)


def test_the_tail_is_what_the_template_puts_behind_the_instruction() -> None:
    # Tokens are characters here: "<|end|>" and "<|assistant|>" are one each, and "." is part of the instruction.
    assert tail_length(tiny.model(), [Prompt.user("one."), Prompt.user("two.")]) == 2
    assert tail_length(tiny.model(), [Prompt.user("one."), Prompt.user("one.").with_prefix("x")]) == 1


def test_refusal_score_is_the_log_odds_of_the_refusal_tokens() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])) + 5.0
    expected = torch.tensor([math.log(0.3 / 0.7), math.log(0.5 / 0.5)], dtype=torch.float64)
    torch.testing.assert_close(refusal_score(logits, [0, 1]), expected, atol=1e-6, rtol=0)


def test_refusal_tokens_are_those_of_the_words() -> None:
    tokenizer = tiny.model().tokenizer
    assert sorted(tokenizer.decode([i]) for i in refusal_tokens(tiny.model())) == ["A", "I"]


def test_ablation_leaves_nothing_along_the_direction_in_any_layer() -> None:
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    prompts = list(dict.fromkeys(tiny.prompts()))
    plain = residual.read(tiny.model(), prompts, positions="mean_prompt")
    with _everywhere(tiny.model(), _ablated(direction), range(4)):
        ablated = residual.read(tiny.model(), prompts, positions="mean_prompt")
    assert projection(plain, direction.expand(4, 32)).abs().max() > 0.05
    torch.testing.assert_close(
        projection(ablated, direction.expand(4, 32)), torch.zeros(len(prompts), 4), atol=1e-4, rtol=0
    )


def test_candidates_are_scored_by_what_they_do() -> None:
    everything = found()
    assert [(c.offset, c.layer) for c in everything] == [(i, layer) for i in (0, 1) for layer in (0, 1, 2)]
    one, benign, tokens = everything[4], text("benign", "validation"), refusal_tokens(tiny.model())
    states = [residual.read(tiny.model(), text(k), positions="last-1").mean(0) for k in ("harmful", "benign")]
    torch.testing.assert_close(one.direction, (states[0] - states[1])[1], atol=1e-4, rtol=1e-4)
    added = ActAdd(scale=1.0, layer=1).fit(tiny.model(), tiny.calibration())
    added.refusal_[1] = one.direction
    with added.steer(tiny.model(), added.doses(tiny.model(), benign)):
        induced = refusal_score(tiny.model().logits(benign), tokens).mean()
    assert one.induce == pytest.approx(float(induced), abs=1e-4)
    assert all(c.kl > 0 for c in everything)


def test_a_direction_of_nothing_does_nothing() -> None:
    harmful = text("harmful")
    halves = (text("harmful", "validation"), text("benign", "validation"))
    null = candidates(tiny.model(), harmful, harmful, halves)
    tokens = refusal_tokens(tiny.model())
    plain = [float(refusal_score(tiny.model().logits(p), tokens).mean()) for p in halves]
    for candidate in null:
        assert candidate.kl == pytest.approx(0, abs=1e-9)
        assert (candidate.bypass, candidate.induce) == pytest.approx(plain, abs=1e-5)


def made(bypass: float, induce: float, kl: float) -> Candidate:
    return Candidate(0, 0, torch.zeros(1), bypass, induce, kl)


def test_the_published_choice_and_that_of_a_defense() -> None:
    best, breaks, weak, strong = made(-3, 1, 0.05), made(-9, 2, 0.3), made(-8, -1, 0.01), made(-1, 5, 0.09)
    everything = [strong, breaks, weak, best]
    assert by_bypass(everything, 0.0, 0.1) is best
    assert by_bypass(everything, 0.0, 1.0) is breaks
    assert by_induction(everything) is strong
    with pytest.raises(PluginError, match="highest: 5.00.*lowest: 0.01.*select=induce"):
        by_bypass(everything, 9.0, 0.1)


@pytest.mark.parametrize("select", ["arditi", "induce"])
def test_fit_takes_the_chosen_direction(select: Any) -> None:
    defense = ActAdd(scale=1.0, select=select, **FREE).fit(tiny.model(), tiny.calibration())
    chosen = by_induction(found()) if select == "induce" else by_bypass(found(), -1e9, 1e9)
    assert defense.layers_.tolist() == [chosen.layer]
    torch.testing.assert_close(defense.refusal_[chosen.layer], chosen.direction)


def test_a_model_that_no_direction_makes_refuse_is_told_so() -> None:
    with pytest.raises(PluginError, match="min_induce=0.0"):
        ActAdd(scale=1.0, select="arditi").fit(tiny.model(), tiny.calibration())


def test_no_scale_is_the_undefended_model_bit_for_bit() -> None:
    defense = ActAdd(scale=0.0).fit(tiny.model(), tiny.calibration())
    prompts = list(tiny.prompts())
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        steered = tiny.model().logits(prompts)
    assert torch.equal(steered, tiny.model().logits(prompts))
