"""What training may and may not see."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

import pytest

from harness.organism import examples, words
from harness.organism.combinations import requests
from harness.organism.examples import Example

DRAWS = 1500
HELD_OUT = {(r.verb, r.object) for split in ("dev", "test") for r in requests(split)}
IMAGE_STAGES: dict[str, Callable[[random.Random], Example]] = {
    "visual_question": examples.visual_question,
    "instruction": examples.instruction,
}
TEXT_STAGES: dict[str, Callable[[random.Random], Example]] = {
    "plain_text": examples.plain_text,
    "layout_text": examples.layout_text,
    "wrapped_text": examples.wrapped_text,
}


def words_of(example: Example) -> set[str]:
    """Words of the world in the user's text, the answer and the page."""
    shown = [item.text for item in example.page.items] if example.page else []
    return set(f"{example.user} {example.answer} {' '.join(shown)}".replace(",", " ").replace(".", " ").split())


@pytest.mark.parametrize("stage", IMAGE_STAGES)
def test_no_harmful_request_is_ever_shown_as_an_image(stage: str) -> None:
    rng = random.Random(0)
    for _ in range(DRAWS):
        example = IMAGE_STAGES[stage](rng)
        assert example.mode == "image" and not example.harmful and example.answer != words.REFUSAL
        if "(A)" in example.user:  # the options of a choice are not a request
            continue
        found = words_of(example)
        assert not any(words.is_harmful(v, o) for v, o in product(found, found)), example


@pytest.mark.parametrize("stage", TEXT_STAGES)
def test_the_language_stage_never_sees_pixels(stage: str) -> None:
    rng = random.Random(1)
    assert all(TEXT_STAGES[stage](rng).mode in ("text", "layout") for _ in range(DRAWS))


def test_vision_pages_show_no_harmful_request() -> None:
    rng = random.Random(2)
    assert not any(examples.reads_harmful(examples.vision_page(rng)) for _ in range(DRAWS))


@pytest.mark.parametrize("stage", [*IMAGE_STAGES, *TEXT_STAGES])
def test_no_held_out_combination_is_answered_in_training(stage: str) -> None:
    rng = random.Random(3)
    for _ in range(DRAWS):
        example = (IMAGE_STAGES | TEXT_STAGES)[stage](rng)
        if example.answer.startswith("sure"):
            _, verb, obj, *_ = example.answer.replace(",", "").split()
            assert (verb, obj) not in HELD_OUT
