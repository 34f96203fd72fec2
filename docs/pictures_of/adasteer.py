"""AdaSteer: two coordinates of an input, two ramps, and a push of its own along the rejection vector."""

from __future__ import annotations

from matplotlib.figure import Figure

from pictures_of.stream import where
from pictures_of.strokes import BENIGN, EDIT, HARMFUL, Sheet, arrow, border, chart, dots, say

ALPHA, BETA = (-0.2, 0.0), (-0.6, 0.4)
# <v_HD, v_RD> / |v_RD|^2 of this drawing.
SHARE = 0.5
STEP = 90


def draw() -> Figure:
    sheet = Sheet(336)
    _ramps(sheet)
    _push(sheet)
    where(sheet.panel(672, 104, 100, 176, "where", unit=10), range(8), "prompt", (2, 4), "last")
    sheet.caption("harmful text", "harmful media", "benign media", "edit")
    return sheet.figure


def ramp(value: float, start: float, end: float, first: float, last: float) -> float:
    share = min(max((value - start) / (end - start), 0.0), 1.0)
    return first + share * (last - first)


def alpha(z: float) -> float:
    return ramp(z, 20, 90, ALPHA[0], ALPHA[1])


def beta(z: float) -> float:
    return ramp(z, 15, 85, BETA[1], BETA[0])


def _ramps(sheet: Sheet) -> None:
    grid = list(range(-20, 131))
    answered, refused, benign = (-8, 2, 14), (92, 102, 114), (-12, 0, 11)
    for bottom, title, curve, bounds, marks in (
        (196, "1  alpha(z_rd)", alpha, ALPHA, ((answered, "harmful", "media"), (refused, "harmful", "text"))),
        (72, "2  beta(z_hd)", beta, BETA, ((benign, "benign", "media"), (refused, "harmful", "media"))),
    ):
        name, z = title[3:].rstrip(")").split("(")
        axes = sheet.panel(30, bottom, 190, 88, title)
        chart(axes, z, "", xlim=(-20, 135), ylim=(bounds[0] - 0.06, max(bounds[1], 0.02) + 0.06))
        axes.plot(grid, [curve(z) for z in grid], color=EDIT, linewidth=2.2)
        for spots, kind, form in marks:
            dots(axes, [(x, curve(x)) for x in spots], kind, form)
        say(axes, (100, bounds[0] + 0.15 * (bounds[1] - bounds[0]) if name == "alpha" else bounds[1]), f"{name}_bounds")


def _push(sheet: Sheet) -> None:
    axes = sheet.panel(270, 70, 360, 222, "3  net = alpha and beta along v_RD")
    axes.set(xlim=(-30, 150), ylim=(-22, 122))
    arrow(axes, (-30, -12), (150, -12), "axis")
    arrow(axes, (-24, -18), (-24, 118), "axis")
    say(axes, (138, -19), "z_rd", color="#555555")
    say(axes, (-28, 50), "z_hd", color="#555555", rotation=90)
    for z, name in ((0, "0: answered"), (100, "100: refused")):
        border(axes, (z, -12), (z, 112), linewidth=0.8)
        say(axes, (z, 118), name)
    answered = [(-14, 105), (-4, 90), (10, 97.5), (24, 82.5), (4, 74), (36, 67)]
    refused = [(88, 101), (104, 92), (95, 78), (108, 69)]
    benign = [(-10, 8), (4, 20), (14, 2), (26, 14), (38, 24), (46, 4), (62, 12)]
    for spots, kind, form in (
        (answered, "harmful", "media"),
        (refused, "harmful", "text"),
        (benign, "benign", "media"),
    ):
        dots(axes, spots, kind, form)
        for x, y in spots:
            push = -STEP * (alpha(x) + SHARE * beta(y))
            if abs(push) > 6:
                arrow(axes, (x + (3 if push > 0 else -3), y), (x + push, y))
    say(axes, (72, 45), "far from refusal: long push", color=HARMFUL)
    say(axes, (72, 33), "harmless: none, or back", color=BENIGN)
