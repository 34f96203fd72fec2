"""Decoding the media of a prompt for a processor."""

from __future__ import annotations

import io
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.types import Audio, Image, MediaError, Prompt, Text, Video

if TYPE_CHECKING:
    import numpy as np

SAMPLING_RATE = 16_000
"""Hz, mono: what the audio encoders of transformers' chat models are trained on."""


FRAMES = 16
"""Frames taken of a video, evenly spread: the same for every model and arm."""


@dataclass(frozen=True)
class Decoded:
    """The parts of a prompt as blocks of a chat template, by their `id()`, and options that the processor needs."""

    blocks: dict[int, dict[str, Any]]
    options: dict[str, Any]


def decoded(prompt: Prompt) -> Decoded:
    """All parts of a prompt, decoded. Raises `MediaError`."""
    blocks: dict[int, dict[str, Any]] = {}
    videos: list[Any] = []
    for part in (p for m in prompt.messages for p in m.parts):
        match part:
            case Text():
                blocks[id(part)] = {"type": "text", "text": part.text}
            case Image():
                blocks[id(part)] = {"type": "image", "image": part.pil()}
            case Audio():
                blocks[id(part)] = {"type": "audio", "audio": waveform(part)}
            case Video():
                pictures, about = frames(part)
                blocks[id(part)] = {"type": "video", "video": pictures}
                videos.append(about)
    return Decoded(blocks, _sampled(videos) if videos else {})


def _sampled(videos: list[Any]) -> dict[str, Any]:
    """Processor options for videos whose frames are already chosen: when, for models that are told the time, and how
    often a second, which some (Qwen-Omni) take from here only, one number for all videos of a prompt."""
    frames = sum(len(v.frames_indices) for v in videos)
    seconds = sum(len(v.frames_indices) / v.sampled_fps for v in videos)
    return {"video_metadata": [videos], "do_sample_frames": False, "fps": frames / seconds}


def frames(video: Video) -> tuple[np.ndarray, Any]:
    """Up to `FRAMES` RGB frames [n, height, width, 3] uint8, and what transformers wants to know of the video.

    Needs the package av or torchcodec. Raises `MediaError`.
    """
    import numpy as np
    from transformers.utils import is_torchcodec_available
    from transformers.video_utils import load_video

    def spread(metadata: Any, **_: Any) -> Any:
        total = metadata.total_num_frames
        return np.linspace(0, total - 1, min(total, FRAMES)).round().astype(int)

    load: Any = load_video  # its signature leaves out that it takes a path
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "video.mp4"  # the decoders read files, not bytes
        file.write_bytes(video.data)
        try:
            pictures, about = load(
                str(file), backend="torchcodec" if is_torchcodec_available() else "pyav", sample_indices_fn=spread
            )
        except ImportError as error:
            raise MediaError("a video cannot be decoded without the package av: install gapbench[video]") from error
        except Exception as error:  # each decoder raises its own
            raise MediaError(f"video cannot be decoded: {str(error).replace(str(file), 'its data')}") from error
    if not len(pictures):
        raise MediaError("video holds no frames")
    return np.asarray(pictures), about


def waveform(audio: Audio) -> np.ndarray:
    """Samples at 16 kHz, mono, float32 in [-1, 1].

    WAV needs nothing further; other formats need the package soundfile. Raises `MediaError`.
    """
    import numpy as np
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        if audio.data[:4] == b"RIFF":
            rate, samples = wavfile.read(io.BytesIO(audio.data))
        else:
            import soundfile

            samples, rate = soundfile.read(io.BytesIO(audio.data))
    except ImportError as error:
        raise MediaError("sound that is not WAV needs the package soundfile: install gapbench[audio]") from error
    except (ValueError, RuntimeError, EOFError, struct.error) as error:
        raise MediaError(f"sound cannot be decoded: {error}") from error
    if samples.dtype.kind == "u":
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    mono = samples.mean(axis=1) if samples.ndim > 1 else samples
    if not len(mono):
        raise MediaError("sound holds no samples")
    return (resample_poly(mono, SAMPLING_RATE, rate) if rate != SAMPLING_RATE else mono).astype(np.float32)
