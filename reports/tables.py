"""The main table of a run, for a notebook (numbers) and for a paper (Markdown, LaTeX, CSV).

One row for each model and defense; never attack success alone (design rule 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.contracts import PluginError
from harness.metrics import OWN, compute
from harness.runstore import Run
from reports.comparison import compare
from reports.formats import Column, csv, latex, markdown
from reports.notes import SIZES, caption, legend

if TYPE_CHECKING:
    import pandas

__all__ = ["compare", "main_table", "render"]

Figure = dict[str, Any]

RATES = (
    ("asr_media", "asr", "media"),
    ("asr_text", "asr", "modality:text"),
    ("modality_gap", "modality_gap", None),
    ("asr", "asr", None),
    ("over_refusal", "over_refusal", None),
    ("accuracy", "accuracy", None),
    ("incoherent_rate", "incoherent_rate", None),
)
"""Column, metric and variant of what has an interval."""

CHANGES = (
    ("asr_media_change", "asr_change", "media"),
    ("asr_text_change", "asr_change", "modality:text"),
    ("asr_change", "asr_change", None),
    ("over_refusal_change", "over_refusal_change", None),
    ("accuracy_change", "accuracy_change", None),
)
COSTS = ("cost_ratio", "seconds_per_sample", "target_calls", "prompt_tokens", "generated_tokens")

PAPER = (
    Column("Defense", "defense"),
    Column("ASR media", "asr_media", "percent", change="asr_media_change"),
    Column("ASR text", "asr_text", "percent", change="asr_text_change"),
    Column("Gap", "modality_gap", "percent"),
    Column("Over-refusal", "over_refusal", "percent", change="over_refusal_change"),
    Column("Accuracy", "accuracy", "percent", change="accuracy_change"),
    Column("Δ accuracy", "accuracy_change", "points"),
    Column("Incoherent", "incoherent_rate", "percent"),
    Column("Unscored", "unscored", "count"),
    Column("Time ×", "cost_ratio", "number"),
    Column("Calls", "target_calls", "number"),
    Column("Tokens", "generated_tokens", "number"),
)


def main_table(run: Run, judge: str | None = None) -> pandas.DataFrame:
    """Rates in [0, 1] with `_low` and `_high` (95 %), paired changes against `none` with `_p_holm`, costs, and `note`.

    `judge` is a safety judge, by default the first of the run; a metric that it never judged (accuracy) is each
    task's own judge's, named in `attrs["judges"]`. An arm that does not apply to a model has a row with the
    reason in `note`. Raises `PluginError` for a judge that the run does not have, and for a run without cells.
    """
    import pandas

    manifest, figures = run.manifest, run.results or compute(run)
    judges = _judges(figures, judge)
    index = {(f["model"], f["defense"], f["task"], f["variant"], f["judge"], f["metric"]): f for f in figures}
    own = {(f["model"], f["defense"], f["task"]): f["judge"] for f in figures if f["metric"] == "accuracy"}
    arms: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in manifest.get("cells", []):
        arms.setdefault((cell["model"], cell["defense"]), []).append(cell)
    if not arms:
        raise PluginError(f"{run.path} has no cells yet: finish the run first")
    rows = []
    for (model, defense), cells in arms.items():

        def find(
            metric: str, variant: str | None, task: str | None = None, arm: Any = (model, defense)
        ) -> Figure | None:
            judge = own.get((*arm, task), "") if task and metric == "accuracy" else judges.get(metric, "")
            return index.get((*arm, task, variant, judge, metric))

        rows.append(
            {"model": model, "defense": defense} | _numbers(find, manifest) | _remarks(manifest, defense, cells)
        )
    table = pandas.DataFrame(rows)
    table.attrs = {"judges": {metric: judges[metric] for _, metric in SIZES if metric in judges}, "run": str(run.path)}
    return table


def render(run: Run, format: str = "markdown", judge: str | None = None) -> str:
    """The main table as text: per cent with 95 % intervals, notes below; `csv` holds the numbers of `main_table`.

    `latex` needs the packages booktabs, graphicx and textcomp, and T1 fonts. Raises `PluginError` for another format.
    """
    writers = {"markdown": markdown, "latex": latex, "csv": csv}
    if format not in writers:
        raise PluginError(f"a table has no format {format!r}: choose {', '.join(writers)}")
    table = main_table(run, judge)
    return writers[format](table, PAPER, caption(table), legend(table, PAPER))


def _judges(figures: list[Figure], judge: str | None) -> dict[str, str]:
    """The judge of each metric: one for a whole column, so that no two rows are compared across judges."""
    known: dict[str, list[str]] = {}
    for figure in figures:
        by = known.setdefault(figure["metric"], [])
        if figure["judge"] not in by:
            by.append(figure["judge"])
    safety = list(dict.fromkeys([*known.get("asr", []), *known.get("over_refusal", [])]))
    if judge is not None and judge not in safety:
        raise PluginError(f"no safety judge {judge!r} in this run: choose one of {', '.join(safety) or '(none)'}")
    first = judge or next(iter(safety), None)
    return {metric: first if first in by else OWN if OWN in by else by[0] for metric, by in known.items()}


def _numbers(find: Any, manifest: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column, metric, variant in RATES:
        row |= _with_interval(column, find(metric, variant))
    for task, about in manifest.get("tasks", {}).items():
        metric = {"harmful": "asr", "benign": "over_refusal", "utility": "accuracy"}[about["kind"]]
        row |= _with_interval(f"{metric}[{task}]", find(metric, None, task))
    for column, metric, variant in CHANGES:
        figure = find(metric, variant)
        row |= _with_interval(column, figure) | {f"{column}_p_holm": (figure or {}).get("p_holm")}
    for column, metric in SIZES:
        figure = find(metric, None) or {"n": 0, "unscored": 0}
        row[column] = figure["n"] + figure["unscored"]
    unscored = [find(metric, None) for _, metric in SIZES]
    row["unscored"] = sum(figure["unscored"] for figure in unscored if figure)
    return row | {metric: (find(metric, None) or {}).get("value") for metric in COSTS}


def _with_interval(column: str, figure: Figure | None) -> dict[str, Any]:
    found = figure or {}
    return {column: found.get("value"), f"{column}_low": found.get("low"), f"{column}_high": found.get("high")}


def _remarks(manifest: dict[str, Any], defense: str, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Fidelity, leakage (of the tasks that a fitted arm answered), and why cells are missing."""
    absent = [cell for cell in cells if cell["status"] != "complete"]
    whole = len(absent) == len(cells) and len({cell["reason"] for cell in absent}) == 1
    reasons = [f"{cell['status'].replace('_', ' ')}, {cell['reason']}" for cell in absent]
    if not whole:
        reasons = [f"{reason} ({cell['task']})" for reason, cell in zip(reasons, absent, strict=True)]
    answered = [cell["task"] for cell in cells if cell["status"] != "not_applicable"]
    about = manifest.get("defenses", {}).get(defense, {})
    fitted = about.get("fit_seconds") is not None
    leaks = [f"{t}, {leak}" for t in answered if fitted and (leak := manifest["tasks"].get(t, {}).get("leakage"))]
    return {
        "fidelity": (about.get("fidelity") or {}).get("level"),
        "leakage": "; ".join(leaks),
        "applicable": bool(answered),
        "note": "; ".join(dict.fromkeys(reasons)),
    }
