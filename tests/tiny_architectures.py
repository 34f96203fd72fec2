"""Random-weight models of real architectures, a few hundred kB each, saved as folders that load in the ordinary way.

No hub: tokenizers, processors and settings files are made here, and made without torchvision; where a checkpoint comes
with a video processor, its settings file is written too, as in the real repositories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.architectures.audio import gemma4, phi4_multimodal, qwen2_5_omni, qwen2_audio, qwen3_omni
from tests.architectures.images import gemma3, idefics3, llava, llava_next, mistral3, mllama
from tests.architectures.qwen import qwen2_5_vl, qwen2_vl, qwen3_vl
from tests.architectures.text import gpt2_text, llama_text
from tests.architectures.video import internvl, llava_onevision, smolvlm, video_llava

IMAGE = (llava, llava_next, gemma3, idefics3, mllama, mistral3)
IMAGE_AND_VIDEO = (llava_onevision, internvl, video_llava, smolvlm, qwen2_vl, qwen2_5_vl, qwen3_vl)
AUDIO = (qwen2_audio,)
IMAGE_AND_AUDIO = (phi4_multimodal,)
IMAGE_AUDIO_AND_VIDEO = (qwen2_5_omni, qwen3_omni, gemma4)
TEXT = (llama_text, gpt2_text)

ALL_NEED_TORCHVISION = ("mistral3",)
"""Families whose whole processor needs torchvision."""
IMAGES_NEED_TORCHVISION = ("phi4_multimodal",)
VIDEO = tuple(f.__name__ for f in (*IMAGE_AND_VIDEO, *IMAGE_AUDIO_AND_VIDEO))
"""Families that take videos, which needs torchvision for all of them."""

VISION: dict[str, Callable[[Path], Path]] = {f.__name__: f for f in (*IMAGE, *IMAGE_AND_VIDEO)}
HEARING = {f.__name__: f for f in (*AUDIO, *IMAGE_AND_AUDIO, *IMAGE_AUDIO_AND_VIDEO)}
MULTIMODAL = {**VISION, **HEARING}
BUILDERS = {**MULTIMODAL, **{f.__name__: f for f in TEXT}}


def families(names: Iterable[str]) -> list[Any]:
    """Parameters of a test; those that do more where there is torchvision run again there (`make test`)."""
    more = {*VIDEO, *ALL_NEED_TORCHVISION, *IMAGES_NEED_TORCHVISION}
    return [pytest.param(n, marks=pytest.mark.torchvision) if n in more else n for n in names]
