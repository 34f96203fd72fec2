"""What the geometry plots share: panels side by side, lines over layers, and reading numbers that may be absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.escape import visible
from reports.svg import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawn, fixed, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = tuple[str, list[float | None]]
Panel = tuple[str, list[Line], float | None]
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D")
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))
LARGE = 8
"""A d′ beyond which the axis is compressed."""
MOST = 8
"""Lines that one panel can hold."""
WIDTH = 7.2
"""Inches: the text width of a paper in one column."""


def look(place: int) -> dict[str, Any]:
    """Colour, marker and dashes of the line with this number: twelve that differ, also without colour."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
        "markersize": 3.5,
        "linewidth": 1.5,
    }


def by_layer(data: dict[str, Any], wanted: list[Panel], name: str, title: str, reading: str) -> Drawn | None:
    """Lines over layers, one panel a quantity; None when there is nothing to draw."""
    shown = [(label, [line for line in lines if _known(line)], level) for label, lines, level in wanted]
    shown = [panel for panel in shown if panel[1]]
    if not shown:
        return None
    from matplotlib.ticker import MaxNLocator

    layers = [row.get("layer", i) for i, row in enumerate(rows_of(data))]
    with style():
        figure, spaces = side_by_side(len(shown))
        for axes, (label, lines, level) in zip(spaces, shown, strict=True):
            for place, (what, values) in enumerate(lines):
                numbers = [float("nan") if v is None else v for v in values]
                axes.plot(layers, numbers, label=visible(what), **look(place))
            if level is not None:
                axes.axhline(level, color=GREY, linewidth=0.9, linestyle=(0, (4, 4)))
            axes.set(xlabel="layer", ylabel=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if label == "d′":
                compressed(axes)
        above(figure, spaces[0])
    return Drawn(name, title, reading, fixed(figure))


def side_by_side(n: int, height: float = 3.0) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, [figure.add_subplot(1, n, i + 1) for i in range(n)]


def above(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """The legend of `axes` above all panels, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(columns, len(labels)), fontsize=8.5)


def compressed(axes: Axes) -> None:
    """Large values drawn closer together, where one group would press all others onto the axis."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    low, high = axes.get_ylim()
    if max(high, -low) <= LARGE:
        return
    axes.set_yscale("symlog", linthresh=2)
    ticks = (-50, -20, -10, -5, -2, 0, 1, 2, 5, 10, 20, 50, 100)
    axes.yaxis.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(ScalarFormatter())


def rows_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in data.get("layers") or [] if isinstance(row, dict)]


def series(data: dict[str, Any], *path: str) -> list[float | None]:
    """One number a layer, None where the measurement lacks it."""
    found: list[float | None] = []
    for row in rows_of(data):
        value: Any = row
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        found.append(float(value) if isinstance(value, int | float) else None)
    return found


def _known(line: Line) -> bool:
    return any(value is not None for value in line[1])
