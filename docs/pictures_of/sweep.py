"""A sweep: the safest setting of each arm within an over-refusal limit, found on validation, then tested once."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pictures_of.stream import passes
from pictures_of.strokes import EDIT, INK, NEUTRAL, REGION, Point, Sheet, arrow, border, chart, say

TARGETS = (0.02, 0.05)
START = (0.0, 0.86)
DEFENSE = ((0.003, 0.70), (0.008, 0.5), (0.016, 0.37), (0.03, 0.27), (0.043, 0.19), (0.062, 0.14), (0.085, 0.11))
CONTROL = ((0.004, 0.83), (0.011, 0.79), (0.027, 0.73), (0.046, 0.67), (0.068, 0.6), (0.088, 0.54))


def draw() -> Figure:
    sheet = Sheet(392)
    passes(
        sheet,
        24,
        336,
        756,
        ("train: directions, centroids", "validation: the setting", "test: asked once"),
        (REGION, REGION, "white"),
    )
    axes = sheet.panel(70, 62, 560, 256)
    chart(axes, "lost (over-refusal)", "unsafe", xlim=(0, 0.098), ylim=(0, 1))
    for target in TARGETS:
        border(axes, (target, 0), (target, 0.96), f"target {target:g}", (0, 0.02))
    _curve(axes, CONTROL, NEUTRAL, "s")
    _curve(axes, DEFENSE, EDIT, "o")
    for target in TARGETS:
        high, low = best(CONTROL, target), best(DEFENSE, target)
        for point in (high, low):
            axes.plot([point[0]], [point[1]], marker="o", markersize=14, color="none", markeredgecolor=INK)
        x = target - 0.0015
        axes.plot((high[0], x), (high[1], high[1]), color="#999999", linewidth=0.9)
        axes.plot((low[0], x), (low[1], low[1]), color="#999999", linewidth=0.9)
        arrow(axes, (x, high[1]), (x, low[1]), "vector")
    axes.plot([0], [START[1]], marker="D", color=INK, markersize=7, clip_on=False, zorder=5)
    say(axes, (0.0055, 0.9), "none")
    say(axes, (0.088, 0.62), "a control", color=NEUTRAL)
    say(axes, (0.085, 0.19), "a defense", color=EDIT)
    say(axes, (0.0615, 0.44), "gain at matched\nover-refusal")
    sheet.card.plot([656], [250], marker="o", markersize=14, color="none", markeredgecolor=INK)
    sheet.card.text(672, 250, "chosen: the least\nunsafe with\nlost ≤ target", va="center", fontsize=9)
    sheet.card.plot([656], [186], marker="o", markersize=6, color=EDIT)
    sheet.card.text(672, 186, "a setting\n(knob_values)", va="center", fontsize=9)
    sheet.caption()
    return sheet.figure


def best(points: tuple[Point, ...], limit: float) -> Point:
    return min((p for p in points if p[0] <= limit), key=lambda p: p[1])


def _curve(axes: Axes, points: tuple[Point, ...], colour: str, marker: str) -> None:
    line = (START, *points)
    axes.plot(*zip(*line, strict=True), color=colour, linewidth=1.8, marker=marker, markersize=6, zorder=3)
