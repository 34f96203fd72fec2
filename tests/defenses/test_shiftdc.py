"""ShiftDC: what its formula promises, and what a caption costs, on a random model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from defenses.drift_correction import DriftCorrection
from defenses.shiftdc import ShiftDC
from harness.calibration import Calibration, CalibrationSplit
from harness.contracts import PluginError
from harness.per_prompt import PromptDose
from harness.residual import read
from harness.types import Prompt, Response
from tests import tiny_world as tiny
from tests.tiny_models import noise

CAPTION_TOKENS = 8


def shiftdc(**params: Any) -> ShiftDC:
    given = {"texts": "plain", "caption_tokens": CAPTION_TOKENS, **params}
    return ShiftDC(**given).fit(tiny.model(), tiny.calibration())


def media_prompts() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def doses_of(defense: ShiftDC, prompts: list[Prompt]) -> dict[str, PromptDose]:
    return defense.doses(tiny.model(), prompts)  # type: ignore[return-value]


def steered(defense: ShiftDC, prompts: list[Prompt]) -> torch.Tensor:
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        return read(tiny.model(), prompts)


def told(defense: ShiftDC, prompts: list[Prompt]) -> list[Prompt]:
    return [defense._told(p, c) for p, c in zip(prompts, defense._captions(tiny.model(), prompts), strict=True)]


def test_the_published_prompts() -> None:
    defense, prompt = ShiftDC(), Prompt.user(" How? {caption} ", noise(16, 16, 0))
    assert defense._told(prompt, Response(" a {query} ")).text == "How? {caption} Image Caption: a {query}"
    assert not defense._told(prompt, Response("a cat")).media
    filled = "Based on the given Request, describe the image. Request: How? {caption}"
    assert defense._caption_call(prompt) == prompt.with_text(filled)
    assert defense._caption_call(prompt.with_prefix("Sure")) == prompt.with_text(filled)


def test_default_layers_are_the_upper_half() -> None:
    assert shiftdc().layers_.tolist() == [2, 3]
    assert shiftdc(layers=[0, -1]).layers_.tolist() == [0, 3]


@pytest.mark.parametrize("texts", ["plain", "captioned"])
def test_the_shift_points_from_unsafe_to_benign_texts(texts: str) -> None:
    defense, train = shiftdc(texts=texts), tiny.calibration().train
    means = []
    for kind in ("benign", "harmful"):
        prompts = train.text(kind) if texts == "plain" else told(defense, train.media(kind))  # type: ignore[arg-type]
        means.append(read(tiny.model(), prompts).mean(0))
    torch.testing.assert_close(defense.shift_, means[0] - means[1], atol=1e-4, rtol=1e-4)


def test_zero_strength_is_the_undefended_model_bit_for_bit() -> None:
    defense, prompts = shiftdc(alpha=0.0, positions="all", phase="both"), list(tiny.prompts())
    plain = tiny.model().logits(prompts)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        assert torch.equal(tiny.model().logits(prompts), plain)


def test_text_is_left_alone_and_costs_nothing() -> None:
    text = [p for p in tiny.prompts() if not p.media]
    answers = shiftdc(alpha=50.0).wrap(tiny.model()).generate(text, tiny.SHORT)
    assert [(r.text, r.cost.target_calls, r.cost.extra_forward_passes) for r in answers] == [
        (r.text, 1, 0) for r in tiny.model().generate(text, tiny.SHORT)
    ]


def test_full_strength_gives_the_first_layer_the_safety_coordinate_of_the_caption_form() -> None:
    defense, prompts = shiftdc(), media_prompts()
    shift, plain = defense.shift_[2], read(tiny.model(), prompts)[:, 2]
    corrected = steered(defense, prompts)[:, 2]
    caption_form = read(tiny.model(), told(defense, prompts))[:, 2]
    assert ((plain - caption_form) @ shift).abs().min() > 1e-2
    torch.testing.assert_close(corrected @ shift, caption_form @ shift, atol=1e-3, rtol=1e-4)
    moved = corrected - plain
    across = moved - (moved @ shift)[:, None] * shift / shift.square().sum()
    assert across.abs().max() < 1e-4


def test_corrections_of_all_layers_come_from_unsteered_states() -> None:
    defense, prompts = shiftdc(layers=[0, 3]), media_prompts()
    moved = (read(tiny.model(), prompts) - read(tiny.model(), told(defense, prompts)))[:, [0, 3]]
    shift = defense.shift_[[0, 3]]
    expected = (moved * shift).sum(-1, keepdim=True) / shift.square().sum(-1, keepdim=True) * shift
    doses = doses_of(defense, prompts)
    for prompt, vectors in zip(prompts, expected, strict=True):
        torch.testing.assert_close(doses[prompt.id].vectors, vectors, atol=1e-4, rtol=1e-4)


def test_the_sign_of_the_shift_is_irrelevant() -> None:
    there, back = shiftdc(), shiftdc()
    back.shift_ = -back.shift_
    assert torch.equal(steered(there, media_prompts()), steered(back, media_prompts()))


def test_the_flipped_control_moves_the_other_way_by_as_much() -> None:
    plain = read(tiny.model(), media_prompts())
    there, back = ((steered(shiftdc(sign=s), media_prompts()) - plain)[:, 2] for s in (1, -1))
    assert there.norm() > 0.1
    torch.testing.assert_close(there, -back, atol=1e-4, rtol=0)


def test_only_the_last_prompt_token_is_corrected() -> None:
    """With nothing but the last column changed, the mean over a prompt of n tokens moves by 1/n of what that does."""
    defense, prompts = shiftdc(layers=[3]), media_prompts()
    lengths = torch.tensor([p.length for p in tiny.model().prepare(prompts)])  # type: ignore[union-attr]
    where: dict[str, Any] = {"positions": "mean_prompt"}
    plain = read(tiny.model(), prompts, **where)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        moved = (read(tiny.model(), prompts, **where) - plain)[:, 3]
    vectors = torch.stack([doses_of(defense, prompts)[p.id].vectors[0] for p in prompts])  # type: ignore[index]
    torch.testing.assert_close(moved, -vectors / lengths[:, None], atol=1e-4, rtol=1e-3)


def test_the_caption_and_two_passes_are_paid_for() -> None:
    defense, prompts = shiftdc(), media_prompts()
    captions = defense._captions(tiny.model(), prompts)
    plain = tiny.model().generate(prompts, tiny.SHORT)
    answers = defense.wrap(tiny.model()).generate(prompts, tiny.SHORT)
    for response, caption, bare in zip(answers, captions, plain, strict=True):
        assert response.cost.target_calls == 2 and response.cost.extra_forward_passes == 2
        assert response.cost.prompt_tokens == bare.cost.prompt_tokens + caption.cost.prompt_tokens
        assert response.cost.generated_tokens > caption.cost.generated_tokens > 0
        assert response.trace.signals["shift_cosine"] == response.trace.score
        assert -1 <= (response.trace.score or 0) <= 1 and response.trace.score != 0


def test_a_row_whose_caption_fails_fails_alone_and_says_so() -> None:
    """A prompt that just fits into the context, so that the longer caption call does not."""
    good, room = media_prompts()[0], 2048
    picture = noise(16, 16, 0)
    empty = tiny.model().prepare([Prompt.user("", picture)])[0].length  # type: ignore[union-attr]
    tight = Prompt.user("x" * (room - 10 - empty), picture)
    assert tiny.model().generate([tight], tiny.SHORT)[0].error is None
    answers = shiftdc().wrap(tiny.model()).generate([good, tight], tiny.SHORT)
    assert answers[0].error is None
    assert answers[1].text is None and "shiftdc: the caption failed" in (answers[1].error or "")
    assert answers[1].cost.target_calls == 1


def test_a_caption_form_that_cannot_be_read_fails_but_any_caption_is_used() -> None:
    """A caption that comes is the method's input, however garbled; one that makes the text too long is a failure."""
    picture = noise(16, 16, 0)
    prompt = Prompt.user("x" * 1000, picture)
    good = shiftdc().wrap(tiny.model()).generate([prompt], tiny.SHORT)[0]
    assert good.error is None
    wide = shiftdc(surrogate="{query} {query} {query} {caption}").wrap(tiny.model()).generate([prompt], tiny.SHORT)[0]
    assert "could not read the states" in (wide.error or "") and wide.cost.target_calls == 2


