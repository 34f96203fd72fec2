"""Plots of drift against separability against what the model answers, and of self-rectification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.escape import visible
from reports.geometry_axes import above, compressed, look, side_by_side
from reports.svg import BLUE, GREY, ORANGE, Drawn, fixed, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK, LIGHT = "#111111", "#ffffff"
"""Ink on coloured cells, whatever the page's colours are."""
KINDS = (("benign", BLUE, "o"), ("harmful", ORANGE, "s"))


def behaviour_plots(found: dict[str, Any]) -> list[Drawn]:
    made = (_cosines, _scatter, _thirds, _rectification)
    return [d for d in (draw(found) for draw in made) if d is not None]


def _cosines(found: dict[str, Any]) -> Drawn | None:
    static = found["static"]
    layers = static["layers"]
    matrix = layers[static["layer"]].get("refusal_cosines") or {}
    names = [n for n in matrix if n != "media"]
    if len(names) < 2:
        return None
    from matplotlib.ticker import MaxNLocator

    with style():
        figure, (left, right) = side_by_side(2, 3.6)
        values = [[matrix[a][b] for b in names] for a in names]
        left.pcolormesh(values, cmap="cividis", vmin=-1, vmax=1, edgecolors="white", linewidth=1)
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                ink = DARK if value > 0.2 else LIGHT
                left.text(x + 0.5, y + 0.5, f"{value:.2f}", ha="center", va="center", color=ink)
        ticks = [i + 0.5 for i in range(len(names))]
        shown = [visible(n) for n in names]
        left.set_xticks(ticks, shown, rotation=35, ha="right", fontsize=8)
        left.set_yticks(ticks, shown, fontsize=8)
        left.invert_yaxis()
        left.set_title(f"layer {static['layer']}")
        left.set_aspect("equal")
        for place, name in enumerate(n for n in names if n != "text"):
            cosines = [row["refusal_cosines"].get("text", {}).get(name) for row in layers]
            right.plot(_x(layers), _known(cosines), label=visible(name), **look(place))
        halves = [row["refusal_reliability"].get("text", {}).get("text") for row in layers]
        right.plot(_x(layers), _known(halves), color=GREY, linestyle=(0, (4, 3)), label="text, other half")
        right.axhline(0, color=GREY, linewidth=0.8)
        right.set(xlabel="layer", ylabel="cosine with the direction of text")
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        above(figure, right)
    reading = (
        "Cosines between the refusal directions (harmful less benign) that the modalities form themselves, all of the "
        "training half. The dashed line is text against text of the other half: how well such a direction is "
        "determined at all by this many prompts."
    )
    return Drawn("cosines", "Refusal directions across modalities", reading, fixed(figure))


def _scatter(found: dict[str, Any]) -> Drawn | None:
    points = found["behaviour"].get("points") or []
    if not points:
        return None
    with style():
        figure, spaces = side_by_side(2, 3.4)
        for axes, text in zip(spaces, (True, False), strict=True):
            for kind, colour, marker in KINDS:
                for outcomes, filled in ((("answered",), True), (("refused",), False)):
                    rows = [p for p in points if p[1] == kind and (p[0] == "text") == text and p[4] in outcomes]
                    axes.scatter(
                        [p[2] for p in rows], [p[3] for p in rows], s=16, marker=marker, linewidths=0.9,
                        edgecolors=colour, facecolors=colour if filled else "none", alpha=0.8,
                        label=f"{kind}, {outcomes[0]}",
                    )  # fmt: skip
            garbled = [p for p in points if (p[0] == "text") == text and p[4] in ("incoherent", "unscored")]
            if garbled:
                axes.scatter([p[2] for p in garbled], [p[3] for p in garbled], s=18, marker="x", color=GREY,
                             label="garbled or failed")  # fmt: skip
            axes.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
            axes.set(title="asked in text" if text else "with media", xlabel="drift (0: text, 1: media on average)")
        low = min(axes.get_ylim()[0] for axes in spaces)
        high = max(axes.get_ylim()[1] for axes in spaces)
        for axes in spaces:
            axes.set_ylim(low, high)
        spaces[0].set_ylabel("refusal coordinate")
        spaces[1].legend(fontsize=8)
    reading = (
        f"Each prompt by how far it drifted and where it lies along the refusal direction (layer "
        f"{found['behaviour']['layer']}; 0 is half way between benign and harmful text). Filled marks were answered, "
        "hollow ones refused: filled squares are successful attacks. The two axes are orthogonal in the state space."
    )
    return Drawn("scatter", "Drift, refusal coordinate and answer of every prompt", reading, fixed(figure))


