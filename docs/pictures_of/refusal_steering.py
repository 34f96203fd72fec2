"""ActAdd pushes all along r, CAST only where a condition holds, SARSteer along what safe prompts do not share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from pictures_of.stream import where
from pictures_of.strokes import EDIT, Point, Sheet, arrow, border, cloud, dots, refusal_axis, region, say, turned

WIDTH, HEIGHT, FOOT = 226, 190, 176


def draw() -> Figure:
    sheet = Sheet(404)
    _actadd(sheet)
    _cast(sheet)
    _sarsteer(sheet)
    layers: dict[str, tuple[Sequence[int], str]] = {
        "one layer,\nall tokens,\nevery prompt": ((4,), "all"),
        "a band of layers,\nwhere the\ncondition holds": (range(4, 7), "all"),
    }
    layers |= {"all layers, last\nand new tokens,\nwith media alone": (range(8), "last+answer")}
    for i, (words, (edited, at)) in enumerate(layers.items()):
        read = (2,) if i == 1 else ()
        where(sheet.panel(50 + 256 * i, 66, 96, 76, unit=10), edited, at, read, named=False)
        sheet.card.text(158 + 256 * i, 106, words, va="center", fontsize=9)
    sheet.caption("harmful text", "benign text", "harmful media", "benign media", "edit")
    return sheet.figure


def _actadd(sheet: Sheet) -> None:
    axes = sheet.panel(30, FOOT, WIDTH, HEIGHT, "actadd: scale r")
    refusal_axis(axes)
    for kind, form, spots in (
        ("benign", "text", ((0.5, 1.2), (0.8, 3.1))),
        ("benign", "media", ((0.9, 2.1), (1.5, 3.9))),
        ("harmful", "media", ((2.5, 2.6), (2.2, 1.4))),
        ("harmful", "text", ((3.4, 3.5), (3.7, 1.9))),
    ):
        for x, y in spots:
            dots(axes, [(x, y)], kind, form)
            arrow(axes, (x + 0.14, y), (x + 1.5, y))


def _cast(sheet: Sheet) -> None:
    axes = sheet.panel(286, FOOT, WIDTH, HEIGHT, "cast: strength v, if s holds")
    x0, y0 = origin = (1.5, 2.0)
    for side in (1, -1):
        reach = 4.0 if side == 1 else 1.35
        slope = math.tan(math.radians(27))
        region(axes, [origin, (x0 + side * reach, y0 + reach * slope), (x0 + side * reach, y0 - reach * slope)])
    arrow(axes, (0.1, y0), (5.6, y0), "axis")
    say(axes, (0.75, y0 - 0.95), "condition_", bbox=None)
    for x, y in ((3.0, 2.3), (3.9, 1.75), (4.3, 2.75), (4.9, 2.2)):
        dots(axes, [(x, y)], "harmful", "media")
        arrow(axes, (x + 0.05, y + 0.16), (x + 0.3, y + 1.3))
    dots(axes, [(1.2, 3.5), (2.0, 4.1), (1.8, 3.2), (0.6, 4.0), (1.7, 0.6), (2.5, 0.4), (0.8, 0.5)], "benign", "media")
    say(axes, (2.85, 3.2), "v", color=EDIT, weight="bold", bbox=None)
    say(axes, (3.9, 0.75), "s above threshold_", bbox=None)


def _sarsteer(sheet: Sheet) -> None:
    axes = sheet.panel(542, FOOT, WIDTH, HEIGHT, "sarsteer: alpha v")
    origin, tilt = (1.5, 1.3), math.radians(12)

    def at(along: float, across: float) -> Point:
        return turned((along, across), tilt, origin)

    cloud(axes, at(1.2, 0), "benign", "media", n=20, spread=(1.08, 0.2), tilt=tilt, alpha=0.6)
    border(axes, at(-1.3, 0), at(4.0, 0), "U", (0.2, 0.1))
    arrow(axes, origin, at(2.2, 2.7), "drift", "d", (0.3, -0.1))
    arrow(axes, origin, at(0, 2.7), "edit", "v", (-0.3, 0.1), weight="bold")
    border(axes, at(0, 2.7), at(2.2, 2.7), linewidth=0.9)
    say(axes, at(0.8, 3.15), "− lam UUᵀd", bbox=None)
    say(axes, (4.2, 0.5), "safe prompts", style="italic")
