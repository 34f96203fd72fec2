"""ASTRA: the patches that make the model comply give v; states aligned with v are pushed back as far as they align."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pictures_of.stream import where
from pictures_of.strokes import EDIT, HARMFUL, INK, Sheet, arrow, border, dots, region, say

ATTRIBUTED = {(1, 3), (2, 3), (2, 2), (3, 2), (3, 3)}
CENTRE = (2.9, 2.75)
ALPHA = 0.34


def draw() -> Figure:
    sheet = Sheet(336)
    _vector(sheet)
    _steering(sheet)
    where(sheet.panel(672, 104, 100, 176, "where", unit=10), [3], "last+answer")
    sheet.caption("harmful media", "benign media", "edit")
    return sheet.figure


def _picture(sheet: Sheet, left: float, bottom: float, painted: bool, title: str) -> None:
    axes = sheet.panel(left, bottom, 96, 96, unit=16)
    for x in range(6):
        for y in range(6):
            chosen = (x, y) in ATTRIBUTED
            shade = "#9a9a9a" if painted and chosen else ("#e0a070" if chosen else ("#dfe7ec", "#e9ecdf")[(x * y) % 2])
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor="white", linewidth=0.8))
            if chosen and not painted:
                axes.add_patch(Rectangle((x, y), 1, 1, facecolor="none", edgecolor=HARMFUL, hatch="xx", linewidth=1))
    axes.add_patch(Rectangle((0, 0), 6, 6, facecolor="none", edgecolor=INK, linewidth=1))
    sheet.card.text(left + 48, bottom - 6, title, ha="center", va="top", fontsize=9)


def _vector(sheet: Sheet) -> None:
    axes = sheet.panel(24, 70, 260, 222, "1  vector_: what the attack adds")
    _picture(sheet, 28, 164, False, "h(picture)")
    _picture(sheet, 178, 164, True, "h(painted over)")
    say(axes, (3.15, 3.55), "−", fontsize=20)
    arrow(axes, (1.3, 1.1), (4.9, 1.1), "vector", "v", (0, 0.3), weight="bold", fontsize=12)
    say(axes, (3.1, 0.65), "mean over attacks, last prompt token")


def _steering(sheet: Sheet) -> None:
    axes = sheet.panel(338, 70, 300, 222, "2  h' = h − alpha a |h| v / |v|")
    x0, y0 = CENTRE
    region(axes, [(x0, 0.15), (7.5, 0.15), (7.5, 5.3), (x0, 5.3)])
    border(axes, (x0, 0.15), (x0, 5.3))
    axes.plot([x0], [y0], marker="P", color=INK, markersize=8)
    say(axes, (x0 - 0.25, y0 - 0.42), "reference_", ha="right")
    arrow(axes, (x0 + 0.15, y0), (7.5, y0), "axis")
    say(axes, (7.2, y0 - 0.3), "v", weight="bold")
    # States that lie at many angles to v; |h| is about the same for all of them.
    for angle, radius in ((8, 3.9), (-20, 3.7), (38, 3.2), (-40, 2.9), (62, 2.6), (-70, 2.45)):
        x, y = x0 + radius * math.cos(math.radians(angle)), y0 + radius * math.sin(math.radians(angle))
        dots(axes, [(x, y)], "harmful", "media")
        arrow(axes, (x - 0.12, y), (x - 0.12 - ALPHA * 6 * math.cos(math.radians(angle)), y))
    for angle, radius in ((110, 1.9), (135, 2.6), (160, 1.7), (200, 2.4), (228, 2.3), (255, 1.8)):
        x, y = x0 + radius * math.cos(math.radians(angle)), y0 + radius * math.sin(math.radians(angle))
        dots(axes, [(x, y)], "benign", "media")
    say(axes, (1.2, 5.05), "a = 0: untouched", style="italic")
    say(axes, (6.3, 5.05), "a = cos(h − h0, v)", color=EDIT, bbox=None)
