"""SARSteer: the formula on planted states, and where and when the vector is added."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from defenses.sarsteer import REFERENCES, SARSteer, without_safe
from harness import residual
from harness.calibration import Calibration, CalibrationSplit
from harness.contracts import PluginError
from harness.states import last_token_states
from harness.types import Prompt
from tests import tiny_world as tiny


def sarsteer(**params: Any) -> SARSteer:
    return SARSteer(**{"alpha": 1.0, **params}).fit(tiny.model(), tiny.calibration())


def media() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def test_the_safe_part_goes_and_the_rest_stays() -> None:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(12, 12)).Q.T[:3]
    safe = torch.randn(50, 1, 2) @ axes[:2] * torch.tensor(3.0) + torch.randn(12)
    direction = (2 * axes[0] + 5 * axes[1] - 4 * axes[2])[None]
    torch.testing.assert_close(without_safe(direction, safe, 2, 1.0)[0], -4 * axes[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(without_safe(direction, safe, 2, 0.0), direction, atol=1e-5, rtol=0)
    half = without_safe(direction, safe, 2, 0.5)[0]
    torch.testing.assert_close(half, axes[0] + 2.5 * axes[1] - 4 * axes[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(without_safe(direction, safe, 0, 1.0), direction, atol=1e-5, rtol=0)


def test_what_remains_is_orthogonal_to_the_safe_components_and_taking_them_again_changes_nothing() -> None:
    torch.manual_seed(1)
    safe, direction = torch.randn(30, 4, 16), torch.randn(4, 16)
    once = without_safe(direction, safe, 5, 1.0)
    torch.testing.assert_close(without_safe(once, safe, 5, 1.0), once, atol=1e-5, rtol=0)
    shifted = without_safe(direction, safe + 100.0, 5, 1.0)
    torch.testing.assert_close(shifted, once, atol=1e-3, rtol=0)


def test_few_safe_prompts_take_no_more_than_they_span() -> None:
    torch.manual_seed(2)
    safe, direction = torch.randn(3, 1, 16), torch.randn(1, 16)
    torch.testing.assert_close(without_safe(direction, safe, 10, 1.0), without_safe(direction, safe, 2, 1.0))
    torch.testing.assert_close(without_safe(direction, safe[:1], 10, 1.0), direction, atol=1e-5, rtol=0)


def test_the_vector_is_what_the_reference_does_to_harmful_prompts_with_media() -> None:
    harmful = tiny.calibration().train.media("harmful")
    warned = [p.with_text(p.text + "I cannot assist with that.") for p in harmful]
    shift = (last_token_states(tiny.model(), warned) - last_token_states(tiny.model(), harmful)).mean(0)
    torch.testing.assert_close(sarsteer(lam=0.0).vector_, shift, atol=1e-4, rtol=1e-4)
    safe = last_token_states(tiny.model(), tiny.calibration().train.media("benign"))
    torch.testing.assert_close(sarsteer(k=3).vector_, without_safe(shift, safe, 3, 1.0), atol=1e-4, rtol=1e-4)


def test_references_differ_and_any_text_will_do() -> None:
    vectors = [sarsteer(ref=name).vector_ for name in REFERENCES]
    torch.testing.assert_close(sarsteer(ref="I cannot assist with that.").vector_, vectors[0])
    assert not torch.allclose(vectors[0], vectors[1]) and not torch.allclose(vectors[1], vectors[2])
    assert "’" in REFERENCES["policy"], "as published"
    with pytest.raises(PluginError, match="refusal, policy, shield"):
        SARSteer(ref="polite")
    with pytest.raises(PluginError, match="k=-1"):
        SARSteer(k=-1)


def test_only_the_last_position_of_each_step_is_moved() -> None:
    defense, prompts = sarsteer(alpha=0.5, layers=[3]), media()
    plain = [residual.read(tiny.model(), prompts, positions=w) for w in ("last", "last-1", "mean_prompt")]
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        steered = [residual.read(tiny.model(), prompts, positions=w) for w in ("last", "last-1")]
    torch.testing.assert_close(
        (steered[0] - plain[0])[:, 3], 0.5 * defense.vector_[3].expand(len(prompts), 32), atol=1e-4, rtol=1e-4
    )
    assert torch.equal(steered[1], plain[1])


def moved(phase: str) -> list[bool]:
    """Whether the first, and the later tokens of the answers differ from those of the undefended model."""
    sites: list[str] = []
    defense = sarsteer(alpha=1.0, layers=[3], phase=phase)
    change = defense.change
    defense.change = lambda states, site: (sites.append(site.phase), change(states, site))[1]  # type: ignore
    defense.wrap(tiny.model()).generate(media(), tiny.SHORT)
    return ["prefill" in sites, "decode" in sites]


def test_phases() -> None:
    assert moved("both") == [True, True]
    assert moved("prefill") == [True, False]
    assert moved("decode") == [False, True]


def test_no_strength_is_the_undefended_model_bit_for_bit_and_text_is_left_alone() -> None:
    prompts, text = list(tiny.prompts()), [p for p in tiny.prompts() if not p.media]
    none, strong = sarsteer(alpha=0.0), sarsteer(alpha=50.0)
    for defense, asked in ((none, prompts), (strong, text)):
        expected = tiny.model().logits(asked)
        with defense.steer(tiny.model(), defense.doses(tiny.model(), asked)):
            assert torch.equal(tiny.model().logits(asked), expected)


def test_without_media_to_learn_from_it_says_so() -> None:
    split = CalibrationSplit(tuple(s for s in tiny.samples("train", 3) if not s.prompt.media))
    text_only = Calibration(split, split)
    with pytest.raises(PluginError, match="inputs=all"):
        SARSteer(alpha=1.0).fit(tiny.model(), text_only)
    assert SARSteer(alpha=1.0, inputs="all").fit(tiny.model(), text_only).vector_.shape == (4, 32)
