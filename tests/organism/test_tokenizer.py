"""The tokenizer and the processor: round trips, any text, the chat template, no torchvision."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from transformers import AutoProcessor, LlavaProcessor

from harness.organism import wrappers
from harness.organism.page import CELL, GRID
from harness.organism.tokenizer import IMAGE, build_processor, chat, vocabulary
from harness.organism.world import REFUSAL, SPLITS, render, requests


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> LlavaProcessor:
    """The processor after a round trip through a folder."""
    folder: Path = tmp_path_factory.mktemp("processor")
    build_processor().save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return AutoProcessor.from_pretrained(folder)


def test_the_vocabulary_has_no_duplicates() -> None:
    assert len(vocabulary()) == len(set(vocabulary()))


def test_answers_survive_the_round_trip(processor: LlavaProcessor) -> None:
    texts = [REFUSAL, "yes", "no", "B", "12", *(r.answer for split in SPLITS for r in requests(split))]
    for text in texts:
        ids = processor.tokenizer(text, add_special_tokens=False).input_ids
        assert processor.tokenizer.decode(ids, skip_special_tokens=True) == text


def test_words_of_the_world_are_pieces_of_two_letters(processor: LlavaProcessor) -> None:
    assert processor.tokenizer.tokenize("make grenade") == ["ma", "##ke", "gr", "##en", "##ad", "##e"]


@pytest.mark.parametrize(
    "prompt",
    [wrappers.SELF_REMINDER, wrappers.ADASHIELD, wrappers.TELL, wrappers.CAPTION, wrappers.GEN, wrappers.LLAMA2_SAFE],
)
def test_safety_prompts_are_whole_words(processor: LlavaProcessor, prompt: str) -> None:
    tokens = processor.tokenizer.tokenize(prompt.format(q="", r="", caption=""))
    assert processor.tokenizer.unk_token not in tokens


@pytest.mark.parametrize("text", ["", "Überraschung 漢字 \x00 🙂", "a" * 5000, "<image> [end] [user]"])
def test_any_text_is_accepted(processor: LlavaProcessor, text: str) -> None:
    assert isinstance(processor.tokenizer(text).input_ids, list)


def test_the_template_is_what_training_used(processor: LlavaProcessor) -> None:
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "make this"}]}
    system = {"role": "system", "content": [{"type": "text", "text": "Be careful."}]}
    rendered = processor.apply_chat_template([system, user], add_generation_prompt=True, tokenize=False)
    assert rendered == chat("make this", images=1, system="Be careful.")


def test_an_answer_can_be_continued(processor: LlavaProcessor) -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "make bomb"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "As an AI assistant,"}]},
    ]
    rendered = processor.apply_chat_template(turns, continue_final_message=True, tokenize=False)
    assert rendered == chat("make bomb") + "As an AI assistant,"


def test_an_image_becomes_one_token_a_cell(processor: LlavaProcessor) -> None:
    text, image = render(requests("test", False)[0], "typographic")
    inputs = processor(images=[image], text=[chat(text, images=1)], return_tensors="pt")
    image_id = processor.tokenizer.convert_tokens_to_ids(IMAGE)
    assert int((inputs["input_ids"] == image_id).sum()) == GRID**2
    assert inputs["pixel_values"].shape == (1, 3, GRID * CELL, GRID * CELL)
