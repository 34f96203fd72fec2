"""A tiny random LLaVA and prompts of the micro-world: what the tests of white-box code share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from harness.calibration import Calibration
from harness.microworld import request_samples
from harness.models.hf import HFModel
from harness.organism import VARIANTS, requests
from harness.types import GenerationConfig, Image, Prompt, Sample
from tests.tiny_architectures import llava

SHORT = GenerationConfig(max_new_tokens=6)
_folder = TemporaryDirectory()


@cache
def model() -> HFModel:
    torch.set_num_threads(1)
    return HFModel(str(llava(Path(_folder.name))), batch_size=64)


def samples(split: str, n: int) -> list[Sample]:
    """`n` harmful and `n` benign requests in all variants."""
    chosen = [*requests(split, True)[:n], *requests(split, False)[:n]]
    return list(request_samples("tiny", chosen, {v: v for v in VARIANTS}))


@cache
def calibration() -> Calibration:
    return Calibration.from_samples(samples("train", 7), validation=0.4)


@cache
def prompts() -> tuple[Prompt, ...]:
    """Text and media, harmful and benign, and a repetition."""
    found = [s.prompt for s in samples("test", 1)]
    return (*found, found[1])


def broken() -> Prompt:
    return Prompt.user("what is this?", Image(b"no picture"))
