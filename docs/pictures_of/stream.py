"""Where and when a method acts: the residual stream as layers by tokens, and passes as a row of chevrons."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from pictures_of.strokes import EDIT, INK, SMALL, Sheet

# Tokens of a prompt with media and of its answer: text, media, text, the last of the prompt, generated.
TOKENS = "ttmmmtlggg"
POSITIONS = {"last": "l", "prompt": "tml", "all": "tmlg", "last+answer": "lg", "answer": "g", "media": "m"}
LAYERS = 8


def where(
    axes: Axes,
    edited: Sequence[int] = (),
    at: str = "last",
    read: Sequence[int] = (),
    heard: str = "last",
    *,
    named: bool = True,
) -> None:
    """The residual stream as layers (upwards) by tokens: `edited` layers are filled at the positions `at`, those that
    are `read` have a ring at the positions `heard`."""
    wide = axes.get_xlim()[1] / len(TOKENS)
    high = axes.get_ylim()[1] / LAYERS
    for layer in range(LAYERS):
        for column, token in enumerate(TOKENS):
            on = layer in edited and token in POSITIONS[at]
            shape = Rectangle((column * wide + 0.08 * wide, layer * high + 0.08 * high), wide * 0.84, high * 0.84)
            shape.set(facecolor=EDIT if on else "#eeeeee", edgecolor=EDIT if on else "#bbbbbb", linewidth=0.8)
            if token == "m" and not on:
                shape.set(hatch="////", edgecolor="#bbbbbb")
            axes.add_patch(shape)
            if layer in read and token in POSITIONS[heard]:
                middle = ((column + 0.5) * wide, (layer + 0.5) * high)
                axes.plot(*middle, marker="o", markersize=4.5, color="white" if on else "none", markeredgecolor=INK)
    for name, first, last in (("prompt", 0, 6), ("answer", 7, 9)):
        ends = ((first + 0.1) * wide, (last + 0.9) * wide)
        axes.plot(ends, (-0.3 * high, -0.3 * high), color="#888888", linewidth=1, clip_on=False)
        if named:
            axes.text(sum(ends) / 2, -0.6 * high, name, ha="center", va="top", fontsize=SMALL)
    axes.text(-0.9 * wide, LAYERS / 2 * high, "layers →", rotation=90, ha="center", va="center", fontsize=SMALL)


def passes(
    sheet: Sheet, left: float, bottom: float, width: float, names: Sequence[str], colours: Sequence[str]
) -> None:
    """A row of chevrons from left to right: what happens one after the other."""
    step, high, tip = width / len(names), 26, 9
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        x, end = left + i * step, left + (i + 1) * step - 5
        corners = [
            (x, bottom),
            (end - tip, bottom),
            (end, bottom + high / 2),
            (end - tip, bottom + high),
            (x, bottom + high),
        ]
        if i:
            corners.append((x + tip, bottom + high / 2))
        sheet.card.add_patch(Polygon(corners, facecolor=colour, edgecolor="#888888", linewidth=0.8))
        sheet.card.text((x + end) / 2, bottom + high / 2, name, ha="center", va="center", fontsize=SMALL)
