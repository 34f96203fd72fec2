"""The tiny architectures, built and loaded once a test session, and prompts to ask them."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.models.hf_prepare import Prepared
from harness.types import Audio, Image, Media, Prompt, Video
from tests import tiny_torchvision
from tests.tiny_architectures import ALL_NEED_TORCHVISION, BUILDERS

_ROOM = tempfile.TemporaryDirectory(prefix="tiny-architectures-")


@cache
def folder_of(name: str) -> Path:
    """The saved model, built once a test session."""
    from harness.models.hf_quiet import quiet

    with quiet():
        return BUILDERS[name](Path(_ROOM.name) / name)


@cache
def loaded(name: str) -> Any:
    """The model, loaded once a test session: tests leave it as they found it. Skips the test where it cannot load."""
    from harness.models.hf import HFModel

    if name in ALL_NEED_TORCHVISION and not tiny_torchvision.AVAILABLE:
        pytest.skip(f"the processor of {name} {tiny_torchvision.SKIPPED}")
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


@cache
def clip(count: int, seed: int, side: int = 16) -> Video:
    """A video of `count` frames of random pixels, four a second."""
    import av
    import numpy as np

    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return Video(buffer.getvalue())


def media_of(model: Any) -> list[Media]:
    """One of each modality that the model takes; where there can be videos only those: the rest is met without them."""
    made = {"image": noise(16, 16, 1), "audio": tone(0.4, 440), "video": clip(4, 1)}
    taken = model.modalities & {"video"} or model.modalities - {"text"}
    return [made[modality] for modality in sorted(taken)]


def prompts_for(model: Any) -> list[Prompt]:
    """Short and long, with and without media, of several sizes: what a batch may mix."""
    found = [
        Prompt.user("hello"),
        Prompt.user("a much longer prompt than that", system="be kind"),
        Prompt.user("go on").with_prefix("Sure, "),
    ]
    if "image" in model.modalities:
        found += [Prompt.user("what is it?", noise(16, 16, 1)), Prompt.user("describe this one", noise(16, 16, 2))]
    if "video" in model.modalities:
        videos = [Prompt.user("watch", clip(4, 1)), Prompt.user("and this?", clip(4, 2)), Prompt.user("on", clip(6, 3))]
        return [*found[1:4], *videos]
    if "image" in model.modalities:
        found += [Prompt.user("wide", noise(40, 16, 3)), Prompt.user("two", noise(16, 16, 4), noise(16, 32, 5))]
    if "audio" in model.modalities:
        found += [Prompt.user("hear", tone(0.4, 440)), Prompt.user("what is heard?", tone(0.7, 300, 8000))]
    if {"image", "audio"} <= model.modalities:
        found += [Prompt.user("see and hear", noise(16, 16, 6), tone(0.4, 500))]
    return found


def prepared(model: Any, prompt: Prompt) -> Prepared:
    """The inputs of a prompt that has nothing wrong with it."""
    made = model.prepare([prompt])[0]
    assert isinstance(made, Prepared), made
    return made
