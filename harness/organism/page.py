"""Pages: 80 x 80 pixel images made of 5 x 5 cells of 16 pixels, and what is in each cell.

A cell is one patch of the vision tower and one image token. Written words are monospaced, two characters a cell, so
that a cell holds one word piece; an icon or a shape fills a block of 2 x 2 cells, which stand for its pieces in
reading order. The pieces of a page (see `Page.cells`) are the vision stage's targets and its "layout text".
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from harness.organism import icons, words

GRID = 5
CELL = 16
SIDE = GRID * CELL
BLANK = "[blank]"

Kind = Literal["word", "icon", "shape"]


@dataclass(frozen=True)
class Item:
    """Something on a page at a cell: a written word, an icon of an object, or a shape such as "red circle"."""

    kind: Kind
    text: str
    row: int
    col: int

    def cells(self) -> dict[int, str]:
        """Index of cell (row-major) -> piece."""
        tokens = tuple(self.text.split()) if self.kind == "shape" else words.pieces(self.text)
        wide = GRID if self.kind == "word" else 2
        return {(self.row + i // wide) * GRID + self.col + i % wide: token for i, token in enumerate(tokens)}


@dataclass(frozen=True)
class Page:
    """An image before it is drawn."""

    items: tuple[Item, ...]
    seed: int = 0

    def cells(self) -> tuple[str, ...]:
        """The 25 pieces of the page in reading order, `[blank]` where there is nothing."""
        found: dict[int, str] = {}
        for item in self.items:
            found |= item.cells()
        return tuple(found.get(i, BLANK) for i in range(GRID * GRID))

    def draw(self) -> Image.Image:
        """The page as an RGB image; the seed decides one pixel of jitter for each item."""
        rng = random.Random(self.seed)
        image = Image.new("RGB", (SIDE, SIDE), "white")
        for item in self.items:
            x, y = item.col * CELL + rng.choice((-1, 0, 1)), item.row * CELL + rng.choice((-1, 0, 1))
            image.paste(_picture(item.kind, item.text), (x, y))
        return image


@cache
def _font() -> ImageFont.ImageFont:
    # Pillow's own bitmap font: the same pixels on every machine, whatever fonts it has.
    return ImageFont.load_default_imagefont()


def _written(text: str) -> Image.Image:
    image = Image.new("RGB", (len(words.pieces(text)) * CELL, CELL), "white")
    draw = ImageDraw.Draw(image)
    for i, letter in enumerate(text):
        draw.text((1 + i * CELL // 2, 3), letter, fill=icons.INK, font=_font())
    return image


@cache
def _picture(kind: Kind, text: str) -> Image.Image:
    if kind == "word":
        return _written(text)
    if kind == "icon":
        return icons.draw_icon(text)
    colour, shape = text.split()
    return icons.draw_shape(shape, words.COLOURS[colour])


def place(parts: list[tuple[Kind, str]], rng: random.Random) -> tuple[Item, ...]:
    """Puts parts below one another, in order, at random rows and columns that do not overlap."""
    heights = [1 if kind == "word" else 2 for kind, _ in parts]
    spare = GRID - sum(heights)
    gaps = sorted(rng.randint(0, spare) for _ in parts)
    items, used = [], 0
    for (kind, text), height, gap in zip(parts, heights, gaps, strict=True):
        wide = len(words.pieces(text)) if kind == "word" else 2
        items.append(Item(kind, text, row=used + gap, col=rng.randint(0, GRID - wide)))
        used += height
    return tuple(items)
