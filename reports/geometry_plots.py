"""Plots of what happens inside a model, from what `harness.geometry` measured (JSON; absent parts are left out)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.escape import visible
from reports.lookup import Group
from reports.svg import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawn, fixed, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = tuple[str, list[float | None]]
Panel = tuple[str, list[Line], float | None]
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D")


def plots(group: Group) -> list[Drawn]:
    """The plots for which the run has data; a model without activations has none."""
    data = group.run.geometry.get(group.model)
    if not isinstance(data, dict):
        return []
    drawn = (draw(data) for draw in (_histogram, _separability, _readable, _own, _drift, _by_drift))
    return [d for d in drawn if d is not None]


def _histogram(data: dict[str, Any]) -> Drawn | None:
    found = data.get("histogram") or {}
    edges, counts = found.get("edges") or [], found.get("counts") or {}
    names = [n for n in ("text", "media") if {f"{n} harmful", f"{n} benign"} <= set(counts)]
    if len(edges) < 2 or not names:
        return None
    with style():
        figure, panels = _panels(len(names))
        for axes, name in zip(panels, names, strict=True):
            for kind, colour, hatch in (("benign", BLUE, ""), ("harmful", ORANGE, "///")):
                values = counts[f"{name} {kind}"]
                axes.stairs(values, edges, fill=True, alpha=0.35, color=colour, hatch=hatch, label=kind)
                axes.stairs(values, edges, color=colour, linewidth=1.4)
            axes.set(title=f"asked in {name}", xlabel="coordinate along the refusal direction")
        panels[0].set_ylabel("prompts")
        panels[0].legend()
    reading = (
        f"Layer {found.get('layer')}: how far each prompt lies along the direction that separates harmful from "
        "harmless text. Where the two heaps stand apart the model can tell them apart and refuse; where they run into "
        "one another it cannot."
    )
    return Drawn("projections", "Harmful and harmless prompts along the refusal direction", reading, fixed(figure))


def _separability(data: dict[str, Any]) -> Drawn | None:
    names = data.get("variants") or ["text", "media"]
    separation = {key: [(n, _series(data, "along_refusal", n, key)) for n in names[:4]] for key in ("dprime", "auroc")}
    reading = (
        "How well the refusal direction separates harmful from harmless prompts in each layer: d′ counts the distance "
        "in standard deviations, AUROC is the chance that a harmful prompt lies further along (0.5 is a coin). A curve "
        "for media below that for text is the safety gap, seen from inside."
    )
    panels: list[Panel] = [("d′", separation["dprime"], None), ("AUROC", separation["auroc"], 0.5)]
    return _by_layer(data, panels, "separability", "Separability by layer", reading)


def _readable(data: dict[str, Any]) -> Drawn | None:
    lines: list[Line] = [
        ("text, probe", _series(data, "probe_auroc", "text")),
        ("media, probe", _series(data, "probe_auroc", "media")),
        ("media, refusal direction", _series(data, "along_refusal", "media", "auroc")),
    ]
    reading = (
        "AUROC of a linear probe trained on the same kind of input, beside that of the refusal direction. Where the "
        "probe on media is high and the refusal direction low, harm is still written in the states, but not along the "
        "direction that makes the model refuse."
    )
    return _by_layer(data, [("AUROC", lines, 0.5)], "readable", "Is harm still readable?", reading)


def _own(data: dict[str, Any]) -> Drawn | None:
    names = [n for n in data.get("variants") or ["media"] if n != "text"][:4]
    panels: list[Panel] = [
        ("length relative to text", [(n, _series(data, "own_refusal", n, "relative_norm")) for n in names], 1.0),
        ("cosine with that of text", [(n, _series(data, "own_refusal", n, "cos_text")) for n in names], 0.0),
    ]
    reading = (
        "The refusal direction as media prompts themselves form it, against that of text. A length far below 1 in the "
        "middle layers means that the distinction dissolves there; a cosine near 0 means that it points elsewhere."
    )
    return _by_layer(data, panels, "own-refusal", "The media's own refusal direction", reading)


def _drift(data: dict[str, Any]) -> Drawn | None:
    kinds = ("harmful", "benign", "balanced")
    panels: list[Panel] = [
        ("cos(refusal, drift)", [(k, _series(data, "drift", k, "cos_refusal")) for k in kinds], 0.0),
        ("drift relative to state size", [(k, _series(data, "drift", k, "relative")) for k in kinds], None),
    ]
    reading = (
        "Drift is the mean shift of a prompt's state when the same request is asked in media instead of text. A "
        "negative cosine means that the medium pushes states away from refusal; the second panel says how far it "
        "pushes at all."
    )
    return _by_layer(data, panels, "drift", "Modality drift by layer", reading)


def _by_drift(data: dict[str, Any]) -> Drawn | None:
    rows = [r for r in data.get("by_drift") or [] if r.get("dprime") is not None]
    if len(rows) < 2:
        return None
    with style():
        figure, (axes,) = _panels(1)
        places = list(range(len(rows)))
        axes.bar(places, [r["dprime"] for r in rows], width=0.55, color=BLUE, alpha=0.75)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_xticks(places, [f"third {r['bin'] + 1}\n{r['n']} prompts" for r in rows])
        axes.set(ylabel="d′ in media", xlabel="from the smallest to the largest drift")
    reading = (
        f"Media prompts in three parts by how far they drifted (layer {data.get('layer')}), and how well the refusal "
        "direction separates harmful from harmless in each. Bars that fall from left to right tie weaker separation to "
        "stronger drift."
    )
    return Drawn("by-drift", "Separability by size of drift", reading, fixed(figure))


def _by_layer(data: dict[str, Any], panels: list[Panel], name: str, title: str, reading: str) -> Drawn | None:
    """Lines over layers, one panel a quantity; None when there is nothing to draw."""
    shown = [(label, [line for line in lines if _known(line)], level) for label, lines, level in panels]
    shown = [panel for panel in shown if panel[1]]
    if not shown:
        return None
    from matplotlib.ticker import MaxNLocator

    layers = [row.get("layer", i) for i, row in enumerate(_rows(data))]
    with style():
        figure, spaces = _panels(len(shown))
        for axes, (label, lines, level) in zip(spaces, shown, strict=True):
            for (what, values), colour, marker in zip(lines, COLOURS, MARKERS, strict=False):
                numbers = [float("nan") if v is None else v for v in values]
                look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.5}
                axes.plot(layers, numbers, label=visible(what), **look)
            if level is not None:
                axes.axhline(level, color=GREY, linewidth=0.9, linestyle=(0, (4, 4)))
            axes.set(xlabel="layer", ylabel=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        spaces[0].legend(fontsize=9)
    return Drawn(name, title, reading, fixed(figure))


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    return figure, [figure.add_subplot(1, n, i + 1) for i in range(n)]


def _rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in data.get("layers") or [] if isinstance(row, dict)]


def _series(data: dict[str, Any], *path: str) -> list[float | None]:
    """One number a layer, None where the measurement lacks it."""
    found: list[float | None] = []
    for row in _rows(data):
        value: Any = row
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        found.append(float(value) if isinstance(value, int | float) else None)
    return found


def _known(line: Line) -> bool:
    return any(value is not None for value in line[1])
