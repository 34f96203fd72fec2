"""Attribution by ablation finds planted patches, and the logit of an opening is that of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import pytest

from harness.attribution import attributed, most_important, opening_logits, patch_grid, without_patches
from harness.contracts import PluginError
from harness.types import Image, Prompt
from tests import tiny_world as tiny
from tests.tiny_models import noise

SETTINGS: dict[str, Any] = {"ablations": 64, "keep": 0.5, "fill": "grey", "penalty": 0.01, "seed": 0}


def bright(*places: tuple[int, int], grid: int = 4, side: int = 10) -> Image:
    """Grey but for white patches."""
    pixels = np.full((grid * side, grid * side, 3), 128, dtype=np.uint8)
    for row, column in places:
        pixels[row * side : (row + 1) * side, column * side : (column + 1) * side] = 255
    return Image.from_pil(PIL.Image.fromarray(pixels))


def brightness(pictures: Sequence[Image]) -> list[float]:
    return [float(np.array(p.pil()).mean()) for p in pictures]


def test_patches_that_a_score_goes_by_are_found_and_no_others() -> None:
    weights = attributed(brightness, bright((0, 1), (3, 2)), grid=4, **SETTINGS)
    found = most_important(weights, 15)
    assert np.argwhere(found).tolist() == [[0, 1], [3, 2]]
    assert np.argwhere(most_important(weights, 1)).shape == (1, 2)
    # Each white patch of 16 raises the mean by (255 - 128) / 16, less what the L1 term takes.
    np.testing.assert_allclose(weights[found], 127 / 16, rtol=0.02)


def test_patches_that_speak_against_the_score_are_not_taken() -> None:
    weights = attributed(lambda p: [-b for b in brightness(p)], bright((1, 1)), grid=4, **SETTINGS)
    assert weights[1, 1] < -1 and not most_important(weights, 15).any()


def test_attribution_is_repeatable() -> None:
    one, again = (attributed(brightness, noise(40, 40, 1), grid=4, **SETTINGS) for _ in range(2))
    assert np.array_equal(one, again)


@pytest.mark.parametrize("size", [(40, 40), (50, 37)])
def test_kept_patches_keep_their_pixels_and_others_are_painted(size: tuple[int, int]) -> None:
    picture = noise(*size, 1)
    pixels = np.array(picture.pil())
    assert np.array_equal(np.array(without_patches(picture, np.ones((4, 4), bool), "mean").pil()), pixels)
    gone = np.array(without_patches(picture, np.zeros((4, 4), bool), "mean").pil())
    np.testing.assert_allclose(
        gone.reshape(-1, 3), np.broadcast_to(pixels.mean((0, 1)), (size[0] * size[1], 3)), atol=1
    )
    kept = np.ones((2, 2), bool)
    kept[0, 1] = False
    half = np.array(without_patches(picture, kept, "grey").pil())
    middle = (size[1] + 1) // 2, (size[0] + 1) // 2
    assert (half[: middle[0], middle[1] :] == 128).all()
    assert np.array_equal(half[middle[0] :], pixels[middle[0] :])


@pytest.mark.parametrize(("size", "grid"), [((336, 336), 24), ((80, 80), 5), ((1000, 500), 24), ((10, 10), 2)])
def test_a_patch_has_fourteen_pixels_and_a_picture_at_most_the_published_grid(size: Any, grid: int) -> None:
    assert patch_grid(noise(*size, 0), 24) == grid


def test_the_logit_of_a_one_token_opening_is_that_of_the_next_token() -> None:
    """The tiny tokenizer has one token a character."""
    prompts = [Prompt.user("what is it?", noise(16, 16, seed)) for seed in range(5)]
    token = tiny.model().tokenizer.convert_tokens_to_ids("S")
    expected = tiny.model().logits(prompts)[:, token].tolist()
    assert opening_logits(tiny.model(), prompts, "S") == pytest.approx(expected, abs=1e-4)


def test_the_logit_of_an_opening_is_the_mean_over_its_tokens() -> None:
    prompts = [Prompt.user("what is it?", noise(16, 16, seed)) for seed in range(3)]
    ids = tiny.model().tokenizer.convert_tokens_to_ids(list("Su"))
    first = tiny.model().logits(prompts)[:, ids[0]]
    second = tiny.model().logits([p.with_prefix("S") for p in prompts])[:, ids[1]]
    expected = ((first + second) / 2).tolist()
    assert opening_logits(tiny.model(), prompts, "Su") == pytest.approx(expected, abs=1e-4)
    assert opening_logits(tiny.model(), prompts[1:2], "Su") == pytest.approx(expected[1:2], abs=1e-4)


def test_a_picture_that_cannot_be_read_is_said_in_a_sentence() -> None:
    with pytest.raises(PluginError, match="cannot be used|cannot begin"):
        opening_logits(tiny.model(), [tiny.broken()], "S")
    with pytest.raises(PluginError, match="no token"):
        opening_logits(tiny.model(), [Prompt.user("a", noise(16, 16, 0))], "")
