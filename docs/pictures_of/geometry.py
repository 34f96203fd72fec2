"""What `gapbench geometry` measures: drift, separability along r, the media's own refusal vectors, cause and effect."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.patches import Arc

from pictures_of.strokes import BENIGN, EDIT, HARMFUL, NEUTRAL, Sheet, arrow, border, chart, cloud, right_angle, say


def draw() -> Figure:
    sheet = Sheet(336)
    _drift(sheet)
    _separability(sheet)
    _own(sheet)
    _causal(sheet)
    sheet.caption("harmful text", "benign text", "harmful media", "benign media")
    return sheet.figure


def _drift(sheet: Sheet) -> None:
    axes = sheet.panel(22, 70, 190, 210, "r and drift d")
    cloud(axes, (0.9, 0.8), "benign", "text", n=8, spread=(0.3, 0.22))
    cloud(axes, (3.8, 0.8), "harmful", "text", n=8, spread=(0.3, 0.22))
    cloud(axes, (1.3, 4.4), "benign", "media", n=8, spread=(0.3, 0.22))
    cloud(axes, (2.9, 4.4), "harmful", "media", n=8, spread=(0.3, 0.22))
    middle, tip = (2.35, 0.8), (1.75, 3.9)
    arrow(axes, (1.5, 0.8), (3.3, 0.8), "vector", "r", (0.5, -0.3), weight="bold")
    arrow(axes, middle, tip, "drift", "d", (-0.3, 0), weight="bold")
    border(axes, middle, (middle[0], tip[1]), "d_across", (0.72, -0.75), linewidth=0.9)
    right_angle(axes, middle)
    angle = math.degrees(math.atan2(tip[1] - middle[1], tip[0] - middle[0]))
    axes.add_patch(Arc(middle, 1.5, 1.5, theta1=0, theta2=angle, color="#555555", linewidth=1))
    say(axes, (3.6, 1.75), "cos_refusal")


def bell(x: float, middle: float, wide: float) -> float:
    return math.exp(-(((x - middle) / wide) ** 2) / 2)


def _separability(sheet: Sheet) -> None:
    for bottom, title, low, high, line in (
        (190, "d′ of text, along r", -1.5, 1.5, "-"),
        (78, "d′ of media", -0.45, 0.45, (0, (5, 2))),
    ):
        axes = sheet.panel(232, bottom, 164, 88, title)
        axes.set(xlim=(-3.4, 3.4), ylim=(-0.08, 1.35))
        grid = [-3.3 + 0.05 * i for i in range(133)]
        for middle, colour in ((low, BENIGN), (high, HARMFUL)):
            heights = [bell(x, middle, 0.62) for x in grid]
            axes.fill_between(grid, heights, color=colour, alpha=0.16, linewidth=0)
            axes.plot(grid, heights, color=colour, linewidth=1.8, linestyle=line)
        arrow(axes, (-3.4, 0), (3.4, 0), "axis")
        arrow(axes, (0, 1.15), (high, 1.15), "axis")
        arrow(axes, (0, 1.15), (low, 1.15), "axis")


def _own(sheet: Sheet) -> None:
    axes = sheet.panel(424, 78, 156, 200, "own_refusal, by layer")
    chart(axes, "layer", "norm, relative to text", xlim=(0, 10.4), ylim=(0, 1.4))
    grid = [0.1 * i for i in range(101)]
    axes.plot(grid, [1.0 for _ in grid], color=NEUTRAL, linewidth=2)
    axes.plot(grid, [0.92 - 0.62 * bell(x, 5.2, 1.7) for x in grid], color=EDIT, linewidth=2.2, linestyle=(0, (5, 2)))
    say(axes, (8.6, 1.1), "text", color=NEUTRAL)
    say(axes, (9.0, 0.5), "media", color=EDIT)
    say(axes, (5.1, 0.16), "dissolution", style="italic")


def _causal(sheet: Sheet) -> None:
    axes = sheet.panel(616, 78, 156, 200, "cause: h − s v")
    chart(axes, "s", "", xlim=(-2.2, 2.3), ylim=(0, 1.1))
    grid = [-2 + 0.05 * i for i in range(81)]
    axes.plot(grid, [0.5 + 0.38 * math.tanh(1.3 * s) for s in grid], color=EDIT, linewidth=2.2)
    axes.plot(grid, [0.5 + 0.05 * math.sin(1.7 * s) for s in grid], color=NEUTRAL, linewidth=1.6, linestyle=(0, (4, 2)))
    say(axes, (1.2, 0.98), "drift", color=EDIT)
    say(axes, (1.5, 0.36), "random", color=NEUTRAL)
    say(axes, (-1.2, 1.02), "refusals", bbox=None)
