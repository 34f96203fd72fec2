"""Examples as tensors."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from harness.organism.examples import Example
from harness.organism.page import GRID, Page
from harness.organism.tokenizer import END, IMAGE, chat, vocabulary

IDS: dict[str, int] = {token: i for i, token in enumerate(vocabulary())}
CELLS = GRID * GRID
IGNORE = -100


@dataclass(frozen=True)
class Batch:
    """A padded batch: `ids` and `labels` (rows, length), -100 where nothing is learnt; `pixels` (rows, 3, 80, 80)."""

    ids: Tensor
    labels: Tensor
    pixels: Tensor | None = None


def cell_ids(page: Page) -> list[int]:
    """Token numbers of a page's 25 cells."""
    return [IDS[token] for token in page.cells()]


def pixels_of(image: Image.Image) -> Tensor:
    """What the image processor makes of an 80 x 80 image: (3, 80, 80), values in [-1, 1]."""
    array = np.asarray(image, dtype=np.float32)
    return torch.from_numpy(array).permute(2, 0, 1) / 127.5 - 1.0


def worsen(image: Image.Image, rng: random.Random) -> Image.Image:
    """A blurred or noisy copy, as photographs and scans are."""
    if rng.random() < 0.5:
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.2)))
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(10, 50), (*image.size, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def tokens_of(example: Example, encode: Callable[[str], list[int]]) -> tuple[list[int], int]:
    """Token numbers of the whole exchange, and how many of them are the prompt."""
    prompt = encode(chat(example.user, images=CELLS if example.page else 0, system=example.system) + example.prefix)
    if example.mode == "layout" and example.page:
        cells = iter(cell_ids(example.page))
        prompt = [next(cells) if i == IDS[IMAGE] else i for i in prompt]
    return prompt + encode(example.answer) + [IDS[END]], len(prompt)


def collate(
    examples: list[Example], encode: Callable[[str], list[int]], *, rng: random.Random, worsened: float = 0.0
) -> Batch:
    """Pads on the right; a share `worsened` of the images is blurred or noisy."""
    rows = [tokens_of(example, encode) for example in examples]
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), IDS["[pad]"])
    labels = torch.full((len(rows), length), IGNORE)
    for row, (numbers, prompt) in enumerate(rows):
        ids[row, : len(numbers)] = torch.tensor(numbers)
        labels[row, prompt : len(numbers)] = ids[row, prompt : len(numbers)]
    if any(example.mode == "image" for example in examples):
        images = [example.page.draw() for example in examples if example.page]
        images = [worsen(image, rng) if rng.random() < worsened else image for image in images]
        return Batch(ids, labels, torch.stack([pixels_of(image) for image in images]))
    return Batch(ids, labels)


def vision_batch(pages: list[Page]) -> tuple[Tensor, Tensor]:
    """Pixels (rows, 3, 80, 80) and the token of each cell (rows, 25)."""
    pixels = torch.stack([pixels_of(page.draw()) for page in pages])
    return pixels, torch.tensor([cell_ids(page) for page in pages])
