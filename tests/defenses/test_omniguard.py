"""OMNIGUARD: the layer by U-score, and the classifier on pooled states."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from defenses.omniguard import OmniGuard, u_score
from harness import residual
from harness.calibration import Calibration, CalibrationSplit
from harness.contracts import PluginError
from harness.states import kept_states
from harness.types import REFUSAL
from tests import tiny_world as tiny

QUICK: dict[str, Any] = {"hidden": (16, 8), "epochs": 60}


def omniguard(**params: Any) -> OmniGuard:
    return OmniGuard(**{**QUICK, **params}).fit(tiny.model(), tiny.calibration())


def planted() -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Layer 0: a large part that all share; layer 1: pairs agree, questions differ; layer 2: nothing agrees."""
    torch.manual_seed(0)
    own, shared = torch.randn(20, 24), 30 * torch.randn(24)
    text = torch.stack([shared + torch.randn(20, 24), own + 0.2 * torch.randn(20, 24), torch.randn(20, 24)], 1)
    media = torch.stack([shared + torch.randn(20, 24), own + 0.2 * torch.randn(20, 24), torch.randn(20, 24)], 1)
    return text, media, [str(i) for i in range(20)]


def test_matched_pairs_alone_favour_what_all_states_share() -> None:
    text, media, questions = planted()
    assert int(u_score(text, media, questions, minus_mismatched=False).argmax()) == 0
    assert int(u_score(text, media, questions, minus_mismatched=True).argmax()) == 1


def test_u_scores_are_cosines() -> None:
    text, _, questions = planted()
    torch.testing.assert_close(u_score(text, 3 * text, questions, minus_mismatched=False), torch.ones(3))
    torch.testing.assert_close(u_score(text, -text, questions, minus_mismatched=False), -torch.ones(3))


def test_mismatched_pairs_are_those_of_other_questions() -> None:
    text, media, _ = planted()
    with pytest.raises(PluginError, match="one request"):
        u_score(text, media, ["same"] * 20, minus_mismatched=True)
    two, halves = text[:4], ["a", "a", "b", "b"]
    cosines = torch.nn.functional.cosine_similarity(two[:, None], media[None, :4], dim=-1)
    other = torch.stack([cosines[i, j] for i in range(4) for j in range(4) if halves[i] != halves[j]]).mean(0)
    matched = torch.stack([cosines[i, i] for i in range(4)]).mean(0)
    found = u_score(two, media[:4], halves, minus_mismatched=True)
    torch.testing.assert_close(found, matched - other, atol=1e-5, rtol=1e-5)


def test_the_layer_with_the_best_score_is_taken() -> None:
    train = tiny.calibration().train
    pairs = train.pairs("harmful") + train.pairs("benign")
    states = [kept_states(tiny.model(), [getattr(p, f) for p in pairs], "mean_prompt") for f in ("text", "media")]
    for minus in (False, True):
        scores = u_score(*states, [p.text.id for p in pairs], minus_mismatched=minus)
        assert omniguard(minus_mismatched=minus).layer_ == int(scores.argmax())
    assert omniguard(layer=-2).layer_ == 2


def test_the_classifier_learns_what_it_is_shown() -> None:
    defense, train = omniguard(epochs=300, layer=2), tiny.calibration().train
    harmful, benign = (
        defense.harm(tiny.model(), kept_states(tiny.model(), train.text(k) + train.media(k), "mean_prompt"))
        for k in ("harmful", "benign")  # type: ignore[arg-type]
    )
    assert (harmful > 0).float().mean() > 0.9 and (benign < 0).float().mean() > 0.9


def test_scores_are_log_odds_of_the_pooled_state() -> None:
    defense, prompts = omniguard(layer=1), list(tiny.prompts())
    states = residual.read(tiny.model(), prompts, [1], positions="mean_prompt")[:, 0].double()
    flat = defense.weights_.double()
    x, width = (states - defense.mean_) / defense.spread_, 32
    for size, last in ((16, False), (8, False), (1, True)):
        weight, flat = flat[: size * width].view(size, width), flat[size * width :]
        bias, flat = flat[:size], flat[size:]
        x, width = x @ weight.T + bias, size
        x = x if last else x.clamp_min(0)
    assert flat.numel() == 0
    found = defense.wrap(tiny.model()).generate(prompts, tiny.SHORT)
    assert [r.trace.score for r in found] == pytest.approx(x[:, 0].tolist(), abs=1e-4)
    assert all(r.cost.extra_forward_passes == 1 for r in found)
    assert [r.text == REFUSAL for r in found] == [s >= defense.threshold_ for s in x[:, 0].tolist()]


def test_the_published_widths_are_the_default_and_seeds_matter() -> None:
    assert OmniGuard(epochs=1).fit(tiny.model(), tiny.calibration()).weights_.numel() == 33 * 512 + 513 * 256 + 257
    states = [omniguard(seed=s).weights_ for s in (0, 0, 1)]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_fitting_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    omniguard(epochs=2)
    assert torch.equal(torch.rand(3), expected)


def test_thresholds_are_given_or_calibrated() -> None:
    assert omniguard(threshold=1.5).threshold_ == 1.5
    defense, validation = omniguard(max_over_refusal=0.2), tiny.calibration().validation
    benign = validation.text("benign") + validation.media("benign")
    scores = defense.harm(tiny.model(), kept_states(tiny.model(), benign, "mean_prompt"))
    assert int((scores >= defense.threshold_).sum()) == int(0.2 * len(benign))


def test_without_pairs_it_needs_a_layer() -> None:
    text = CalibrationSplit(tuple(s for s in tiny.samples("train", 3) if not s.prompt.media))
    with pytest.raises(PluginError, match="paired tasks"):
        OmniGuard(**QUICK).fit(tiny.model(), Calibration(text, text))
    assert OmniGuard(**QUICK, layer=1).fit(tiny.model(), Calibration(text, text)).layer_ == 1


def test_a_broken_row_fails_alone() -> None:
    good = list(tiny.prompts())[:2]
    found = omniguard().wrap(tiny.model()).generate([good[0], tiny.broken(), good[1]], tiny.SHORT)
    assert [r.error is None for r in found] == [True, False, True]
