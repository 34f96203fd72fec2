"""Two runs compared, arm by arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.metrics import compare_runs
from harness.runstore import Run
from reports.formats import ALPHA
from reports.lookup import corrected_p

if TYPE_CHECKING:
    import pandas

TESTS = ("p_value", "p_cluster", "p_holm", "p_cluster_holm")


def compare(first: Run, second: Run) -> pandas.DataFrame:
    """Same-named arms of two runs, tested on the prompts that both have: `difference` is second less first.

    `verdict` is `tied` unless McNemar's and the sign-flip test's p are below 0.05 after Holm; `unpaired` counts the
    rows of `second` without a scored partner.
    """
    import pandas

    rows = []
    for figure in compare_runs(first, second):
        after, before = figure["rates"] or (None, None)
        only = dict(zip(("only_second", "only_first"), figure["discordant"], strict=True))
        about = {name: figure[name] for name in ("model", "defense", "task", "judge")}
        rates = {"metric": figure["metric"].removesuffix("_change"), "first": before, "second": after}
        tested = {"difference": figure["value"]} | {name: figure[name] for name in ("low", "high", "n", "clusters")}
        tested |= only | {"unpaired": figure["unscored"]} | {name: figure[name] for name in TESTS}
        rows.append(about | {"task": figure["task"] or "all"} | rates | tested | {"verdict": _verdict(figure)})
    return pandas.DataFrame(rows)


def _verdict(figure: dict[str, Any]) -> str:
    if figure["p_holm"] is None:
        return "no shared scored prompts"
    p = corrected_p(figure)
    if p is None or p >= ALPHA:
        return "tied"
    return "higher in second" if figure["value"] > 0 else "lower in second"
