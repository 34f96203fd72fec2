"""One number of a table: its text, its interval, its marks, and what it is sorted by."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from reports.lookup import corrected_p

DASH = "–"
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Cell:
    text: str
    sort: float | None = None
    interval: str = ""
    mark: str = ""
    mark_text: str = ""
    notes: tuple[str, ...] = ()

    def noted(self, *notes: str) -> Cell:
        return replace(self, notes=(*self.notes, *notes))


EMPTY = Cell(DASH)


def percent(figure: dict[str, Any] | None) -> Cell:
    """A rate in [0, 1] as per cent with one decimal."""
    return _cell(figure, lambda v: f"{100 * v:.1f}")


def points(figure: dict[str, Any] | None) -> Cell:
    """A difference of two rates in percentage points, signed."""
    return _cell(figure, lambda v: signed(100 * v))


def number(figure: dict[str, Any] | None, digits: int = 2, unit: str = "") -> Cell:
    cell = _cell(figure, lambda v: f"{v:,.{digits}f}")
    return replace(cell, text=cell.text + unit) if figure else cell


def signed(value: float) -> str:
    shown = f"{abs(value):.1f}"
    if float(shown) == 0:
        return shown
    return f"{'+' if value > 0 else '−'}{shown}"


def significance(figure: dict[str, Any] | None) -> tuple[str, str]:
    """Stars and their meaning in words, from `corrected_p`; two empty strings where nothing was tested."""
    p = corrected_p(figure)
    if p is None:
        return "", ""
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    mark = next((stars for limit, stars in STARS if p < limit), "")
    verdict = "differs from no defense" if mark else "no significant difference from no defense"
    return mark, f"{verdict} ({shown}, the larger of McNemar's and the sign-flip test's by base question, after Holm)"


def _cell(figure: dict[str, Any] | None, show: Any) -> Cell:
    if figure is None:
        return EMPTY
    low, high = figure.get("low"), figure.get("high")
    known = all(isinstance(end, int | float) and math.isfinite(end) for end in (low, high))
    return Cell(show(figure["value"]), float(figure["value"]), f"[{show(low)}, {show(high)}]" if known else "")
