"""`gb.run(...)`: everything that the command line does is one call away in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.contracts import PluginError
from harness.plan import PluginSpec, make_plan
from harness.progress import shown
from harness.runner import Runner
from harness.runstore import Run
from harness.types import digest


def run(
    plan: Path | str | None = None,
    *,
    model: PluginSpec | list[PluginSpec] | None = None,
    out: Path | str | None = None,
    quiet: bool = False,
    debug: bool = False,
    **words: Any,
) -> Run:
    """Run a plan: a YAML file, the words of one (`tasks`, `defenses`, `judges`, `limit`, ...), or both.

    Without `out` the directory is `runs/<hash of the plan>`, so that the same call finds its earlier results.
    Raises `PluginError` with one sentence when the plan cannot be run.
    """
    if model is not None:
        if "models" in words:
            raise PluginError("give either model or models, not both")
        words["models"] = model
    made = make_plan(Path(plan) if plan else None, **words)
    where = Path(out) if out else Path("runs") / digest(made.model_dump(mode="json"))[:10]
    with shown(quiet) as progress:
        return Runner(made, where, progress, debug=debug)()
