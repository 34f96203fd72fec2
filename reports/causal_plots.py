"""Plots of the causal sweep: what adding and removing drift, its parts and the controls do."""

from __future__ import annotations

from typing import Any

from reports.escape import visible
from reports.geometry_axes import WIDTH, above, side_by_side
from reports.svg import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawn, fixed, style

RATES = (("asr", "attack success", ORANGE, "o", "-"), ("over_refusal", "benign refused", BLUE, "s", "-"),
         ("incoherent", "garbled", GREY, "^", (0, (4, 2))))  # fmt: skip
LOOKS: dict[str, tuple[str, str, Any]] = {
    "drift_benign": (GREEN, "^", "-"),
    "along_benign": (GREEN, "v", (0, (4, 2))),
    "orthogonal_benign": (PURPLE, "d", (0, (4, 2))),
    "drift_balanced": (ORANGE, "o", "-"),
    "orthogonal_balanced": (PURPLE, "D", "-"),
    "refusal": (BLUE, "s", "-"),
}
PLAIN = (GREY, "x", (0, (1, 1.5)))
"""The look of random directions."""
MUCH = 0.05
PLACES = {"media": "with media", "text": "asked in text"}


def causal_plots(found: dict[str, Any]) -> list[Drawn]:
    causal = found["causal"]
    if not causal["points"]:
        return []
    made = [_effects(causal), _sweep(causal, "media"), _sweep(causal, "text"), _trade(causal), _downstream(causal)]
    return [drawn for drawn in made if drawn is not None]


def _effects(causal: dict[str, Any]) -> Drawn:
    directions = causal["directions"]
    cells = {(c["direction"], c["strength"], c["group"], c["metric"]): c for c in causal["contrasts"]}
    with style():
        figure, spaces = side_by_side(2, 0.9 + 0.42 * len(directions))
        for axes, (strength, group, title) in zip(
            spaces, ((1.0, "media", "removing it, with media"), (-1.0, "text", "adding it, asked in text")), strict=True
        ):
            for row, direction in enumerate(directions):
                for shift, (metric, label, colour, marker, _) in zip((-0.22, 0.0, 0.22), RATES, strict=True):
                    cell = cells.get((direction["name"], strength, group, metric))
                    if cell is None or cell["value"] is None:
                        continue
                    ends = [0.0 if cell[e] is None else 100 * abs(cell["value"] - cell[e]) for e in ("low", "high")]
                    axes.errorbar(
                        100 * cell["value"], row + shift, xerr=[[ends[0]], [ends[1]]], color=colour, marker=marker,
                        markersize=4.5, elinewidth=1.1, capsize=1.5, linestyle="none",
                        label=label if row == 0 else None,
                    )  # fmt: skip
                if row % 2:
                    axes.axhspan(row - 0.5, row + 0.5, color=GREY, alpha=0.08, linewidth=0)
            axes.axvline(0, color=GREY, linewidth=0.9)
            axes.set(title=title, xlabel="change in points", xlim=(-108, 108), ylim=(len(directions) - 0.5, -0.5))
            axes.set_yticks(range(len(directions)), [visible(d["label"]) for d in directions])
        spaces[1].set_yticklabels([])
        above(figure, spaces[0])
    reading = (
        "Each direction taken off once (strength 1) with media, and added once (strength −1) to text: the change from "
        "the undefended model, with paired 95 % intervals. A drift that matters lowers attack success on the left and "
        "raises it on the right, without refusals of benign requests and without garbling; the random directions show "
        "what any push as long does. A change whose bar crosses the line is none that could be detected."
    )
    return Drawn("effects", "What removing and adding each direction does", reading, fixed(figure))


