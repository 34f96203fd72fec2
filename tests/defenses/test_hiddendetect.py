"""Gates on hidden states: the logit lens on all architectures, the score of HiddenDetect, and how a gate decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from defenses.hiddendetect import WORDS, HiddenDetect, area, longest_run
from defenses.random_refuse import RandomRefuse
from harness import residual
from harness.contracts import Model, PluginError
from harness.gating import line_above
from harness.logit_lens import final_norm, first_tokens, logits_of, output_head
from harness.shapes import GateDefense
from harness.states import last_token_states
from harness.types import REFUSAL, Prompt, Response
from tests import tiny_world as tiny
from tests.tiny_architectures import BUILDERS
from tests.tiny_models import loaded, prompts_for


def hiddendetect(**params: Any) -> HiddenDetect:
    return HiddenDetect(**params).fit(tiny.model(), tiny.calibration())


def answers(defense: Any, prompts: Sequence[Prompt] = ()) -> list[Response]:
    return defense.wrap(tiny.model()).generate(list(prompts or tiny.prompts()), tiny.SHORT)  # type: ignore[no-any-return]


def plain() -> list[str | None]:
    return [r.text for r in tiny.model().generate(list(tiny.prompts()), tiny.SHORT)]


@pytest.mark.parametrize("name", list(BUILDERS))
def test_the_lens_on_the_last_layer_gives_the_logits(name: str) -> None:
    model = loaded(name)
    prompts = prompts_for(model)[-3:]
    found = logits_of(model, residual.read(model, prompts, [-1])[:, 0])
    torch.testing.assert_close(found, model.logits(prompts), atol=1e-3, rtol=1e-3)
    assert logits_of(model, torch.empty(0, 32)).shape == (0, found.shape[1])


def test_the_norm_is_one_module_of_the_decoder() -> None:
    assert final_norm(loaded("gpt2_text")) is loaded("gpt2_text").module.transformer.ln_f
    llava = loaded("llava").module
    assert final_norm(loaded("llava")) is llava.model.language_model.norm
    assert output_head(loaded("llava")) is llava.lm_head


def test_first_tokens_leave_out_what_says_nothing() -> None:
    tokenizer = tiny.model().tokenizer
    assert [tokenizer.decode([i]) for i in first_tokens(tiny.model(), ("Sorry", "sorry", "Subject", "S"))] == ["S", "s"]
    assert first_tokens(tiny.model(), ("", " ", "<|end|>")) == []
    letters = {tokenizer.decode([i]) for i in first_tokens(tiny.model(), WORDS)}
    assert letters == {word[0] for word in WORDS}


def test_the_score_is_the_area_under_the_cosine_with_the_refusal_tokens() -> None:
    defense = hiddendetect(layers=[1, 2, 3])
    states = residual.read(tiny.model(), list(tiny.prompts()))
    decoder, head = tiny.model().module.model.language_model, tiny.model().module.lm_head
    wanted = torch.zeros(head.weight.shape[0])
    wanted[defense.tokens_] = 1
    with torch.no_grad():
        logits = head(decoder.norm(states[:, 1:]))
    curve = torch.nn.functional.cosine_similarity(logits, wanted.expand_as(logits), dim=-1)
    expected = (curve[:, 0] + curve[:, 1]) / 2 + (curve[:, 1] + curve[:, 2]) / 2
    torch.testing.assert_close(defense.harm(tiny.model(), states), expected, atol=1e-5, rtol=1e-5)
    assert [r.trace.score for r in answers(defense)] == pytest.approx(expected.tolist(), abs=1e-5)


def test_areas() -> None:
    torch.testing.assert_close(area(torch.tensor([[1.0, 1.0, 1.0]]), [4, 5, 6]), torch.tensor([2.0]))
    torch.testing.assert_close(area(torch.tensor([[0.0, 1.0]]), [2, 6]), torch.tensor([2.0]))
    torch.testing.assert_close(area(torch.tensor([[0.3], [0.4]]), [2]), torch.tensor([0.3, 0.4]))


def test_layers_are_the_longest_run_that_tells_more_than_the_last() -> None:
    assert longest_run([True, False, True, True, False, True]) == [2, 3]
    assert longest_run([True, True, False, True, True]) == [0, 1]
    assert longest_run([False, False]) == []
    defense, train = hiddendetect(), tiny.calibration().train
    curves = [
        defense.leaning(
            tiny.model(), last_token_states(tiny.model(), train.text(k) + train.media(k)), list(range(4))
        ).mean(0)
        for k in ("harmful", "benign")  # type: ignore[arg-type]
    ]
    gaps = (curves[0] - curves[1]).tolist()
    assert defense.layers_ == (longest_run([g > gaps[3] for g in gaps[:3]]) or [2, 3])


def test_words_that_the_vocabulary_lacks_are_said() -> None:
    with pytest.raises(PluginError, match="refusal words"):
        hiddendetect(words=(" ",))
    with pytest.raises(PluginError, match="published, own"):
        HiddenDetect(words="mine")


def test_own_words_are_what_answers_to_harmful_texts_begin_with(monkeypatch: pytest.MonkeyPatch) -> None:
    harmful, benign = (tiny.calibration().train.text(k) for k in ("harmful", "benign"))  # type: ignore[arg-type]
    monkeypatch.setattr("defenses.hiddendetect.RISE", 1e-3)
    rise = tiny.model().logits(harmful).softmax(-1).mean(0) - tiny.model().logits(benign).softmax(-1).mean(0)
    found = hiddendetect(words="own").tokens_
    assert found == rise.argsort(descending=True)[: len(found)].tolist() and 0 < len(found) <= 20
    assert all(rise[i] >= 1e-3 for i in found)
    monkeypatch.setattr("defenses.hiddendetect.RISE", 1.1)
    with pytest.raises(PluginError, match="as it does to benign"):
        hiddendetect(words="own")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.5, 1.0])
def test_at_most_the_share_of_benign_scores_is_blocked(share: float) -> None:
    scores = torch.randn(40, generator=torch.Generator().manual_seed(0)).tolist()
    blocked = sum(s >= line_above(scores, share) for s in scores)
    assert blocked == min(int(share * 40), 39)
    assert sum(s >= line_above([0.5] * 9, share) for s in [0.5] * 9) == 0, "what is tied goes together"


def test_the_calibrated_gate_keeps_to_it_on_validation() -> None:
    validation = tiny.calibration().validation
    benign = validation.text("benign") + validation.media("benign")
    for allowed in (0.05, 0.3):
        blocked = [r.finish == "blocked" for r in answers(hiddendetect(max_over_refusal=allowed), benign)]
        assert sum(blocked) == int(allowed * len(benign))


def test_thresholds_open_and_shut_the_gate() -> None:
    shut, open_ = answers(hiddendetect(threshold=-99.0)), answers(hiddendetect(threshold=99.0))
    assert all((r.text, r.finish, r.trace.triggered) == (REFUSAL, "blocked", True) for r in shut)
    assert [r.text for r in open_] == plain() and all(r.trace.triggered is False for r in open_)
    for blocked, passed in zip(shut, open_, strict=True):
        assert (blocked.cost.extra_forward_passes, blocked.cost.target_calls) == (1, 0)
        assert (passed.cost.extra_forward_passes, passed.cost.target_calls) == (1, 1)


def test_a_broken_row_fails_alone() -> None:
    good = list(tiny.prompts())[:2]
    for threshold in (-99.0, 99.0):
        found = answers(hiddendetect(threshold=threshold), [good[0], tiny.broken(), good[1]])
        assert [r.error is None for r in found] == [True, False, True]
        assert "neither answered nor refused" in (found[1].error or "") and found[1].trace.triggered is None


class Scored(GateDefense):
    """Scores that are given."""

    def __init__(self, scores: list[Any]) -> None:
        self.scores = scores

    def score_input(self, model: Model, prompts: Sequence[Prompt]) -> list[Any]:
        return self.scores


def test_a_gate_blocks_from_its_threshold_on_and_fails_what_it_cannot_score() -> None:
    scores = [0.1, 0.4999, 0.5, 0.9, None, float("nan"), float("inf"), float("-inf")]
    prompts = [Prompt.user(f"prompt {i}") for i in range(len(scores))]
    found = answers(Scored(scores), prompts)
    assert [r.finish for r in found][2:] == ["blocked"] * 2 + ["error"] * 4
    assert [r.trace.triggered for r in found] == [False, False, True, True, None, None, None, None]
    assert [r.trace.score for r in found][:4] == scores[:4]
    assert all(r.cost.extra_forward_passes == 0 for r in found)


def test_random_refuse_is_still_the_same_draw_for_the_same_prompt() -> None:
    half = RandomRefuse(p=0.5, seed=1)
    found = [r.finish == "blocked" for r in answers(half)]
    assert found == [answers(half, [p])[0].finish == "blocked" for p in tiny.prompts()] and 0 < sum(found) < len(found)


def test_an_unfitted_gate_says_so() -> None:
    with pytest.raises(PluginError, match="not fitted"):
        answers(HiddenDetect())
