"""MARS: re-centre by neutral media, open the gate on the unsafe side, move along r within the trust region."""

from __future__ import annotations

from matplotlib.figure import Figure

from pictures_of.stream import where
from pictures_of.strokes import EDIT, NEUTRAL, Sheet, arrow, border, chart, cloud, dots, refusal_axis, region, say

SAFE, UNSAFE, LIMIT = 1.2, 4.4, 5.5
MIDDLE = (SAFE + UNSAFE) / 2
LENGTH = UNSAFE - SAFE


def draw() -> Figure:
    sheet = Sheet(336)
    _recentre(sheet)
    _gate(sheet)
    _strength(sheet)
    where(sheet.panel(672, 104, 100, 176, "where", unit=10), [4], "last")
    sheet.caption("harmful text", "benign text", "harmful media", "benign media", "neutral media", "edit")
    return sheet.figure


def _recentre(sheet: Sheet) -> None:
    axes = sheet.panel(20, 70, 230, 222, "1  re-centre: h − bias_")
    refusal_axis(axes)
    safe, unsafe, shift = 0.9, 3.6, (1.75, 2.5)
    border(axes, ((safe + unsafe) / 2, 0.35), ((safe + unsafe) / 2, 5.3), "p = 0", (0, 0.15))
    cloud(axes, (safe, 1.1), "benign", "text", spread=(0.35, 0.25))
    cloud(axes, (unsafe, 1.1), "harmful", "text", spread=(0.35, 0.25))
    say(axes, (safe, 1.7), "safe_")
    say(axes, (unsafe, 1.7), "unsafe_")
    cloud(axes, (safe + shift[0], 1.2 + shift[1]), "neutral", "neutral", spread=(0.2, 0.15), n=8)
    cloud(axes, (safe + shift[0], 2.1 + shift[1]), "benign", "media", spread=(0.35, 0.17), n=8)
    cloud(axes, (unsafe + shift[0], 2.1 + shift[1]), "harmful", "media", spread=(0.3, 0.17), n=8)
    cloud(axes, (safe, 2.45), "benign", "media", spread=(0.35, 0.17), n=8, alpha=0.35)
    cloud(axes, (unsafe, 2.45), "harmful", "media", spread=(0.3, 0.17), n=8, alpha=0.35)
    for x in (safe, unsafe):
        arrow(axes, (x + shift[0] - 0.2, 1.75 + shift[1]), (x + 0.15, 2.8), "drift")
    say(axes, (4.6, 3.2), "− bias_", color=NEUTRAL)


def _gate(sheet: Sheet) -> None:
    axes = sheet.panel(268, 70, 240, 222, "2  gate p > 0, then lambda r")
    refusal_axis(axes)
    region(axes, [(MIDDLE, 0.35), (LIMIT, 0.35), (LIMIT, 5.0), (MIDDLE, 5.0)])
    border(axes, (MIDDLE, 0.35), (MIDDLE, 4.85), "p = 0", (0, 0.3))
    border(axes, (LIMIT, 0.35), (LIMIT, 4.85), "limit_", (0, 0.3), linestyle="-")
    for x, y in ((0.7, 2.3), (1.2, 3.9), (1.5, 3.1), (2.2, 2.2), (1.0, 1.4), (2.3, 3.9)):
        dots(axes, [(x, y)], "benign", "media")
    for x, y in ((3.2, 4.2), (3.7, 3.4), (4.3, 2.6), (4.9, 1.8), (5.5, 1.1)):
        dots(axes, [(x, y)], "harmful", "media")
        if x < LIMIT:
            arrow(axes, (x + 0.12, y), (x + strength(x), y))
    say(axes, (1.3, 4.75), "closed", style="italic")
    say(axes, (4.3, 4.75), "trust region", style="italic")


def strength(x: float) -> float:
    """lambda at coordinate `x` of the axis through both centroids, for kappa = 1."""
    z = x - SAFE
    near = abs(z) / (abs(z) + abs(z - LENGTH))
    return min(near * LENGTH, max(0.0, LIMIT - x)) if x > MIDDLE else 0.0


def _strength(sheet: Sheet) -> None:
    axes = sheet.panel(530, 104, 112, 176, "3  lambda")
    chart(axes, "p", "", xlim=(0.4, 6.4), ylim=(-0.2, 2.8))
    grid = [0.4 + 0.02 * i for i in range(290)]
    axes.plot(grid, [strength(x) for x in grid], color=EDIT, linewidth=2.2)
    border(axes, (MIDDLE, -0.2), (MIDDLE, 2.3), "p = 0", (-0.3, 0.15))
    border(axes, (LIMIT, -0.2), (LIMIT, 1.0), "limit_", (0, 0.15), linestyle="-")
