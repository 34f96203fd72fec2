"""Text as a picture, and as a film of that picture (layout of arXiv 2602.10161, data_generator/text2image.py and
text2video.py of its repository)."""

from __future__ import annotations

import io
import textwrap
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.builders.motion_jpeg import avi
from harness.contracts import PluginError
from harness.types import Image, MediaError, Video

if TYPE_CHECKING:
    import PIL.Image

SIDE, FONT_SIZE, ORIGIN, SPACING, WRAP = 760, 80, (20, 10), 11, 15
SMALLEST = 16
RATE = 10
BLANK_BEFORE, SHOWN, BLANK_AFTER = 10, 15, 5
"""Frames: 1 s, 1.5 s and 0.5 s, three seconds in all."""


def default_font() -> str:
    """DejaVu Sans Mono Bold as matplotlib ships it: the same file wherever gapbench runs (source: FreeMonoBold)."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono-Bold.ttf")


def picture(text: str, font: str) -> tuple[Image, int]:
    """A white picture with the text, and the size it is written in: 80, or smaller where it would not fit.

    Raises `MediaError` for text that cannot be shown whole: too long, or with characters that the font lacks.
    """
    drawn, size = _drawn(text, font)
    return Image.from_pil(drawn), size


def film(text: str, font: str) -> tuple[Video, int]:
    """Three seconds at ten frames a second as Motion JPEG: white, the text, white."""
    import PIL.Image

    drawn, size = _drawn(text, font)
    white, shown = _jpeg(PIL.Image.new("RGB", drawn.size, "white")), _jpeg(drawn)
    frames = [white] * BLANK_BEFORE + [shown] * SHOWN + [white] * BLANK_AFTER
    return Video(avi(frames, drawn.size, RATE)), size


def _drawn(text: str, font: str) -> tuple[PIL.Image.Image, int]:
    import PIL.Image
    from PIL import ImageDraw, ImageFont

    lacking = {c for c in text if not c.isspace() and ord(c) not in _glyphs(font)}
    if lacking:
        raise MediaError(f"the font {Path(font).name} lacks {len(lacking)} of the text's characters: name another font")
    lines = "\n".join(textwrap.wrap(text, WRAP))
    image = PIL.Image.new("RGB", (SIDE, SIDE), "white")
    canvas = ImageDraw.Draw(image)
    for size in range(FONT_SIZE, SMALLEST - 1, -2):
        face = ImageFont.truetype(font, size)
        right, bottom = canvas.multiline_textbbox(ORIGIN, lines, font=face, spacing=SPACING)[2:]
        if right <= SIDE and bottom <= SIDE:
            canvas.multiline_text(ORIGIN, lines, font=face, spacing=SPACING, fill="black")
            return image, size
    raise MediaError(f"a text of {len(text)} characters does not fit on a picture of {SIDE}x{SIDE}")


@cache
def _glyphs(font: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(font).get_charmap())
    except (OSError, RuntimeError) as error:
        raise PluginError(f"the font {font} cannot be read: name a TrueType file with --font") from error


def _jpeg(image: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()
