"""What an arm costs: means per answer, the share of answers its trigger touched, and seconds against the arm `none`.

Only answers that came count: a failed one has no honest cost. Judges do not matter here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.contrasts import BASELINE
from harness.frames import Frame
from harness.statistics import cluster_bootstrap, rate_interval


def costs(rows: Frame) -> list[dict[str, Any]]:
    """Cost figures of all arms: by task, pooled, and pooled by kind (`kind:benign` is the traffic of a deployed
    model)."""
    figures: list[dict[str, Any]] = []
    for (model,), part in rows.split("model").items():
        arms = {defense: _once(arm) for (defense,), arm in part.split("defense").items()}
        for defense, arm in arms.items():
            for task, variant, chosen in _selections(arm):
                where = {"model": model, "defense": defense, "task": task, "variant": variant, "judge": ""}
                figures += [where | figure for figure in _selection(chosen, arms.get(BASELINE))]
    return figures


def _once(arm: Frame) -> Frame:
    """One row a sample, whatever the number of judges."""
    import numpy as np

    return arm.where(np.unique(arm.pair, return_index=True)[1])


def _selections(arm: Frame) -> Iterator[tuple[str | None, str | None, Frame]]:
    for (task,), part in arm.split("task").items():
        yield task, None, part
    arm = arm.once(arm.failed)
    yield None, None, arm
    for (kind,), part in arm.split("kind").items():
        yield None, f"kind:{kind}", part


def _selection(rows: Frame, baseline: Frame | None) -> Iterator[dict[str, Any]]:
    import numpy as np

    answered = rows.where(~rows.failed)
    missing = len(rows) - len(answered)
    for name, column in answered.costs.items():
        known = ~np.isnan(column)
        figure = _figure("seconds_per_sample" if name == "seconds" else name, int(known.sum()), missing)
        if known.any():
            figure["value"] = float(column[known].mean())
            if name == "seconds":
                figure["low"], figure["high"] = cluster_bootstrap(column[known], answered.cluster[known])
        yield figure
    noted = answered.where(~np.isnan(answered.triggered))
    if len(noted):
        low, high, method = rate_interval(noted.triggered, noted.cluster)
        share = {"value": float(noted.triggered.mean()), "low": low, "high": high, "method": method}
        yield _figure("trigger_rate", len(noted), missing) | share
    if baseline is not None:
        yield _ratio(answered, baseline.where(~baseline.failed), missing)


def _ratio(arm: Frame, baseline: Frame, missing: int) -> dict[str, Any]:
    """Seconds of the arm over seconds of `none`, both summed over the samples that both answered."""
    import numpy as np

    _, mine, theirs = np.intersect1d(arm.pair, baseline.pair, return_indices=True)
    top, bottom = arm.costs["seconds"][mine], baseline.costs["seconds"][theirs]
    known = ~(np.isnan(top) | np.isnan(bottom))
    top, bottom, cluster = top[known], bottom[known], arm.cluster[mine][known]
    figure = _figure("cost_ratio", len(top), missing) | {"baseline": BASELINE}
    if bottom.sum() > 0:
        figure["value"] = float(top.sum() / bottom.sum())
        figure["low"], figure["high"] = cluster_bootstrap(top, cluster, per=bottom)
    return figure


def _figure(metric: str, n: int, missing: int) -> dict[str, Any]:
    return {"metric": metric, "value": None, "low": None, "high": None, "n": n, "unscored": missing}
