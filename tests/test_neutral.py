"""Neutral media say nothing, repeat themselves to the byte, and fit what they stand in for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.models.hf_media import SAMPLING_RATE, frames, waveform
from harness.neutral import Neutral, usual_size
from harness.types import Audio, Image, MediaError, Prompt
from tests.tiny_models import loaded, noise, prepared, tone

LOOKS: list[Any] = ["uniform", "noise", "patches"]


def pixels(neutral: Neutral, index: int) -> np.ndarray:
    image = neutral.media("image", index)
    assert isinstance(image, Image)
    return np.asarray(image.pil())


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_follow_from_seed_and_index_alone(look: Any) -> None:
    neutral, again, other = (Neutral(look, size=(40, 24), seed=s) for s in (1, 1, 2))
    datas = [neutral.media("image", i).data for i in range(8)]
    assert datas == [again.media("image", i).data for i in range(8)]
    assert len(set(datas)) == 8 and not set(datas) & {other.media("image", i).data for i in range(8)}
    assert pixels(neutral, 0).shape == (24, 40, 3)


@pytest.mark.parametrize(("look", "colours"), [("uniform", 1), ("patches", 16), ("noise", 24 * 40)])
def test_looks_differ_by_how_many_colours_there_are(look: Any, colours: int) -> None:
    found = len(np.unique(pixels(Neutral(look, size=(40, 24)), 3).reshape(-1, 3), axis=0))
    assert found == colours


def test_patches_are_a_grid() -> None:
    drawn = pixels(Neutral("patches", size=(40, 24)), 0)
    blocks = drawn.reshape(4, 6, 4, 10, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_colours_are_drawn_from_all_there_are() -> None:
    drawn = np.stack([pixels(Neutral(size=(1, 1)), i)[0, 0] for i in range(200)]).astype(float)
    assert np.abs(drawn.mean(0) - 127.5).max() < 20 and drawn.min() < 10 and drawn.max() > 245


@pytest.mark.parametrize(("sound", "spread"), [("noise", 0.1), ("silence", 0.0)])
def test_sounds(sound: Any, spread: float) -> None:
    neutral = Neutral(sound=sound, seconds=0.5)
    media = neutral.media("audio", 0)
    assert isinstance(media, Audio) and media.data == neutral.media("audio", 0).data
    assert (neutral.media("audio", 1).data == media.data) is (sound == "silence")
    heard = waveform(media)
    assert heard.shape == (SAMPLING_RATE // 2,) and heard.std() == pytest.approx(spread, abs=0.01)


@pytest.mark.parametrize("look", LOOKS)
def test_videos(look: Any) -> None:
    pytest.importorskip("av", reason="videos are written with the package av")
    neutral = Neutral(look, size=(32, 17), frames=5)
    video: Any = neutral.media("video", 0)
    assert video.data == neutral.media("video", 0).data != neutral.media("video", 1).data
    shown, _ = frames(video)
    assert shown.shape == (5, 16, 32, 3)
    if look == "uniform":
        assert shown.std((1, 2)).max() < 6 and shown.mean((1, 2)).std(0).max() > 20
    assert len(frames(neutral.like(video, 3))[0]) == 5  # type: ignore[arg-type]


def test_a_video_without_its_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MediaError, match=r"gapbench\[video\]"):
        Neutral().media("video", 0)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "idefics3"])
def test_what_stands_in_for_a_picture_takes_as_many_tokens(name: str) -> None:
    model = loaded(name)
    for width, height in ((16, 16), (40, 16)):
        prompt = Prompt.user("what is it?", noise(width, height, 1), system="be kind")
        stand_in = Neutral().instead(prompt, 0)
        assert stand_in.id != prompt.id and stand_in.text == prompt.text
        assert prepared(model, stand_in).length == prepared(model, prompt).length


def test_what_stands_in_for_a_sound_is_as_long() -> None:
    heard = Neutral().like(tone(0.7, 300, 8000), 0)
    assert isinstance(heard, Audio) and waveform(heard).shape == (round(0.7 * SAMPLING_RATE),)


def test_what_cannot_be_decoded_has_no_stand_in() -> None:
    whole = noise(16, 16, 1).data
    for broken in (Image(b"no picture"), Image(whole[:60]), Audio(b"RIFF")):
        with pytest.raises(MediaError):
            Neutral().instead(Prompt.user("what?", broken), 0)


def test_the_usual_size() -> None:
    sizes = [(16, 16), (40, 16), (40, 16)]
    prompts = [Prompt.user("a", noise(*size, seed=i)) for i, size in enumerate(sizes)]
    assert usual_size([*prompts, Prompt.user("b", Image(b"no picture"))]) == (40, 16)
    assert usual_size([Prompt.user("c")]) is None
