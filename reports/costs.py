"""The cost table: what a defense takes, on benign and on harmful traffic."""

from __future__ import annotations

from reports.cell import Cell, number, percent
from reports.lookup import Group

COLUMNS: tuple[tuple[str, str, str | None, int, str], ...] = (
    ("Time, all", "cost_ratio", None, 2, "×"),
    ("Time, benign", "cost_ratio", "kind:benign", 2, "×"),
    ("Time, harmful", "cost_ratio", "kind:harmful", 2, "×"),
    ("Seconds an answer", "seconds_per_sample", None, 3, ""),
    ("Model calls", "target_calls", None, 2, ""),
    ("Extra passes", "extra_forward_passes", None, 2, ""),
    ("Helper calls", "auxiliary_calls", None, 2, ""),
    ("Prompt tokens", "prompt_tokens", None, 1, ""),
    ("Generated tokens", "generated_tokens", None, 1, ""),
)
TRIGGERS = (("Triggered, benign", "kind:benign"), ("Triggered, harmful", "kind:harmful"))


def headings() -> list[str]:
    return [c[0] for c in COLUMNS] + [t[0] for t in TRIGGERS] + ["AUROC of its score", "Fit seconds"]


def cost_rows(group: Group) -> list[tuple[str, list[Cell]]]:
    """(defense, cells) for every arm that has any cost figure."""
    rows = []
    for arm in group.arms:
        found = [
            number(group.figures.get(group.model, arm, metric, variant=variant), digits, unit)
            for _, metric, variant, digits, unit in COLUMNS
        ]
        found += [percent(group.figures.get(group.model, arm, "trigger_rate", variant=v)) for _, v in TRIGGERS]
        found.append(number(group.figures.get(group.model, arm, "score_auroc"), 2))
        if any(cell.sort is not None for cell in found):
            seconds = group.manifest["defenses"][arm].get("fit_seconds")
            rows.append((arm, [*found, number(None if seconds is None else {"value": seconds}, 1)]))
    return rows
