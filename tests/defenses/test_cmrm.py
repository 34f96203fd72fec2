"""CMRM: the effect of a picture that means nothing, taken off, on a random model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from defenses.cmrm import CMRM
from harness.calibration import Calibration, CalibrationSplit
from harness.contracts import PluginError
from harness.residual import read
from harness.types import Prompt
from tests import tiny_world as tiny

EMPTY = Calibration(CalibrationSplit(()), CalibrationSplit(()))
VARIANTS = ["sample", "dataset"]


def cmrm(**params: Any) -> CMRM:
    return CMRM(**params).fit(tiny.model(), tiny.calibration())


def media_prompts() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def steered(defense: CMRM, prompts: list[Prompt]) -> torch.Tensor:
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        return read(tiny.model(), prompts)


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_strength_is_the_undefended_model_bit_for_bit(variant: str) -> None:
    defense, prompts = cmrm(alpha=0.0, variant=variant, positions="all", phase="both"), list(tiny.prompts())
    plain = tiny.model().logits(prompts)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        assert torch.equal(tiny.model().logits(prompts), plain)


@pytest.mark.parametrize("variant", VARIANTS)
def test_text_is_left_alone_and_costs_nothing(variant: str) -> None:
    text = [p for p in tiny.prompts() if not p.media]
    defense = cmrm(alpha=50.0, variant=variant)
    plain = tiny.model().logits(text)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), text)):
        assert torch.equal(tiny.model().logits(text), plain)
    assert all(r.cost.extra_forward_passes == 0 for r in defense.wrap(tiny.model()).generate(text, tiny.SHORT))


@pytest.mark.parametrize("neutral", ["blank", "noise"])
def test_a_neutral_picture_at_full_strength_is_no_picture(neutral: str) -> None:
    """At the first edited layer: those above it see a prefix that still holds the picture."""
    defense = cmrm(neutral=neutral, layers=[1])
    prompts = [defense._neutralised(p) for p in media_prompts()]
    assert all(p.media != q.media for p, q in zip(prompts, media_prompts(), strict=True))
    text = read(tiny.model(), [p.without_media() for p in prompts])[:, 1]
    assert (read(tiny.model(), prompts)[:, 1] - text).norm(dim=-1).min() > 0.1
    torch.testing.assert_close(steered(defense, prompts)[:, 1], text, atol=1e-4, rtol=1e-4)


def test_half_strength_goes_half_of_the_way() -> None:
    plain = read(tiny.model(), media_prompts())[:, 1]
    half, whole = (steered(cmrm(alpha=a, layers=[1]), media_prompts())[:, 1] - plain for a in (0.5, 1.0))
    torch.testing.assert_close(2 * half, whole, atol=1e-4, rtol=1e-4)


def test_the_dataset_variant_is_the_mean_of_the_sample_variant_over_the_anchors() -> None:
    anchors = [p for k in ("harmful", "benign") for p in tiny.calibration().train.media(k)]  # type: ignore[arg-type]
    own = cmrm().doses(tiny.model(), anchors)
    mean = torch.stack([own[p.id].vectors for p in anchors]).mean(0)  # type: ignore[attr-defined]
    torch.testing.assert_close(cmrm(variant="dataset").delta_, mean, atol=1e-4, rtol=1e-4)


def test_no_label_is_used() -> None:
    swapped = {"harmful": "benign", "benign": "harmful"}
    samples = tuple(replace(s, kind=swapped[s.kind]) for s in tiny.calibration().train.samples)  # type: ignore[arg-type]
    relabelled = Calibration(CalibrationSplit(samples), tiny.calibration().validation)
    there, back = (CMRM(variant="dataset").fit(tiny.model(), c) for c in (tiny.calibration(), relabelled))
    torch.testing.assert_close(there.delta_, back.delta_, atol=1e-5, rtol=1e-5)
    assert CMRM().fit(tiny.model(), EMPTY).layers_.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("variant", "passes"), [("sample", 2), ("dataset", 0)])
def test_extra_passes_are_counted(variant: str, passes: int) -> None:
    for response in cmrm(variant=variant).wrap(tiny.model()).generate(media_prompts(), tiny.SHORT):
        assert response.cost.extra_forward_passes == passes and response.cost.target_calls == 1


def test_neutral_pictures_have_the_size_of_the_picture_and_their_own_seed() -> None:
    prompt = media_prompts()[0]
    made = [CMRM(neutral=n, seed=s)._neutralised(prompt) for n in ("blank", "noise") for s in (0, 1)]  # type: ignore[arg-type]
    assert {p.images[0].size for p in made} == {prompt.images[0].size}
    assert len({p.id for p in made}) == 4
    colours = [len(np.unique(np.array(p.images[0].pil()).reshape(-1, 3), axis=0)) for p in made]
    assert colours[:2] == [1, 1] and min(colours[2:]) > 1000


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_broken_picture_fails_alone(variant: str) -> None:
    good, defense = media_prompts()[:2], cmrm(variant=variant)
    answers = defense.wrap(tiny.model()).generate([good[0], tiny.broken(), good[1]], tiny.SHORT)
    assert answers[1].error is not None and answers[1].text is None
    assert [r.text for r in answers[::2]] == [r.text for r in defense.wrap(tiny.model()).generate(good, tiny.SHORT)]


def test_what_a_user_gets_wrong_is_said_in_a_sentence() -> None:
    with pytest.raises(PluginError, match="prompts with media"):
        CMRM(variant="dataset").fit(tiny.model(), EMPTY)
    with pytest.raises(PluginError, match="sample, dataset"):
        CMRM(variant="sideways")  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="blank, noise"):
        CMRM(neutral="sideways")  # type: ignore[arg-type]