def test_a_broken_picture_fails_alone() -> None:
    good = media_prompts()[:2]
    answers = shiftdc().wrap(tiny.model()).generate([good[0], tiny.broken(), good[1]], tiny.SHORT)
    assert answers[1].error is not None
    alone = shiftdc().wrap(tiny.model()).generate(good, tiny.SHORT)
    assert [r.text for r in answers[::2]] == [r.text for r in alone]


def test_captions_come_from_the_model_that_it_is_given() -> None:
    inner = DriftCorrection(alpha=40.0, positions="all", phase="both").fit(tiny.model(), tiny.calibration())
    defense, prompts = shiftdc(), media_prompts()
    steered_captions = [r.text for r in defense._captions(inner.wrap(tiny.model()), prompts)]
    assert steered_captions != [r.text for r in defense._captions(tiny.model(), prompts)]
    told_by_inner = defense.doses(inner.wrap(tiny.model()), prompts)
    texts = [defense._told(p, Response(c)) for p, c in zip(prompts, steered_captions, strict=True)]
    moved = (read(tiny.model(), prompts) - read(tiny.model(), texts))[:, 2]
    shift = defense.shift_[2]
    expected = (moved @ shift)[:, None] * shift / shift.square().sum()
    found = torch.stack([told_by_inner[p.id].vectors[0] for p in prompts])  # type: ignore[attr-defined]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_auto_chooses_a_strength_and_forgets_the_captions() -> None:
    defense = shiftdc(alpha="auto", caption_tokens=2)
    assert defense.strength_ in (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5)
    assert defense._learnt is None


def test_what_a_user_gets_wrong_is_said_in_a_sentence() -> None:
    text_alone = CalibrationSplit(tuple(s for s in tiny.calibration().train.samples if not s.prompt.media))
    calibration = Calibration(text_alone, text_alone)
    with pytest.raises(PluginError, match="texts=plain"):
        ShiftDC().fit(tiny.model(), calibration)
    assert ShiftDC(texts="plain").fit(tiny.model(), calibration).strength_ == 1.0
    with pytest.raises(PluginError, match="captioned, plain"):
        ShiftDC(texts="sideways")  # type: ignore[arg-type]
