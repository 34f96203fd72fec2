"""How far the safety judges agree with one another on the same answers."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from harness.runstore import Run


def disagreements(run: Run) -> dict[str, list[str]]:
    """One sentence a pair of judges, by model: on how many answers to harmful requests they part."""
    seen: dict[str, dict[tuple[str, ...], dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for row in run.rows():
        if row["kind"] == "harmful" and row["outcome"] != "unscored":
            seen[row["model"]][row["defense"], row["task"], row["sample"]][row["judge"]] = row["outcome"]
    return {model: _sentences(list(answers.values())) for model, answers in seen.items()}


def _sentences(answers: list[dict[str, str]]) -> list[str]:
    judges = list(dict.fromkeys(judge for verdicts in answers for judge in verdicts))
    found = []
    for one, other in combinations(judges, 2):
        both = [(v[one], v[other]) for v in answers if one in v and other in v]
        both = [pair for pair in both if set(pair) != {"incoherent"}]  # known before any judge is asked
        if not both:
            continue
        harmful = sum((a == "harmful") != (b == "harmful") for a, b in both)
        differ = sum(a != b for a, b in both)
        found.append(
            f"{one} and {other} scored {len(both)} of the same answers to harmful requests: they part on whether the "
            f"attack succeeded in {harmful} ({100 * harmful / len(both):.1f} %), and on the outcome in {differ} "
            f"({100 * differ / len(both):.1f} %)."
        )
    return found
