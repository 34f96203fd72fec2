"""Sounds and videos become what encoders take, whatever they come in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.io import wavfile

from harness.models.hf_media import FRAMES, SAMPLING_RATE, frames, waveform
from harness.types import Audio, MediaError, Video


def wav(samples: np.ndarray, rate: int) -> Audio:
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, samples)
    return Audio(buffer.getvalue())


def sine(rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize(
    ("kind", "scale", "offset"),
    [("uint8", 128, 128), ("int16", 32_768, 0), ("int32", 2**31, 0), ("float32", 1, 0)],
)
def test_every_wav_becomes_the_same_waveform(rate: int, kind: str, scale: float, offset: float) -> None:
    mono = (sine(rate) * scale + offset).astype(kind)
    heard = waveform(wav(np.stack([mono, mono], axis=1), rate))
    assert heard.dtype == np.float32 and heard.shape == (SAMPLING_RATE,)
    middle = slice(200, -200)  # resampling rings at the ends
    assert np.abs(heard - sine(SAMPLING_RATE))[middle].max() < 0.02


@pytest.mark.parametrize(("there", "taken"), [(5, 5), (40, FRAMES)])
def test_frames_are_spread_over_a_video(there: int, taken: int) -> None:
    av = pytest.importorskip("av", reason="videos are decoded with the package av")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for i in range(there):
            grey = np.full((32, 32, 3), 255 * i // (there - 1), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    pictures, about = frames(Video(buffer.getvalue()))
    assert pictures.shape == (taken, 32, 32, 3) and about.total_num_frames == there
    brightness = pictures.mean((1, 2, 3))
    assert brightness[0] < 20 and brightness[-1] > 235 and (np.diff(brightness) > 0).all()


def test_what_is_no_video_is_said_without_naming_places() -> None:
    with pytest.raises(MediaError) as caught:
        frames(Video(b"junk"))
    assert "/" not in str(caught.value) and "video" in str(caught.value)


@pytest.mark.parametrize("data", [b"RIFF", b"RIFFxxxxWAVE", b"noise"], ids=["short", "empty", "not WAV"])
def test_what_is_no_sound_is_said(data: bytes) -> None:
    with pytest.raises(MediaError):
        waveform(Audio(data))


def test_silence_of_no_length_is_said() -> None:
    with pytest.raises(MediaError, match="no samples"):
        waveform(wav(np.zeros(0, dtype=np.int16), 16_000))
