"""Pictures, videos and sounds that mean nothing: what a medium does to the states of a model, whatever it shows.

Random colours are those of MARS (arXiv 2606.31876); sound is an extension. Each is made from a seed and an index alone.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.types import Audio, Image, Media, MediaError, Message, Prompt, Video

if TYPE_CHECKING:
    import numpy as np

Look = Literal["uniform", "noise", "patches"]
Sound = Literal["noise", "silence"]
RATE = 16_000
"""Hz."""
PATCHES = 4
"""Patches a side."""
LOUDNESS = 0.1
"""Standard deviation of noise, of a full scale of 1."""
FRAMES_A_SECOND = 4


@dataclass(frozen=True)
class Neutral:
    """A family of neutral media.

    `look`: one colour, random pixels, or a grid of colours; `size`: (width, height) in pixels; `frames` of a video,
    each drawn anew; `seconds` of sound.
    """

    look: Look = "uniform"
    sound: Sound = "noise"
    size: tuple[int, int] = (336, 336)
    frames: int = 8
    seconds: float = 2.0
    seed: int = 0

    def media(self, modality: str, index: int) -> Image | Video | Audio:
        """Number `index` of the modality "image", "video" or "audio". Raises `MediaError` where a video cannot be
        written."""
        import PIL.Image

        if modality == "image":
            return Image.from_pil(PIL.Image.fromarray(self._pixels(index, 0)))
        if modality == "video":
            return _encoded([self._pixels(index, frame) for frame in range(self.frames)])
        return _wav(self._wave(index))

    def like(self, media: Media, index: int) -> Image | Video | Audio:
        """Neutral media of the size, number of frames or length of `media`, so that they become as many tokens.

        Raises `MediaError` when `media` cannot be decoded.
        """
        from dataclasses import replace

        if isinstance(media, Image):
            media.pil()  # a header may be sound where the picture is not
            return replace(self, size=media.size).media("image", index)
        if isinstance(media, Video):
            from harness.models.hf_media import frames

            pictures, _ = frames(media)
            height, width = pictures.shape[1:3]
            return replace(self, size=(width, height), frames=len(pictures)).media("video", index)
        from harness.models.hf_media import SAMPLING_RATE, waveform

        assert isinstance(media, Audio)
        return replace(self, seconds=len(waveform(media)) / SAMPLING_RATE).media("audio", index)

    def instead(self, prompt: Prompt, index: int) -> Prompt:
        """The same prompt with neutral media in the place of its own. Raises `MediaError`."""
        turns = (
            Message(m.role, tuple(self.like(p, index) if isinstance(p, Media) else p for p in m.parts))
            for m in prompt.messages
        )
        return Prompt(tuple(turns))

    def _pixels(self, index: int, frame: int) -> np.ndarray:
        """[height, width, 3] uint8."""
        import numpy as np

        width, height = self.size
        shape = {"uniform": (1, 1, 3), "patches": (PATCHES, PATCHES, 3), "noise": (height, width, 3)}[self.look]
        drawn = np.random.default_rng([self.seed, index, frame]).integers(0, 256, shape, dtype=np.uint8)
        rows = np.arange(height) * shape[0] // height
        columns = np.arange(width) * shape[1] // width
        return drawn[rows][:, columns]

    def _wave(self, index: int) -> np.ndarray:
        """[samples] float64 in [-1, 1]."""
        import numpy as np

        samples = max(round(self.seconds * RATE), 1)
        if self.sound == "silence":
            return np.zeros(samples)
        return np.clip(np.random.default_rng([self.seed, index]).normal(0, LOUDNESS, samples), -1, 1)


def usual_size(prompts: Iterable[Prompt]) -> tuple[int, int] | None:
    """The commonest (width, height) of the pictures in `prompts`; None where there are none."""
    sizes: Counter[tuple[int, int]] = Counter()
    for image in (i for p in prompts for i in p.images):
        try:
            sizes[image.size] += 1
        except MediaError:
            continue
    return min(sizes, key=lambda size: (-sizes[size], size)) if sizes else None


def _wav(wave: np.ndarray) -> Audio:
    """16-bit mono."""
    from scipy.io import wavfile

    buffer = io.BytesIO()
    wavfile.write(buffer, RATE, (wave * 32767).astype("int16"))
    return Audio(buffer.getvalue())


def _encoded(pictures: list[np.ndarray]) -> Video:
    """MPEG-4 of pictures [height, width, 3], whose sides are cut to even numbers, as its colour format wants."""
    try:
        import av
    except ImportError as error:
        raise MediaError("a video cannot be written without the package av: install gapbench[video]") from error
    buffer = io.BytesIO()
    height, width = (max(side // 2 * 2, 2) for side in pictures[0].shape[:2])
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=FRAMES_A_SECOND)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture[:height, :width].copy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Video(buffer.getvalue())
