"""The page and figures of `gapbench geometry`: one self-contained file, from geometry.json alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from harness.contracts import PluginError
from harness.runstore import write_bytes, write_text
from reports.causal_plots import causal_plots
from reports.geometry_behaviour import behaviour_plots
from reports.geometry_plots import static_plots
from reports.headline import CAUTION
from reports.html import STYLES, TEMPLATES, environment
from reports.svg import Drawn, inlined, style, to_png, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECTIONS = (
    ("separation", "Separation", ("projections", "separability", "readable")),
    ("drift", "Drift", ("drift", "drift-by-variant", "by-drift")),
    ("directions", "Refusal directions and dissolution", ("cosines", "own-refusal", "dissolution")),
    ("association", "Drift, separability and attack success", ("scatter", "thirds")),
    ("causal", "Causal sweep", ("effects", "sweep-media", "sweep-text", "trade", "downstream")),
    ("rectification", "Self-rectification", ("rectification",)),
)
GROUPS = (
    ("The gap, seen from outside and inside", ("gap", "separability", "drift", "dissolution")),
    ("Drift, separability and attack success", ("correlation",)),
    ("Removing a direction, with media", ("removing", "budget")),
    ("Adding a direction, asked in text", ("adding",)),
    ("Self-rectification", ("self-rectification",)),
)
QUANTITIES = {"drift": "drift", "dprime": "d′", "auroc": "AUROC", "asr": "attack success"}


def write_geometry(folder: Path | str) -> Path:
    """Write `index.html` and `figures/*.{svg,png,pdf}` beside the `geometry.json` of `folder`; say where the page is.

    Raises `PluginError` for a folder that holds no geometry.
    """
    folder = Path(folder)
    try:
        found = json.loads((folder / "geometry.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PluginError(f"{folder} holds no geometry.json to show: run gapbench geometry --out {folder}") from error
    page = folder / "index.html"
    write_text(page, render(found, folder / "figures"))
    return page


def render(found: dict[str, Any], figures: Path) -> str:
    """The page as a string; its figures are also written to the folder `figures`."""
    drawn = {d.name: d for d in (*static_plots(found["static"]), *behaviour_plots(found), *causal_plots(found))}
    shown = {name: (d.title, d.reading, _saved(d, figures)) for name, d in drawn.items()}
    return (
        environment()
        .get_template("geometry_page.html")
        .render(
            found=found,
            style=Markup("\n".join((TEMPLATES / name).read_text("utf-8") for name in STYLES)),
            caution=CAUTION if found["model"] == "organism" else "",
            sections=[(i, title, [shown[n] for n in names if n in shown]) for i, title, names in SECTIONS],
            effects=_effects(found["causal"]),
            findings=[
                (title, [row for row in found["findings"] if row["about"] in abouts]) for title, abouts in GROUPS
            ],
            correlations=[_correlation(row) for row in found["correlation"]],
            layers=", ".join(map(str, found["causal"]["layers"])),
            sources=found["static"]["sources"],
        )
    )


def to_pdf(figure: Figure) -> bytes:
    """For papers: vector, fonts embedded as TrueType, no date, so that the same numbers give the same file."""
    import matplotlib

    buffer = io.BytesIO()
    with style(), matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


def _saved(drawn: Drawn, folder: Path) -> Markup:
    svg = to_svg(drawn.figure)
    write_text(folder / f"{drawn.name}.svg", svg)
    write_bytes(folder / f"{drawn.name}.png", to_png(drawn.figure))
    write_bytes(folder / f"{drawn.name}.pdf", to_pdf(drawn.figure))
    return Markup(inlined(svg, f"g-{drawn.name}", drawn.title, drawn.reading))


def _effects(causal: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a direction: taken off once with media, added once to text, and at the best strength that costs little.

    Each cell is a value and what stands small below it.
    """
    cells = {(c["direction"], c["strength"], c["group"], c["metric"]): c for c in causal["contrasts"]}
    best = {row["direction"]: row for row in causal["at_budget"]}
    rows = []
    for direction in causal["directions"]:
        name = direction["name"]
        columns = [
            _change(cells.get((name, strength, group, metric)))
            for strength, group in ((1.0, "media"), (-1.0, "text"))
            for metric in ("asr", "over_refusal", "incoherent")
        ]
        rows.append({"label": direction["label"], "cells": [*columns, _best(best.get(name))]})
    return rows


def _change(cell: dict[str, Any] | None) -> tuple[str, str]:
    if cell is None or cell["value"] is None:
        return "–", "not measured"
    before, after = cell["rates"]
    if cell["discordant"] == [0, 0]:
        return f"{100 * after:.0f} %", "unchanged"
    interval = "" if cell["low"] is None else f" ({_signed(cell['low'])} to {_signed(cell['high'])})"
    return f"{100 * before:.0f} → {100 * after:.0f} %", f"{_signed(cell['value'])}{interval}, {_p(cell['p_holm'])}"


def _best(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None or row["rates"]["asr"]["value"] is None:
        return "–", "not measured"
    strength = f"strength {row['strength']:g}" if row["strength"] else "no strength helps"
    return f"{100 * row['rates']['asr']['value']:.0f} %", f"{strength}, {100 * row['lost']:.0f} % lost"


def _correlation(row: dict[str, Any]) -> dict[str, Any]:
    rho = "none" if row["rho"] is None else f"{row['rho']:+.2f}".replace("-", "−")
    about = f"{QUANTITIES[row['x']]} and {QUANTITIES[row['y']]}"
    return {
        "points": row["points"],
        "about": about,
        "rho": rho,
        "p": _p(row["p"]).removeprefix("p\u00a0=\u00a0"),
        "n": row["n"],
    }


def _signed(value: float) -> str:
    number = round(100 * value)
    return f"{number:+d}".replace("-", "−") if number else "0"


def _p(value: float | None) -> str:
    text = "p unknown" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
    return text.replace(" ", "\u00a0")
