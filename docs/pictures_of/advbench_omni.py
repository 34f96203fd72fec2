"""AdvBench-Omni: which part of the request each modality carries, in each of the eleven combinations."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from harness.builders.combinations import COMBINATIONS, Combination
from pictures_of.strokes import EDIT, INK, REGION, SMALL, Sheet

ROWS = ("text", "image", "audio", "video")
GROUPS = (("alone", 4), ("text points to media", 3), ("in fragments", 2), ("no text", 2))
LEFT, TOP, WIDE, HIGH, GAP = 84, 190, 57, 36, 16


def draw() -> Figure:
    sheet = Sheet(284)
    card = sheet.card
    for row, name in enumerate(ROWS):
        card.text(LEFT - 12, TOP - row * HIGH, name, ha="right", va="center", weight="bold")
    codes, x = list(COMBINATIONS), float(LEFT)
    for title, count in GROUPS:
        group, codes = codes[:count], codes[count:]
        end = x + count * WIDE
        card.text((x + end) / 2, TOP + 66, title, ha="center", va="center", fontsize=SMALL)
        card.plot((x + 4, end - 4), (TOP + 55, TOP + 55), color="#888888", linewidth=1)
        for code in group:
            card.text(x + WIDE / 2, TOP + 36, code, ha="center", va="center", weight="bold", family="DejaVu Sans Mono")
            _column(sheet, x, COMBINATIONS[code])
            x += WIDE
        x += GAP
    words = "filled: what is asked    outlined: a harmless instruction that points to it"
    card.text(LEFT, TOP - 4 * HIGH + 2, words, va="center", fontsize=SMALL)
    sheet.caption()
    return sheet.figure


def _column(sheet: Sheet, x: float, combination: Combination) -> None:
    for row, name in enumerate(ROWS):
        what = part(combination, name)
        filled = what not in ("", "asks")
        shape = FancyBboxPatch((x + 5, TOP - row * HIGH - 12), WIDE - 10, 24, boxstyle="round,pad=0,rounding_size=5")
        shape.set(facecolor=EDIT if filled else "white", edgecolor=EDIT if what else "#dddddd", linewidth=1.2)
        if what == "asks":
            shape.set(facecolor=REGION)
        sheet.card.add_patch(shape)
        colour = "white" if filled else INK
        sheet.card.text(x + WIDE / 2, TOP - row * HIGH, what, ha="center", va="center", fontsize=8, color=colour)


def part(combination: Combination, modality: str) -> str:
    """What `modality` carries: the request, its payload, a part of that, the instruction ("asks"), or nothing."""
    if modality == combination.instruction:
        return "asks"
    if modality not in combination.payload:
        return ""
    if len(combination.payload) > 1:
        return f"part {combination.payload.index(modality) + 1}"
    return "payload" if combination.instruction else "request"
