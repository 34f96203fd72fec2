"""Where a defense works and where it does not: rates by task and variant, and by task and category."""

from __future__ import annotations

from dataclasses import dataclass

from reports.cell import Cell, percent
from reports.lookup import Group

WHAT = {"asr": "Attack success", "over_refusal": "Over-refusal"}


@dataclass(frozen=True)
class HeatMap:
    """`tasks` are (label, number of columns, leaked); every row holds one cell a column."""

    title: str
    judge: str
    tasks: tuple[tuple[str, int, bool], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def heat_maps(group: Group, judge: str) -> list[HeatMap]:
    """Attack success and over-refusal, each by variant and by category; a map without figures is left out."""
    maps = [_map(group, judge, metric, by_category) for metric in WHAT for by_category in (False, True)]
    return [m for m in maps if m is not None]


def _map(group: Group, judge: str, metric: str, by_category: bool) -> HeatMap | None:
    columns = [(task, v) for task in group.tasks(metric) for v in _columns(group, metric, task, by_category)]
    rows = []
    for arm in group.arms:
        found = tuple(percent(group.figures.by_any_judge(group.model, arm, metric, judge, t, v)) for t, v in columns)
        if any(cell.sort is not None for cell in found):
            rows.append((arm, found))
    if not rows:
        return None
    spans = [(task, sum(t == task for t, _ in columns)) for task in dict.fromkeys(t for t, _ in columns)]
    heads = tuple((task, n, bool((group.manifest["tasks"].get(task) or {}).get("leakage"))) for task, n in spans)
    names = tuple(v.removeprefix("category:") if v else "all" for _, v in columns)
    title = f"{WHAT[metric]} by task and {'category' if by_category else 'variant'}"
    return HeatMap(title, judge, heads, names, tuple(rows))


def _columns(group: Group, metric: str, task: str, by_category: bool) -> list[str | None]:
    """Categories; or the whole task, then its variants where it has more than one."""
    found = group.figures.variants(group.model, metric, task)
    if by_category:
        categories = sorted(v for v in found if v.startswith("category:"))
        return list(categories) if len(categories) > 1 else []
    variants = [v for v in found if v.split(":", 1)[0] not in ("category", "modality", "kind")]
    return [None, *variants] if len(variants) > 1 else [None]
