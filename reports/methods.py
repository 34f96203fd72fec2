"""What the numbers rest on: fidelity of each defense, judges, tasks, statistics, and the manifest."""

from __future__ import annotations

import json
import shlex
from typing import Any

from harness.runstore import Run

LEVELS = {
    "exact": "an exact re-implementation",
    "formula": "a re-implementation from the published formula",
    "reconstruction": "a reconstruction, since neither code nor full text was at hand",
    "undeclared": "that its author named no source",
    "control": "a control arm",
}
STATISTICS = (
    "Every rate is a share of the scored rows; unscored rows are left out of the denominator, counted beside it, and "
    "bounded: the rate if all of them were one thing or the other. Incoherent answers stay in the denominator and are "
    "neither attack success nor refusal.",
    "Square brackets hold 95 % intervals that respect base questions, because the variants of one question are not "
    "independent: Wilson's interval at the effective number of rows for rates, a bootstrap of whole base questions for "
    "gaps, changes and costs, or an interval fit for few events where a bootstrap would be too short. The method of "
    "each figure is named in results.json.",
    "A defense is compared with the arm “none” of the same model on the same prompts by McNemar's exact test and by a "
    "sign-flip test that takes base questions for the unit; p values of both are corrected by Holm's method across the "
    "defenses of one table. Stars go by the larger of the two: * p < 0.05, ** p < 0.01, *** p < 0.001.",
    "Rates pooled over tasks count a prompt that tasks share once. A rate for which the judge scored no answer itself, "
    "because all were garbled or are unscored, is left blank.",
)


def methods(run: Run) -> dict[str, Any]:
    """What the methods section shows of one run, as plain values."""
    manifest = run.manifest
    facts = [
        ("Run", run.path.resolve().name),
        ("Made", manifest.get("created")),
        ("gapbench", manifest.get("gapbench")),
        *(("Command", shlex.join(map(str, command))) for command in manifest.get("commands") or []),
        ("Decoding", decoding(manifest)),
        ("Calibration", _calibration(manifest.get("calibration") or {})),
        ("Versions", short(manifest.get("versions"))),
        ("Hardware", short(manifest.get("hardware"))),
    ]
    return {
        "facts": [(name, value) for name, value in facts if value],
        "models": manifest.get("models") or {},
        "defenses": manifest.get("defenses") or {},
        "tasks": manifest.get("tasks") or {},
        "judges": manifest.get("judges") or {},
        "manifest": json.dumps(manifest, indent=2, ensure_ascii=True, default=str),
    }


def decoding(manifest: dict[str, Any]) -> str:
    """How answers were decoded, one setting after the other; where cells differ, each value with its tasks."""
    used: dict[str, dict[str, list[str]]] = {}
    for cell in manifest.get("cells") or []:
        for name, value in (cell.get("decoding") or {}).items():
            tasks = used.setdefault(name, {}).setdefault(_leaf(value), [])
            tasks += [cell["task"]] if cell["task"] not in tasks else []
    return "; ".join(f"{name} {_values(by)}" for name, by in used.items() if list(by) != ["[]"])


def _values(tasks: dict[str, list[str]]) -> str:
    if len(tasks) == 1:
        return next(iter(tasks))
    return ", ".join(f"{value} ({', '.join(named)})" for value, named in tasks.items())


def _calibration(models: dict[str, Any]) -> str:
    return "; ".join(f"{model}: {short(used)}" for model, used in models.items() if used) or "none"


def short(value: Any) -> str:
    """A small JSON value as words: `a 1, b 2`."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_leaf(v)}" for k, v in value.items() if v not in (None, "", [], {}))
    return _leaf(value)


def _leaf(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
