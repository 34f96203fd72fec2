"""From a prompt to tensors: chat template, processor, and a cache of both that all arms share."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.models.hf_media import decoded
from harness.models.hf_processor import NoVideo, modalities_of, tokenizer_of
from harness.models.hf_quiet import one_sentence
from harness.types import MediaError, Message, Prompt, Text

if TYPE_CHECKING:
    import torch

NOT_TOKENS = ("pixel", "image", "video", "audio", "feature", "input_features", "input_image", "input_audio")
"""How names of media tensors begin; one of them may have, by chance, as many columns as there are tokens."""


@dataclass(frozen=True)
class Prepared:
    """One prompt as model inputs on the CPU. `seconds` is what preparing took, also when it comes from the cache."""

    prompt_id: str
    inputs: dict[str, torch.Tensor]
    length: int
    media: torch.Tensor
    """[length] bool: placeholder tokens of images, videos and sounds."""
    has_prefix: bool
    seconds: float

    @property
    def tokens(self) -> frozenset[str]:
        """Names of the inputs [1, length, ...] that have one entry a token: ids, masks, types."""
        return frozenset(
            name
            for name, value in self.inputs.items()
            if tuple(value.shape[:2]) == (1, self.length)
            and not value.is_floating_point()
            and not name.startswith(NOT_TOKENS)
        )

    @property
    def nbytes(self) -> int:
        return sum(v.nbytes for v in self.inputs.values())


@dataclass(frozen=True)
class Unprepared:
    """A prompt that cannot be turned into inputs, and why, in one sentence."""

    reason: str
    nbytes: int = 0


class Preparer:
    """Prepares prompts, keeping the latest results up to `max_bytes`, by `Prompt.id`."""

    def __init__(self, processor: Any, config: Any, max_bytes: int = 1 << 29) -> None:
        self.processor = processor
        self.tokenizer = tokenizer_of(processor)
        self.modalities = modalities_of(processor)
        self.placeholders = placeholder_ids(config, processor)
        self.context: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
        self.max_bytes = max_bytes
        self._kept: OrderedDict[str, Prepared | Unprepared] = OrderedDict()
        self._bytes = 0
        self.spent = 0.0
        """Seconds that were really spent on preparing, so far."""

    def __call__(self, prompt: Prompt) -> Prepared | Unprepared:
        if prompt.id in self._kept:
            self._kept.move_to_end(prompt.id)
            return self._kept[prompt.id]
        result = self._prepare(prompt)
        self._kept[prompt.id] = result
        self._bytes += result.nbytes
        while self._bytes > self.max_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return result

    def _prepare(self, prompt: Prompt) -> Prepared | Unprepared:
        if lacking := sorted(prompt.modalities - self.modalities):
            able = ", ".join(sorted(self.modalities))
            if isinstance(getattr(self.processor, "video_processor", None), NoVideo) and lacking == ["video"]:
                return Unprepared(
                    "videos need the packages torchvision and av with this model: install gapbench[video]"
                )
            held = " and ".join(lacking)
            return Unprepared(f"the prompt holds {held}, which this model does not take here (it takes {able})")
        started = time.perf_counter()
        try:
            inputs = self._inputs(prompt)
        except MediaError as error:
            return Unprepared(str(error))
        except Exception as error:  # templates and processors raise anything, and one row must not end a batch
            return Unprepared(f"the prompt cannot be prepared for this model: {one_sentence(error)}")
        ids = inputs["input_ids"][0]
        if self.context is not None and len(ids) >= self.context:
            return Unprepared(f"the prompt takes {len(ids)} tokens, and this model's context holds {self.context}")
        media = sum((ids == i for i in self.placeholders), start=ids != ids)
        if media.any() and not prompt.media:
            return Unprepared("the text of the prompt holds this model's own token for a picture, video or sound")
        seconds = time.perf_counter() - started
        self.spent += seconds
        return Prepared(prompt.id, inputs, len(ids), media, prompt.prefix is not None, seconds)

    def _inputs(self, prompt: Prompt) -> dict[str, torch.Tensor]:
        import torch

        media = decoded(prompt)
        inputs = self.processor.apply_chat_template(
            [self._message(m, media.blocks) for m in prompt.messages],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            continue_final_message=prompt.prefix is not None,
            add_generation_prompt=prompt.prefix is None,
            **({"processor_kwargs": media.options} if media.options else {}),
        )
        return {k: torch.as_tensor(v) for k, v in inputs.items() if v is not None}

    def _message(self, message: Message, parts: dict[int, dict[str, Any]]) -> dict[str, Any]:
        if self.processor is self.tokenizer:  # templates of text-only models take a string
            return {"role": message.role, "content": "\n".join(p.text for p in message.parts if isinstance(p, Text))}
        return {"role": message.role, "content": [parts[id(p)] for p in message.parts]}


def placeholder_ids(config: Any, processor: Any) -> frozenset[int]:
    """Ids of the tokens whose embeddings are replaced by those of an image, a video or a sound.

    Looked for in the config and its parts (`image_token_id`, `video_token_index`, ...); the processor is asked only
    where the config is silent, because its `image_token` may be what stands in the template instead (Gemma 3).
    """
    names = [f"{kind}_token_{end}" for kind in ("image", "video", "audio") for end in ("id", "index")]
    sources = [config, *(getattr(config, name) for name in getattr(config, "sub_configs", {}) if hasattr(config, name))]
    found = {value for source in sources for name in names if isinstance(value := getattr(source, name, None), int)}
    if not found:
        found = {v for name in names if isinstance(v := getattr(processor, name, None), int)}
    return frozenset(found)
