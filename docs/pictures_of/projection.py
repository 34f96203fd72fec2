"""VLM-Guard: project states off the subspace V in which harmful and benign texts differ; gated, amplify instead."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pictures_of.stream import where
from pictures_of.strokes import Sheet, arrow, border, dots, region, right_angle, say

ORIGIN = (2.9, 0.9)
HARMFUL = ((0.75, 0.7), (1.15, 1.6), (0.55, 2.4), (0.95, 3.2))
BENIGN = ((-1.6, 0.7), (-0.9, 1.3), (-2.0, 2.0), (-1.2, 2.8))
GAIN = 2


def draw() -> Figure:
    sheet = Sheet(336)
    for left, title, gated in ((24, "reading=projection", False), (338, "reading=gated", True)):
        _plane(sheet.panel(left, 70, 300, 222, title), gated)
    where(sheet.panel(672, 104, 100, 176, "where", unit=10), [3], "all")
    sheet.caption("harmful media", "benign media", "edit")
    return sheet.figure


def _plane(axes: Axes, gated: bool) -> None:
    x0, y0 = ORIGIN
    if gated:
        region(axes, [(x0, 0.3), (7.3, 0.3), (7.3, 5.3), (x0, 5.3)])
        say(axes, (6.2, 5.0), "<h, V1> > 0", bbox=None)
        say(axes, (1.2, 5.0), "else", bbox=None)
    arrow(axes, (0.2, y0), (7.3, y0), "axis")
    say(axes, (6.9, y0 - 0.4), "V1", weight="bold")
    border(axes, (x0, 0.3), (x0, 5.3))
    right_angle(axes, ORIGIN)
    say(axes, (x0 - 0.25, y0 - 0.3), "0")
    for kind, spots in (("harmful", HARMFUL), ("benign", BENIGN)):
        for along, up in spots:
            start, end = x0 + along, x0 + (GAIN * along if gated and along > 0 else 0)
            # A dot stands in front of its arrow.
            dots(axes, [(start, y0 + up)], kind, "media")
            arrow(axes, (start + (0.12 if end > start else -0.12), y0 + up), (end, y0 + up))
    label = "amplified by gain" if gated else "h − strength VᵀV h"
    say(axes, (4.9, 0.2), label)
