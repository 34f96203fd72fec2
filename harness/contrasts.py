"""Paired comparisons of two arms that answered the same prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from harness.frames import Frame
from harness.statistics import holm, mcnemar_exact, paired_interval, sign_flip

BASELINE = "none"

CHANGES = (
    ("asr_change", "harmful", "harmful"),
    ("over_refusal_change", "benign", "refused"),
    ("accuracy_change", "utility", "correct"),
)
"""Metric, kind of rows, and the outcome whose rate is compared."""

MEDIA = "media"
"""The pooled variant of all rows whose prompt has a picture, a video or a sound."""

UNJUDGED = "none: no row has the judge's own verdict"
"""The method of a rate, gap or change that a judge said nothing to: garbled answers alone carry none."""

Figure = dict[str, Any]


def changes(rows: Frame, reference: str = BASELINE) -> list[Figure]:
    """Each arm against the arm `reference` of its model: by task, pooled over tasks, and pooled by modality.

    `p_holm` and `p_cluster_holm` are adjusted across the defenses of one (model, task, variant, judge, metric).
    """
    parts = rows.split("model", "judge").values()
    figures = [figure for part in parts for figure in _against(part, reference)]
    return adjusted(figures, "model", "task", "variant", "judge", "metric")


def between(first: Frame, second: Frame) -> list[Figure]:
    """Arms of the same model, defense and judge in two runs: `value` is the rate in `second` less the rate in `first`.

    Runs of one model each are compared whatever their models are called. `p_holm` is adjusted across all arms and
    tasks of one (judge, metric); the pooled comparisons are a family of their own.
    """
    single = _models(first) == _models(second) == 1
    names = ("defense", "judge") if single else ("model", "defense", "judge")
    left, right = first.split(*names), second.split(*names)
    figures = []
    for key in left.keys() & right.keys():
        a, b = left[key], right[key]
        about = {name: b.labels[name][0] for name in ("model", "defense", "judge")}
        figures += [about | figure for figure in _contrasts(b, a, by_modality=False)]
    figures.sort(key=lambda f: (f["model"], f["defense"], f["judge"], f["task"] or "", f["metric"]))
    for figure in figures:
        figure["family"] = "pooled" if figure["task"] is None else "by task"
    return adjusted(figures, "judge", "metric", "family")


def adjusted(figures: list[Figure], *family: str) -> list[Figure]:
    """The figures with `p_holm` and `p_cluster_holm`, adjusted within those that agree on the keys of `family`."""
    families: dict[tuple[Any, ...], list[Figure]] = defaultdict(list)
    for figure in figures:
        families[tuple(figure[k] for k in family)].append(figure)
    for members in families.values():
        for plain, corrected in (("p_value", "p_holm"), ("p_cluster", "p_cluster_holm")):
            for figure, p in zip(members, holm([f[plain] for f in members]), strict=True):
                figure[corrected] = p
    return figures


def _models(rows: Frame) -> int:
    return len(set(rows.labels["model"]))


def _against(rows: Frame, reference: str) -> Iterator[Figure]:
    arms = {defense: arm for (defense,), arm in rows.split("defense").items()}
    baseline = arms.pop(reference, None)
    if baseline is None:
        return
    for defense, arm in arms.items():
        shared = {"model": arm.labels["model"][0], "judge": arm.labels["judge"][0], "defense": defense}
        for figure in _contrasts(arm, baseline, by_modality=True):
            yield shared | figure | {"baseline": reference}


def _contrasts(arm: Frame, other: Frame, *, by_modality: bool) -> Iterator[Figure]:
    for task, variant, part in _selections(arm, by_modality):
        for metric, kind, outcome in CHANGES:
            chosen = part.having(kind=kind)
            if len(chosen):
                figure = contrast(chosen, other, outcome, pooled=task is None)
                yield {"task": task, "variant": variant, "metric": metric} | figure


def _selections(arm: Frame, by_modality: bool) -> Iterator[tuple[str | None, str | None, Frame]]:
    yield None, None, arm
    for (task,), part in arm.split("task").items():
        yield task, None, part
    if by_modality:
        for (modality,), part in arm.split("modality").items():
            yield None, f"modality:{modality}", part
        yield None, MEDIA, arm.where(arm.labels["modality"] != "text")


def contrast(arm: Frame, other: Frame, outcome: str, *, pooled: bool) -> Figure:
    """The rate of `outcome` in `arm` less that in `other`, on the prompts of `arm` that are scored in both.

    `discordant` is [only in arm, only in other]; `p_value` is exact McNemar, `p_cluster` the sign-flip test by base
    question. `pooled` over tasks, a prompt that tasks share is one pair.
    """
    import numpy as np

    _, mine, theirs = np.intersect1d(arm.pair, other.pair, return_indices=True)
    left, right = arm.where(mine), other.where(theirs)
    known = ~(left.outcome("unscored") | right.outcome("unscored"))
    left, right = left.where(known), right.where(known)
    if pooled:  # after pairing, or the two arms could keep the rows of different tasks
        left = left.once()
        right = right.where(np.isin(right.pair, left.pair))
    differences = left.outcome(outcome).astype(float) - right.outcome(outcome)
    n, b, c = len(differences), int((differences > 0).sum()), int((differences < 0).sum())
    judged = left.judged and right.judged
    low, high, method = paired_interval(differences, left.cluster) if judged or not n else (None, None, UNJUDGED)
    return {
        "value": float(differences.mean()) if judged else None,
        "rates": [float(side.outcome(outcome).mean()) for side in (left, right)] if judged else None,
        "low": low,
        "high": high,
        "n": n,
        "unscored": len(arm.once() if pooled else arm) - n,
        "clusters": len(set(left.cluster.tolist())),
        "method": method,
        "discordant": [b, c],
        "p_value": mcnemar_exact(b, c) if judged else None,
        "p_cluster": sign_flip(differences, left.cluster) if judged else None,
        "p_holm": None,
        "p_cluster_holm": None,
    }
