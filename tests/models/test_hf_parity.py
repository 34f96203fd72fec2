"""Batch size, order, company and the KV cache never change an answer (design rule 7), on real architectures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from harness import organism, residual
from harness.models.hf import HFModel
from harness.models.hf_prepare import Prepared
from harness.types import GenerationConfig, Image, Prompt
from tests import tiny_torchvision
from tests.tiny_architectures import BUILDERS, MULTIMODAL, families
from tests.tiny_models import clip, loaded, noise, prepared, prompts_for, tone

GREEDY = GenerationConfig(max_new_tokens=6)
SAMPLED = GenerationConfig(max_new_tokens=6, temperature=1.5, top_p=0.95, seed=3)


@pytest.fixture(params=[*families(BUILDERS), "organism"])
def model(request: pytest.FixtureRequest) -> HFModel:
    if request.param != "organism":
        return loaded(request.param)  # type: ignore[no-any-return]
    if not (organism.path() / "config.json").is_file():
        pytest.skip("the organism's weights have not been made yet")
    return HFModel(str(organism.path()), device="cpu")


@contextmanager
def no_cache(model: HFModel) -> Iterator[None]:
    model._use_cache = False
    try:
        yield
    finally:
        model._use_cache = True


def texts(model: HFModel, prompts: list[Prompt], config: GenerationConfig = GREEDY) -> list[str | None]:
    responses = model.generate(prompts, config)
    assert [r.error for r in responses] == [None] * len(prompts)
    return [r.text for r in responses]


def test_company_order_and_cache_change_no_text(model: HFModel) -> None:
    prompts = prompts_for(model)
    together = texts(model, prompts)
    assert [texts(model, [p])[0] for p in prompts] == together
    assert texts(model, prompts[::-1])[::-1] == together
    with no_cache(model):
        assert texts(model, prompts) == together


@pytest.mark.parametrize("name", ["llava", "qwen3_vl", "gemma3"])
def test_nor_does_it_change_a_sample(name: str) -> None:
    model = loaded(name)
    prompts = prompts_for(model)
    together = texts(model, prompts, SAMPLED)
    assert [texts(model, [p], SAMPLED)[0] for p in prompts[::-1]] == together[::-1]
    with no_cache(model):
        assert texts(model, prompts, SAMPLED) == together
    assert together != texts(model, prompts)


def test_logits_do_not_depend_on_company(model: HFModel) -> None:
    prompts = prompts_for(model)
    together = model.logits(prompts)
    assert together.shape == (len(prompts), model.config.get_text_config().vocab_size)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, torch.cat([model.logits([p]) for p in prompts]), atol=1e-4, rtol=1e-4)


def test_forward_with_gradients_agrees_with_logits(model: HFModel) -> None:
    prompts = prompts_for(model)
    expected = model.logits(prompts)
    for index, batch in model.batches(prompts):
        logits = model.forward(batch).logits[:, -1]
        torch.testing.assert_close(logits.float(), expected[index], atol=1e-4, rtol=1e-4)
        assert logits.requires_grad


def test_states_do_not_depend_on_padding(model: HFModel) -> None:
    prompts = prompts_for(model)
    for positions in ("last", "mean_prompt"):
        together = residual.read(model, prompts, positions=positions)
        assert together.shape == (len(prompts), residual.n_layers(model), residual.hidden_size(model))
        alone = torch.cat([residual.read(model, [p], positions=positions) for p in prompts])
        torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


PLACEHOLDERS = {
    "llava": {"image": 16},
    "llava_next": {"image": 36},
    "gemma3": {"image": 4},
    "idefics3": {"image": 20},
    "mllama": {"image": 1},
    "mistral3": {"image": 4},
    "llava_onevision": {"image": 36, "video": 4 * 4 + 1},
    "internvl": {"image": 4, "video": 4 * 4},
    "video_llava": {"image": 16, "video": 4 * 17},
    "smolvlm": {"image": 20, "video": 4 * 4},
    "qwen2_vl": {"image": 4, "video": 2 * 4},
    "qwen2_5_vl": {"image": 4, "video": 2 * 4},
    "qwen3_vl": {"image": 4, "video": 2 * 4},
    "qwen2_audio": {"audio": 10},
    "qwen2_5_omni": {"image": 4, "audio": 10, "video": 2 * 9},
    "qwen3_omni": {"image": 4, "audio": 5, "video": 2 * 16},
    "phi4_multimodal": {"image": 545, "audio": 5},
    "gemma4": {"image": 64, "audio": 10, "video": 4 * 64},
}
"""Tokens of a picture of 16 x 16, of 0.4 seconds of sound, and of a video of four frames of 16 x 16."""


@pytest.mark.parametrize("name", families(MULTIMODAL))
def test_media_positions_are_the_placeholder_tokens(name: str) -> None:
    model = loaded(name)
    media = {"image": noise(16, 16, 1), "audio": tone(0.4, 440), "video": clip(4, 1)}
    without = prepared(model, Prompt.user("x"))
    assert not without.media.any()
    assert model.modalities - {"text"} <= PLACEHOLDERS[name].keys()
    if tiny_torchvision.AVAILABLE:
        assert model.modalities - {"text"} == PLACEHOLDERS[name].keys()
    for modality in model.modalities - {"text"}:
        found = prepared(model, Prompt.user("x", media[modality]))
        assert int(found.media.sum()) == PLACEHOLDERS[name][modality], modality
        assert found.length - without.length >= PLACEHOLDERS[name][modality]
        tokens = model.tokenizer.convert_ids_to_tokens(found.inputs["input_ids"][0][found.media])
        assert len(set(tokens)) == 1 and tokens[0] in model.tokenizer.all_special_tokens


@pytest.mark.parametrize("name", families(BUILDERS))
def test_the_decoder_is_found_and_not_the_tower(name: str) -> None:
    model = loaded(name)
    found = residual.layers(model)
    names = {id(m): n for n, m in model.module.named_modules()}
    assert len(found) == residual.n_layers(model) == 4
    assert not any(word in names[id(layer)] for layer in found for word in ("vision", "visual", "audio"))


def test_prompts_prepared_together_are_those_prepared_alone(model: HFModel) -> None:
    """Whether a processor is trusted with a batch or not, what comes out is the same to the bit."""
    prompts = [Prompt.user("what? " * n, noise(16, 16, n)) for n in (1, 5, 2, 9)]
    prompts += [Prompt.user("what? " * n) for n in (3, 1, 6)]
    together = model.prepare(prompts)
    for prompt, made in zip(prompts, together, strict=True):
        alone = model.prepare._prepare(prompt)
        assert type(made) is type(alone)
        if isinstance(made, Prepared) and isinstance(alone, Prepared):
            assert made.inputs.keys() == alone.inputs.keys() and made.length == alone.length
            assert all(torch.equal(made.inputs[k], alone.inputs[k]) for k in alone.inputs)


class OneMore:
    """A processor that adds an input of one entry a token, padded as `side` says, under a `name`."""

    def __init__(self, inner: Any, name: str, side: str) -> None:
        self.inner, self.name, self.side = inner, name, side

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.inner, attribute)

    def apply_chat_template(self, chat: list[Any], **options: Any) -> Any:
        made = self.inner.apply_chat_template(chat, **options)
        ids, mask = made["input_ids"], made["attention_mask"]
        rows = [torch.arange(1, int(m.sum()) + 1) for m in mask]
        width = ids.shape[1]
        pad = [(0, width - len(r)) if self.side == "right" else (width - len(r), 0) for r in rows]
        made[self.name] = torch.stack([torch.nn.functional.pad(r, p) for r, p in zip(rows, pad, strict=True)])
        return made


@pytest.mark.parametrize(
    ("name", "side"), [("some_types", "right"), ("image_seq_mask", "left"), ("some_types", "left")]
)
@pytest.mark.parametrize("even_first", [True, False])
def test_a_processor_that_pads_otherwise_is_not_trusted(name: str, side: str, even_first: bool) -> None:
    """Prompts of one length say nothing about padding, and must not vouch for others."""
    model = HFModel(loaded("llava").path, device="cpu")
    model.prepare.processor = OneMore(model.prepare.processor, name, side)
    even = [Prompt.user("what?", noise(16, 16, n)) for n in range(3)]
    ragged = [Prompt.user("what? " * n, noise(16, 16, n)) for n in (4, 2, 3)]
    for prompts in (even, ragged) if even_first else (ragged, even):
        for prompt, made in zip(prompts, model.prepare(prompts), strict=True):
            alone = model.prepare._prepare(prompt)
            assert isinstance(made, Prepared) and isinstance(alone, Prepared)
            assert all(torch.equal(made.inputs[k], alone.inputs[k]) for k in alone.inputs)


def test_one_bad_picture_fails_alone_and_the_others_stay_together() -> None:
    model = HFModel(loaded("llava").path, device="cpu")
    good = [Prompt.user("what? " * n, noise(16, 16, n)) for n in (1, 2, 3)]
    broken = Image(noise(16, 16, 9).data[:60])
    made = model.prepare([*good[:2], Prompt.user("what?", broken), good[2]])
    assert [isinstance(m, Prepared) for m in made] == [True, True, False, True]
    assert not model.prepare._alone