def _sweep(causal: dict[str, Any], group: str) -> Drawn | None:
    from matplotlib.figure import Figure

    start = causal["baseline"]["groups"].get(group)
    if start is None:
        return None
    directions = causal["directions"]
    columns = 3
    lines = -(-len(directions) // columns)
    with style():
        figure = Figure(figsize=(WIDTH, 0.5 + 1.9 * lines), layout="constrained")
        spaces = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
        for axes, direction in zip(spaces, directions, strict=False):
            rows = [(0.0, start), *((p["strength"], p["groups"][group]) for p in _of(causal, direction["name"]))]
            rows.sort(key=lambda row: row[0])
            for metric, label, colour, marker, dashes in RATES:
                cells = [(x, row["rates"][metric]) for x, row in rows if row["rates"][metric]["value"] is not None]
                xs = [x for x, _ in cells]
                axes.plot(
                    xs, [100 * c["value"] for _, c in cells], color=colour, marker=marker, markersize=3,
                    linestyle=dashes, linewidth=1.4, label=label,
                )  # fmt: skip
                ends = [[100 * (c["value"] if c[e] is None else c[e]) for _, c in cells] for e in ("low", "high")]
                axes.fill_between(xs, *ends, color=colour, alpha=0.15, linewidth=0)
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_title(visible(direction["label"]), fontsize=9)
            axes.set_ylim(-4, 104)
        for axes in spaces[len(directions) :]:
            axes.set_visible(False)
        figure.supxlabel("strength: times the direction that is taken off (negative: added)", fontsize=10)
        figure.supylabel(f"prompts {PLACES[group]} (%)", fontsize=10)
        above(figure, spaces[0])
    reading = (
        f"Prompts {PLACES[group]} over the strength of the edit, with Wilson 95 % intervals. At 0 nothing is edited. "
        "Attack success that falls while benign refusals rise is refusal steering; attack success that falls while "
        "garbled answers rise is a broken model, not a safe one."
    )
    return Drawn(f"sweep-{group}", f"Causal sweep, {PLACES[group]}", reading, fixed(figure))


def _trade(causal: dict[str, Any]) -> Drawn | None:
    from matplotlib.figure import Figure

    start = causal["baseline"]["groups"].get("media")
    if start is None or start["rates"]["asr"]["value"] is None:
        return None
    with style():
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for direction in causal["directions"]:
            rows = sorted((p for p in _of(causal, direction["name"]) if p["strength"] > 0), key=lambda p: p["strength"])
            groups = [start, *(p["groups"]["media"] for p in rows)]
            colour, marker, dashes = LOOKS.get(direction["name"], PLAIN)
            axes.plot(
                [100 * _lost(g) for g in groups], [100 * g["rates"]["asr"]["value"] for g in groups], color=colour,
                marker=marker, linestyle=dashes, markersize=5, linewidth=1.4, alpha=0.9,
                label=visible(direction["label"]),
            )  # fmt: skip
            for g in groups:
                if _garbled(g) - _garbled(start) > MUCH:
                    axes.plot(100 * _lost(g), 100 * g["rates"]["asr"]["value"], marker=marker, color=colour,
                              markerfacecolor="white", markersize=5)  # fmt: skip
        first = 100 * _lost(start), 100 * start["rates"]["asr"]["value"]
        axes.plot([first[0], 100], [first[1], 0], color=GREY, linewidth=0.9, linestyle=(0, (5, 4)))
        axes.annotate("refusing at random", (55, first[1] * 0.47), color=GREY, fontsize=8)
        axes.set(xlabel="benign media requests lost: refused or garbled (%)", ylabel="attack success with media (%)",
                 xlim=(-3, 103), ylim=(-3, 103))  # fmt: skip
        figure.legend(loc="outside right upper", fontsize=8)
    reading = (
        "Attack success against benign requests lost, as each direction is taken off more and more strongly (from the "
        "undefended model at the upper left). Lower left is better. Directions whose lines lie on one another are the "
        "same defense by other names; a line along the dashed one is no better than refusing at random. Hollow marks: "
        "more than 5 points of all answers are garbled, so that fewer attacks succeed because the model is broken."
    )
    return Drawn("trade", "What a lower attack success costs", reading, fixed(figure))


def _downstream(causal: dict[str, Any]) -> Drawn | None:
    later, start = causal["later"], causal["baseline"]["groups"].get("media")
    if not later or start is None:
        return None
    with style():
        figure, (left, right) = side_by_side(2, 3.6)
        for direction in causal["directions"]:
            rows = [(0.0, start), *((p["strength"], p["groups"]["media"]) for p in _of(causal, direction["name"]))]
            rows.sort(key=lambda row: row[0])
            colour, marker, dashes = LOOKS.get(direction["name"], PLAIN)
            looks: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 3.5}
            xs = [x for x, _ in rows]
            label = visible(direction["label"])
            left.plot(xs, [_mean(g["coordinate"]["harmful"], later) for _, g in rows], label=label, **looks)
            right.plot(xs, [_mean(g["dprime"], later) for _, g in rows], **looks)
        for axes in (left, right):
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_xlabel("strength")
        left.set_ylabel("refusal coordinate of harmful media")
        right.set_ylabel("d′ with media")
        above(figure, left, 3)
    reading = (
        f"What the edit does further on, in the later layers {', '.join(map(str, later))} that it does not touch: the "
        "mean refusal coordinate of harmful media requests (1/2 is harmful and −1/2 benign text), and how well harmful "
        "and benign still separate. Restored safety would show as a d′ that rises with the strength."
    )
    return Drawn("downstream", "Later layers under the edit", reading, fixed(figure))


def _of(causal: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [p for p in causal["points"] if p["direction"] == name]


def _lost(group: dict[str, Any]) -> float:
    values = [group["rates"][name]["value"] for name in ("over_refusal", "incoherent_benign")]
    return sum(v for v in values if v is not None)


def _garbled(group: dict[str, Any]) -> float:
    return group["rates"]["incoherent"]["value"] or 0.0


def _mean(values: list[float | None], places: list[int]) -> float:
    known = [v for v in (values[i] for i in places) if v is not None]
    return sum(known) / len(known) if known else float("nan")
