"""The tiny architectures, built and loaded once a test session, and prompts to ask them."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from harness.models.hf_prepare import Prepared
from harness.types import Audio, Image, Prompt
from tests.tiny_architectures import BUILDERS

_ROOM = tempfile.TemporaryDirectory(prefix="tiny-architectures-")


@cache
def folder_of(name: str) -> Path:
    """The saved model, built once a test session."""
    from harness.models.hf_quiet import quiet

    with quiet():
        return BUILDERS[name](Path(_ROOM.name) / name)


@cache
def loaded(name: str) -> Any:
    """The model, loaded once a test session: tests leave it as they found it."""
    from harness.models.hf import HFModel

    return HFModel(str(folder_of(name)))


def noise(width: int, height: int, seed: int) -> Image:
    """A picture of random pixels."""
    import numpy as np
    import PIL.Image

    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.from_pil(PIL.Image.fromarray(pixels))


def tone(seconds: float, hertz: float, rate: int = 16_000) -> Audio:
    """A sine as 16-bit WAV."""
    import numpy as np
    from scipy.io import wavfile

    buffer = io.BytesIO()
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    wavfile.write(buffer, rate, (wave * 20_000).astype(np.int16))
    return Audio(buffer.getvalue())


def prompts_for(model: Any) -> list[Prompt]:
    """Short and long, with and without media, of several sizes: what a batch may mix."""
    found = [
        Prompt.user("hello"),
        Prompt.user("a much longer prompt than that", system="be kind"),
        Prompt.user("go on").with_prefix("Sure, "),
    ]
    if "image" in model.modalities:
        found += [
            Prompt.user("what is it?", noise(16, 16, 1)),
            Prompt.user("describe this one", noise(16, 16, 2)),
            Prompt.user("wide", noise(40, 16, 3)),
            Prompt.user("two", noise(16, 16, 4), noise(16, 32, 5)),
        ]
    if "audio" in model.modalities:
        found += [Prompt.user("hear", tone(0.4, 440)), Prompt.user("what is heard?", tone(0.7, 300, 8000))]
    return found


def prepared(model: Any, prompt: Prompt) -> Prepared:
    """The inputs of a prompt that has nothing wrong with it."""
    made = model.prepare([prompt])[0]
    assert isinstance(made, Prepared), made
    return made
