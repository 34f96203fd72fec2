"""ShiftDC takes off the part of a picture's shift that lies along s; CMRM takes off all that a neutral picture does."""

from __future__ import annotations

from matplotlib.figure import Figure

from pictures_of.stream import where
from pictures_of.strokes import EDIT, Sheet, arrow, border, cloud, dots, refusal_axis, right_angle, say


def draw() -> Figure:
    sheet = Sheet(336)
    _shiftdc(sheet)
    _cmrm(sheet)
    where(sheet.panel(692, 196, 84, 84, "shiftdc", unit=10), range(4, 8), "last", named=False)
    where(sheet.panel(692, 70, 84, 84, "cmrm", unit=10), range(8), "last", named=False)
    sheet.caption("harmful text", "benign text", "harmful media", "neutral media", "edit")
    return sheet.figure


def _shiftdc(sheet: Sheet) -> None:
    axes = sheet.panel(24, 70, 320, 222, "shiftdc: only the part of m along s")
    refusal_axis(axes, "unsafe")
    cloud(axes, (1.2, 1.1), "benign", "text", spread=(0.4, 0.25))
    cloud(axes, (6.6, 1.1), "harmful", "text", spread=(0.4, 0.25))
    arrow(axes, (5.75, 1.1), (2.2, 1.1), "vector", "shift_ = s", (0, 0.28))
    caption, picture = (6.2, 2.4), (2.6, 4.6)
    corner = (caption[0], picture[1])
    dots(axes, [caption], "harmful", "text", size=8)
    dots(axes, [picture], "harmful", "media", size=8)
    arrow(axes, caption, picture, "drift", "m", (-0.25, -0.3))
    arrow(axes, picture, (corner[0] - 0.12, corner[1]), "edit", "− alpha <m, s> / <s, s> s", (0, 0.3))
    dots(axes, [corner], "harmful", "media", size=8, alpha=0.4)
    border(axes, caption, corner, linewidth=0.9)
    right_angle(axes, (corner[0], caption[1] + 0.25), 0.0)
    say(axes, (6.55, 2.02), "query + caption")
    say(axes, (1.55, 4.6), "query +\npicture")
    say(axes, (7.0, 3.5), "meaning\nis kept", style="italic")


def _cmrm(sheet: Sheet) -> None:
    axes = sheet.panel(372, 70, 280, 222, "cmrm: all that a neutral picture does")
    refusal_axis(axes)
    text, shift, own = (5.3, 1.3), (-2.6, 1.5), (0.5, 1.5)
    neutral = (text[0] + shift[0], text[1] + shift[1])
    picture = (neutral[0] + own[0], neutral[1] + own[1])
    end = (picture[0] - shift[0], picture[1] - shift[1])
    dots(axes, [text], "harmful", "text", size=8)
    dots(axes, [neutral], "neutral", "neutral", size=8)
    dots(axes, [picture], "harmful", "media", size=8)
    dots(axes, [end], "harmful", "media", size=8, alpha=0.4)
    arrow(axes, text, neutral, "drift", "delta", (-0.4, -0.25))
    arrow(axes, picture, end, "edit", "− alpha delta", (0.75, 0.3))
    border(axes, neutral, picture, linewidth=0.9)
    border(axes, text, end, linewidth=0.9)
    say(axes, (5.3, 0.95), "x as text")
    say(axes, (1.7, 2.75), "x, neutral\npicture")
    say(axes, (2.3, 4.45), "x, picture")
    say(axes, (1.8, 1.2), "no labels", style="italic", color=EDIT)
