"""VLM-Guard: projections are projections, whatever the weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from defenses.vlm_guard import VLMGuard, top_directions
from harness.contracts import PluginError
from harness.residual import read
from harness.states import last_token_states
from harness.types import Prompt
from tests import tiny_world as tiny

LAYER = 1


def guard(**params: Any) -> VLMGuard:
    return VLMGuard(**params).fit(tiny.model(), tiny.calibration())


def media_prompts() -> list[Prompt]:
    return [p for p in dict.fromkeys(tiny.prompts()) if p.media]


def changed(defense: VLMGuard, states: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    return defense.change(states, SimpleNamespace(layer=LAYER, strength=torch.full((len(states), 1), strength)))


def states() -> torch.Tensor:
    return read(tiny.model(), list(tiny.prompts()))[:, LAYER]


@pytest.mark.parametrize("reading", ["projection", "gated"])
def test_zero_strength_is_the_undefended_model_bit_for_bit(reading: str) -> None:
    defense, prompts = guard(strength=0.0, reading=reading), list(tiny.prompts())
    plain = tiny.model().logits(prompts)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), prompts)):
        assert torch.equal(tiny.model().logits(prompts), plain)


def test_the_projection_is_idempotent_and_leaves_the_rest() -> None:
    defense = guard(layers=[LAYER])
    directions, once = defense.directions_[LAYER], changed(defense, states())
    assert (states() @ directions.T).abs().max() > 0.1
    assert (once @ directions.T).abs().max() < 1e-4
    torch.testing.assert_close(changed(defense, once), once, atol=1e-5, rtol=0)
    moved = once - states()
    torch.testing.assert_close(moved @ directions.T @ directions, moved, atol=1e-4, rtol=1e-4)


def test_strength_is_the_share_of_the_projection() -> None:
    half, whole = (changed(guard(), states(), s) - states() for s in (0.5, 1.0))
    torch.testing.assert_close(2 * half, whole, atol=1e-5, rtol=1e-5)


def test_in_the_model_the_edited_layer_has_no_such_coordinates() -> None:
    defense = guard(layers=[LAYER])
    with defense.steer(tiny.model(), defense.doses(tiny.model(), media_prompts())):
        for where in ("last", "mean_prompt"):
            left = read(tiny.model(), media_prompts(), positions=where)[:, LAYER]  # type: ignore[arg-type]
            assert (left @ defense.directions_[LAYER].T).abs().max() < 1e-4


def test_directions_are_orthonormal_and_point_from_benign_to_harmful() -> None:
    defense, train = guard(rank=2, pairs=3), tiny.calibration().train
    harmful, benign = (last_token_states(tiny.model(), train.text(k))[:3] for k in ("harmful", "benign"))  # type: ignore[arg-type]
    differences = harmful - benign
    for layer, directions in enumerate(defense.directions_):
        torch.testing.assert_close(directions @ directions.T, torch.eye(2), atol=1e-5, rtol=0)
        assert (directions @ differences[:, layer].mean(0)).min() > 0
        assert differences[:, layer].square().sum() >= (differences[:, layer] @ directions.T).square().sum()


def test_top_directions_find_what_was_planted() -> None:
    """Two axes of unequal spread in noise-free differences; what they do not span is left null."""
    axes = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0][:2]
    sizes = torch.tensor([[3.0, 0.5], [5.0, -0.3], [4.0, 0.9]])
    found = top_directions(sizes @ axes, 5)
    assert found.shape == (3, 16)
    assert float(found[0] @ axes[0]) > 0.99 and abs(float(found[1] @ axes[1])) > 0.99
    assert found[2].abs().max() == 0
    flipped = top_directions(-sizes @ axes, 5)
    torch.testing.assert_close(flipped, -found, atol=1e-5, rtol=0)


def test_the_gate_opens_where_the_first_direction_says_harmful() -> None:
    projected, first = changed(guard(), states()), guard().directions_[LAYER, 0]
    both = torch.cat([states(), -states()])
    projected = torch.cat([projected, -projected])
    for gain in (0.0, 1.0, 3.0):
        found = changed(guard(reading="gated", gain=gain), both)
        is_open = (both @ first > 0)[:, None]
        assert is_open.any() and not is_open.all()
        expected = projected + gain * is_open * (both - projected)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_flipped_sign_adds_what_the_method_removes() -> None:
    plain = read(tiny.model(), media_prompts())
    moves = []
    for sign in (1, -1):
        defense = guard(sign=sign, layers=[LAYER])
        with defense.steer(tiny.model(), defense.doses(tiny.model(), media_prompts())):
            moves.append((read(tiny.model(), media_prompts()) - plain)[:, LAYER])
    assert moves[0].norm() > 0.1
    torch.testing.assert_close(moves[0], -moves[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("inputs", "touched"), [("media", False), ("all", True)])
def test_text_is_touched_only_where_it_is_asked_for(inputs: Any, touched: bool) -> None:
    text = [p for p in tiny.prompts() if not p.media]
    defense = guard(inputs=inputs)
    plain = tiny.model().logits(text)
    with defense.steer(tiny.model(), defense.doses(tiny.model(), text)):
        assert torch.equal(tiny.model().logits(text), plain) is not touched


def test_it_costs_no_extra_pass() -> None:
    for response in guard().wrap(tiny.model()).generate(media_prompts(), tiny.SHORT):
        assert response.cost.extra_forward_passes == 0 and response.cost.target_calls == 1


def test_what_a_user_gets_wrong_is_said_in_a_sentence() -> None:
    with pytest.raises(PluginError, match="projection, gated"):
        VLMGuard(reading="sideways")  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="at least 1"):
        VLMGuard(rank=0)
    assert guard().layers_.tolist() == [int(14 / 32 * 4)] and guard(layers=[-1]).layers_.tolist() == [3]
