"""ReGap: take off orthogonal drift, hear whether later layers turn to refusal by themselves, correct as much."""

from __future__ import annotations

from matplotlib.figure import Figure

from pictures_of.stream import passes, where
from pictures_of.strokes import EDIT, REGION, Sheet, arrow, border, chart, cloud, dots, refusal_axis, right_angle, say


def draw() -> Figure:
    sheet = Sheet(376)
    _edited(sheet)
    _later(sheet)
    _strength(sheet)
    where(sheet.panel(672, 142, 100, 176, "where", unit=10), range(2, 6), "last", range(6, 8))
    passes(
        sheet, 20, 48, 620, ("read plain", "read under trial alpha0", "answer with alpha(x)"), ("white", REGION, REGION)
    )
    sheet.caption("harmful text", "benign text", "harmful media", "benign media", "edit")
    return sheet.figure


def _edited(sheet: Sheet) -> None:
    axes = sheet.panel(20, 116, 250, 216, "1  layers_: take off d⊥")
    refusal_axis(axes)
    cloud(axes, (1.2, 1.35), "benign", "text")
    cloud(axes, (4.9, 1.35), "harmful", "text")
    cloud(axes, (2.3, 4.4), "benign", "media")
    cloud(axes, (3.5, 4.4), "harmful", "media")
    arrow(axes, (1.1, 1.9), (1.85, 3.75), "drift")
    arrow(axes, (4.95, 1.9), (3.95, 3.75), "drift", "drift", (0.55, 0.1))
    for x, kind in ((2.3, "benign"), (3.5, "harmful")):
        cloud(axes, (x, 1.35), kind, "media", alpha=0.3)
        arrow(axes, (x, 3.9), (x, 1.5))
    say(axes, (2.9, 2.9), "− alpha d⊥", color=EDIT)
    border(axes, (2.3, 0.35), (2.3, 1.1), linewidth=0.8)
    right_angle(axes, (2.3, 0.35))


def _later(sheet: Sheet) -> None:
    axes = sheet.panel(290, 116, 190, 216, "2  signal_layers_: hear s")
    refusal_axis(axes)
    cloud(axes, (1.3, 3.9), "harmful", "media", alpha=0.3)
    cloud(axes, (3.6, 3.9), "harmful", "media")
    arrow(axes, (1.4, 3.05), (3.5, 3.05), "vector", "s: self-rectification", (0, -0.35))
    cloud(axes, (0.95, 1.5), "benign", "media", alpha=0.3)
    cloud(axes, (1.2, 1.5), "benign", "media")


def _strength(sheet: Sheet) -> None:
    axes = sheet.panel(504, 142, 130, 176, "3  alpha(x)")
    chart(axes, "s", "", xlim=(0, 10), ylim=(-0.14, 1.25))
    axes.plot((0, 3.5, 7, 10), (0, 0, 1, 1), color=EDIT, linewidth=2.2, clip_on=False)
    border(axes, (3.5, -0.14), (3.5, 0.5), "tau_", (0, 0.07))
    border(axes, (7, -0.14), (7, 1), linewidth=0.8)
    say(axes, (6.6, 1.1), "alpha_max")
    dots(axes, [(x, 0.03) for x in (0.5, 1.1, 1.6, 2.3, 3.0)], "benign", "media")
    dots(axes, [(x, 0.03) for x in (5.0, 6.1, 7.2, 8.0, 9.1)], "harmful", "media")
