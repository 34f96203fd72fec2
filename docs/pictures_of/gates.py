"""HiddenDetect: how far layers lean to words of refusal. OMNIGUARD: a classifier where the modalities agree."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from pictures_of.stream import where
from pictures_of.strokes import BENIGN, HARMFUL, INK, REGION, Sheet, border, chart, dots, region, say

FIRST, LAST = 3.6, 6.4


def draw() -> Figure:
    sheet = Sheet(336)
    _hiddendetect(sheet)
    _omniguard(sheet)
    _line(sheet)
    where(sheet.panel(686, 196, 84, 84, "hiddendetect", unit=10), (), "last", (4, 5, 6), "last", named=False)
    where(sheet.panel(686, 70, 84, 84, "omniguard", unit=10), (), "last", (3,), "prompt", named=False)
    sheet.caption("harmful text", "benign text", "harmful media", "benign media")
    return sheet.figure


def leaning(layer: float, harmful: bool) -> float:
    """F of a layer: a bump in the middle for harmful prompts, and little for the others."""
    return 0.06 * layer / 8 + (0.8 if harmful else 0.12) * math.exp(-(((layer - 5) / 1.4) ** 2))


def _hiddendetect(sheet: Sheet) -> None:
    axes = sheet.panel(30, 70, 186, 210, "hiddendetect: area of F")
    chart(axes, "layer", "F = cos(z, refusal words)", xlim=(0, 8.2), ylim=(0, 1.1))
    layers = [0.1 * i for i in range(80)]
    inside = [x for x in layers if FIRST <= x <= LAST]
    axes.fill_between(inside, [leaning(x, True) for x in inside], color="#f2d9c9", zorder=0)
    axes.fill_between(inside, [leaning(x, False) for x in inside], color="#c9dcea", zorder=1)
    axes.plot(layers, [leaning(x, True) for x in layers], color=HARMFUL, linewidth=2)
    axes.plot(layers, [leaning(x, False) for x in layers], color=BENIGN, linewidth=2, linestyle=(0, (5, 2)))
    for x in (FIRST, LAST):
        border(axes, (x, 0), (x, 0.95), linewidth=0.9)
    say(axes, (5, 0.5), "layers_", bbox=None)


def _omniguard(sheet: Sheet) -> None:
    axes = sheet.panel(244, 70, 206, 210, "omniguard: at layer_")
    curve = [(1.3 + 0.3 * math.sin(2.2 * y) + 0.45 * y, 0.1 + y * 1.02) for y in [0.1 * i for i in range(47)]]
    region(axes, [*curve, (5.1, 4.8), (5.1, 0.1)])
    axes.plot(*zip(*curve, strict=True), color=INK, linewidth=1.4)
    pairs = {
        "harmful": ((2.9, 1.0), (3.6, 2.0), (4.3, 1.2), (4.4, 2.9), (3.8, 3.9)),
        "benign": ((0.5, 1.3), (1.1, 2.3), (0.5, 3.2), (1.6, 3.7), (0.8, 4.4)),
    }
    for kind, spots in pairs.items():
        for i, (x, y) in enumerate(spots):
            other = (x + 0.3, y + 0.3 * (-1) ** i)
            axes.plot((x, other[0]), (y, other[1]), color="#888888", linewidth=1, zorder=1)
            dots(axes, [(x, y)], kind, "text")
            dots(axes, [other], kind, "media")
    say(axes, (4.0, 4.65), "harmful", style="italic", bbox=None)
    say(axes, (3.5, 0.35), "joined: one request", style="italic", bbox=None)


def _line(sheet: Sheet) -> None:
    axes = sheet.panel(480, 70, 180, 210, "block at threshold_")
    chart(axes, "score", "", xlim=(0, 10), ylim=(0, 10))
    region(axes, [(5, 0), (10, 0), (10, 9), (5, 9)])
    border(axes, (5, 0), (5, 9), "threshold_", (0, 0.5))
    benign = [(2.6 + 1.9 * math.sin(3.7 * i), 1.2 + 0.55 * i) for i in range(12)]
    harmful = [(7.2 + 2.0 * math.sin(2.9 * i + 1), 1.4 + 0.55 * i) for i in range(12)]
    # No line is perfect.
    benign[3], harmful[8] = (5.5, benign[3][1]), (4.3, harmful[8][1])
    for spots, kind in ((benign, "benign"), (harmful, "harmful")):
        dots(axes, spots[::2], kind, "text")
        dots(axes, spots[1::2], kind, "media")
    say(axes, (2.2, 8.3), "answered", style="italic")
    say(axes, (7.5, 8.3), "refused", style="italic", bbox={"facecolor": REGION, "edgecolor": "none", "pad": 1})
