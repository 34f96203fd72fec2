"""OmniSteer: one golden vector for all modalities; an adapter pushes harmful states up along it and safe ones down."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from pictures_of.stream import where
from pictures_of.strokes import EDIT, Sheet, arrow, border, dots, region, say

HIGH, LOW = 3.5, 1.7
FORMS = ("text", "image", "audio", "video")


def draw() -> Figure:
    sheet = Sheet(336)
    _golden(sheet)
    _adapter(sheet)
    _static(sheet)
    where(sheet.panel(692, 196, 84, 84, "omnisteer", unit=10), (3, 4, 5), "last+answer", named=False)
    where(sheet.panel(692, 70, 84, 84, "static_steer", unit=10), range(4, 7), "all", named=False)
    sheet.caption("harmful text", "benign text", "harmful media", "benign media", "edit")
    return sheet.figure


def _golden(sheet: Sheet) -> None:
    axes = sheet.panel(20, 70, 190, 222, "1  golden_")
    origin = (0.9, 0.8)
    vectors = {"text": (62, 4.2), "image": (38, 2.7), "audio": (84, 2.6), "video": (25, 2.0)}
    ends = {n: (math.cos(math.radians(a)) * s, math.sin(math.radians(a)) * s) for n, (a, s) in vectors.items()}
    for name, (x, y) in ends.items():
        tip = (origin[0] + x, origin[1] + y)
        arrow(axes, origin, tip, "drift")
        say(axes, (tip[0] + 0.2, tip[1] + 0.22), name)
        dots(axes, [(tip[0] - 0.52, tip[1] + 0.22)], "neutral", name)
    angle = math.atan2(sum(y for _, y in ends.values()), sum(x for x, _ in ends.values()))
    length = sum(math.hypot(*end) for end in ends.values()) / len(ends)
    tip = (origin[0] + length * math.cos(angle), origin[1] + length * math.sin(angle))
    arrow(axes, origin, tip, "vector")
    say(axes, (tip[0] + 0.32, tip[1] + 0.28), "g", weight="bold", fontsize=12)
    say(axes, (2.7, 0.55), "harmful − benign,\none a modality")


def _adapter(sheet: Sheet) -> None:
    axes = sheet.panel(226, 70, 240, 222, "2  omnisteer: k(h) g, learned")
    region(axes, [(0.2, HIGH), (5.9, HIGH), (5.9, 5.1), (0.2, 5.1)], "#f7e9e0")
    region(axes, [(0.2, 0.3), (5.9, 0.3), (5.9, LOW), (0.2, LOW)], "#e2edf5")
    border(axes, (0.2, HIGH), (5.2, HIGH), "a R", (0.35, 0))
    border(axes, (0.2, LOW), (5.2, LOW), "−b R", (0.35, 0))
    arrow(axes, (0.2, 0.3), (0.2, 5.4), "axis", "g", (0.25, 2.3))
    for i, (form, y) in enumerate(zip(FORMS, (3.1, 2.4, 2.8, 2.2), strict=True)):
        x = 0.8 + 0.55 * i
        dots(axes, [(x, y)], "harmful", form, size=6.5)
        arrow(axes, (x, y + 0.16), (x, HIGH + 0.25 + 0.12 * (i % 2)))
    dots(axes, [(3.15, 4.3)], "harmful", "text", size=6.5)
    for i, (form, y) in enumerate(zip(FORMS, (2.2, 2.9, 2.5, 3.0), strict=True)):
        x = 3.4 + 0.5 * i
        dots(axes, [(x, y)], "benign", form, size=6.5)
        arrow(axes, (x, y - 0.16), (x, LOW - 0.25 - 0.12 * (i % 2)))


def _static(sheet: Sheet) -> None:
    axes = sheet.panel(486, 70, 176, 222, "3  static_steer: coef g")
    arrow(axes, (0.2, 0.3), (0.2, 5.4), "axis", "g", (0.25, 2.3))
    spots = [(0.8, 3.1, "harmful"), (1.3, 2.4, "harmful"), (1.8, 2.8, "harmful"), (2.3, 2.2, "harmful")]
    spots += [(2.7, 2.2, "benign"), (3.2, 2.9, "benign"), (3.7, 2.5, "benign"), (4.1, 3.0, "benign")]
    for i, (x, y, kind) in enumerate(spots):
        dots(axes, [(x, y)], kind, FORMS[i % 4], size=6.5)
        arrow(axes, (x, y + 0.16), (x, y + 1.3))
    say(axes, (2.4, 1.2), "the same for all", color=EDIT)