def _thirds(found: dict[str, Any]) -> Drawn | None:
    rows = found["behaviour"].get("bins") or []
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    if not rows:
        return None
    with style():
        figure, (left, middle, right) = side_by_side(3, 3.2)
        for place, variant in enumerate(variants):
            mine = [row for row in rows if row["variant"] == variant]
            xs = [row["drift"] for row in mine]
            _with_bars(left, xs, [row["separability"]["dprime"] for row in mine], place, visible(variant))
            _with_bars(middle, xs, [row["separability"]["auroc"] for row in mine], place)
            _with_bars(right, xs, [_percent(row["rates"]["asr"]) for row in mine], place)
        middle.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
        left.set(ylabel="d′", xlabel="drift")
        middle.set(ylabel="AUROC", xlabel="drift")
        right.set(ylabel="attack success (%)", xlabel="drift", ylim=(-4, 104))
        compressed(left)
        above(figure, left)
    reading = (
        "Every variant in three thirds by drift, from the least to the most, with 95 % intervals: how well the refusal "
        "direction separates harmful from benign there, and how many attacks succeed. The paper's claim is a fall from "
        "left to right in the first two panels and a rise in the third."
    )
    return Drawn("thirds", "Separability and attack success by drift", reading, fixed(figure))


def _rectification(found: dict[str, Any]) -> Drawn | None:
    parts = found["rectification"]["corrections"]
    drift = [row for row in parts.get("drift", {}).get("by_layer", []) if "media" in row]
    noise = [row for row in parts.get("random", {}).get("by_layer", []) if "media" in row]
    if not drift:
        return None
    from matplotlib.ticker import MaxNLocator

    with style():
        figure, (left, right) = side_by_side(2, 3.6)
        for kind, colour, marker in KINDS:
            cells = [row["media"][kind] for row in drift]
            means, sds = [c["mean"] for c in cells], [c["sd"] for c in cells]
            left.errorbar(
                _x(drift),
                means,
                yerr=sds,
                color=colour,
                marker=marker,
                markersize=4,
                capsize=2,
                label=kind,
            )
            control = [row["media"][kind]["mean"] for row in noise]
            left.plot(_x(noise), control, color=colour, linestyle=(0, (1, 1.5)), label=f"{kind}, random push")
        for place, (key, words) in enumerate(
            (
                ("auroc_change", "the change"),
                ("auroc_before", "coordinate before"),
                ("auroc_after", "coordinate after"),
            )
        ):
            right.plot(_x(drift), [row["media"][key] for row in drift], label=words, **look(place))
        control = [row["media"]["auroc_change"] for row in noise]
        right.plot(_x(noise), control, color=BLUE, linestyle=(0, (1, 1.5)), label="the change, random push")
        left.axhline(0, color=GREY, linewidth=0.8)
        right.axhline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 4)))
        left.set(xlabel="layer", ylabel="change of the refusal coordinate")
        right.set(xlabel="layer", ylabel="AUROC, harmful over benign")
        right.set_ylim(min(0.0, right.get_ylim()[0]), 1.03)
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8)
    reading = (
        f"Media prompts after orthogonalised balanced drift was taken off at layers "
        f"{_span(found['rectification']['layers'])} (bars: one standard deviation). Nothing can change at the first of "
        "them; later changes are the model's own. Self-rectification would lift harmful prompts more than benign ones, "
        "with an AUROC of the change well above 0.5 and above that of a random push as long."
    )
    return Drawn("rectification", "Self-rectification by layer", reading, fixed(figure))


def _with_bars(axes: Axes, xs: list[float], cells: list[dict[str, Any]], place: int, label: str | None = None) -> None:
    kept = [(x, c) for x, c in zip(xs, cells, strict=True) if c["value"] is not None]
    if not kept:
        return
    below = [c["value"] - (c["value"] if c["low"] is None else min(c["low"], c["value"])) for _, c in kept]
    above = [(c["value"] if c["high"] is None else max(c["high"], c["value"])) - c["value"] for _, c in kept]
    axes.errorbar([x for x, _ in kept], [c["value"] for _, c in kept], yerr=[below, above], label=label, capsize=2,
                  elinewidth=0.8, **look(place))  # fmt: skip


def _percent(cell: dict[str, Any]) -> dict[str, Any]:
    return {name: None if cell[name] is None else 100 * cell[name] for name in ("value", "low", "high")}


def _x(rows: list[dict[str, Any]]) -> list[int]:
    return [row["layer"] for row in rows]


def _known(values: list[float | None]) -> list[float]:
    return [float("nan") if v is None else v for v in values]


def _span(layers: list[int]) -> str:
    return f"{layers[0]} to {layers[-1]}" if len(layers) > 1 else str(layers[0])
