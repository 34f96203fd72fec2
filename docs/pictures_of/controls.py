"""Edits of one length in other directions, and refusing by chance: what a defense has to beat."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from pictures_of.strokes import EDIT, INK, NEUTRAL, Sheet, arrow, chart, cloud, dots, refusal_axis, region, say

CENTRE, LENGTH = (4.4, 2.9), 1.75


def draw() -> Figure:
    sheet = Sheet(336)
    _directions(sheet)
    _chance(sheet)
    sheet.caption("harmful media", "benign media", "edit")
    return sheet.figure


def _directions(sheet: Sheet) -> None:
    axes = sheet.panel(24, 70, 370, 222, "equal length, other direction")
    refusal_axis(axes)
    cloud(axes, CENTRE, "benign", "media", n=34, spread=(1.5, 0.35), tilt=0.35, alpha=0.3)
    axes.add_patch(Circle(CENTRE, LENGTH, facecolor="none", edgecolor="#888888", linestyle=(0, (4, 3))))
    arms = (
        (-62, "edit", "drift_correction", EDIT, (1.3, -0.1)),
        (118, "vector", "sign_flipped", INK, (-0.95, 0.2)),
        (20, "vector", "benign_direction", INK, (1.2, 0.25)),
        (163, "vector", "random_direction", INK, (-1.3, 0.1)),
    )
    for angle, look, name, colour, at in arms:
        end = (CENTRE[0] + LENGTH * math.cos(math.radians(angle)), CENTRE[1] + LENGTH * math.sin(math.radians(angle)))
        arrow(axes, CENTRE, end, look)
        say(axes, (end[0] + at[0], end[1] + at[1]), name, color=colour)
    dots(axes, [CENTRE], "harmful", "media", size=8)


def _chance(sheet: Sheet) -> None:
    axes = sheet.panel(470, 80, 290, 212, "refusing more is not telling apart")
    chart(axes, "over-refusal", "attack success", xlim=(0, 1.12), ylim=(0, 1.05))
    region(axes, [(0, 0), (0, 0.8), (1, 0)])
    axes.plot((0, 1), (0.8, 0), color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    for p in (0.25, 0.5, 0.75):
        axes.plot([p], [0.8 * (1 - p)], marker="o", color=INK, markersize=5)
    axes.plot([0, 1], [0.8, 0], marker="s", color=NEUTRAL, markersize=7, linestyle="none", clip_on=False, zorder=5)
    say(axes, (0.13, 0.84), "none", bbox=None)
    say(axes, (1.0, 0.16), "always_refuse", bbox=None)
    say(axes, (0.71, 0.48), "random_refuse(p)", bbox=None)
    axes.plot([0.1], [0.25], marker="*", color=EDIT, markersize=14)
    say(axes, (0.3, 0.25), "a defense", color=EDIT, bbox=None)
