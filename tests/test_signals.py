"""The AUROC of a defense's own score: known values, and no figure where there is nothing to tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from harness.frames import frame
from harness.signals import signals
from harness.statistics import cluster_auroc


def row(i: int, kind: str, score: float | None, *, modality: str = "image", judge: str = "keyword") -> dict[str, Any]:
    return {
        "model": "m", "defense": "regap", "task": "t", "sample": f"s{i}", "prompt_id": f"p{i}", "cluster": f"c{i // 2}",
        "kind": kind, "category": "", "variant": modality, "modality": modality, "judge": judge, "outcome": "safe",
        "error": None, "answered": True, "triggered": None, "gate": score,
    }  # fmt: skip


def rows_of(harmful: list[float | None], benign: list[float | None], **more: Any) -> list[dict[str, Any]]:
    both = [("harmful", s) for s in harmful] + [("benign", s) for s in benign]
    return [row(i, kind, score, **more) for i, (kind, score) in enumerate(both)]


def found(rows: list[dict[str, Any]]) -> dict[str | None, dict[str, Any]]:
    return {f["variant"]: f for f in signals(frame(rows)) if f["metric"] == "score_auroc"}


def test_known_values_and_the_count_of_prompts_without_a_score() -> None:
    figures = found(rows_of([3.0, 2.0, None], [1.0, 2.0, 0.0]))
    assert figures[None]["value"] == pytest.approx(5.5 / 6)
    assert (figures[None]["n"], figures[None]["unscored"]) == (5, 1)
    assert figures[None]["low"] <= figures[None]["value"] <= figures[None]["high"]
    assert figures["modality:image"]["value"] == figures[None]["value"]


def test_two_judges_count_a_prompt_once() -> None:
    once = rows_of([3.0, 2.0], [1.0, 2.5])
    twice = once + rows_of([3.0, 2.0], [1.0, 2.5], judge="compliance")
    assert found(twice) == found(once)


def test_no_figure_without_scores_of_both_kinds() -> None:
    assert not found(rows_of([None, None], [None]))
    assert not found(rows_of([1.0, 2.0], [None]))
    assert not found(rows_of([], [1.0]))


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 5)), min_size=4, max_size=30))
def test_cluster_auroc_is_that_of_scikit_learn(rows: list[tuple[int, bool, int]]) -> None:
    scores = np.array([float(r[0]) for r in rows])
    harmful = np.array([r[1] for r in rows])
    if harmful.all() or not harmful.any():
        return
    value, low, high = cluster_auroc(scores, harmful, np.array([r[2] for r in rows]), n_boot=50)
    assert value == pytest.approx(roc_auc_score(harmful, scores))
    assert low is None or high is None or 0 <= low <= high <= 1


def test_copies_within_a_cluster_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    harmful = np.arange(40) % 2 == 0
    scores, clusters = rng.normal(size=40) + harmful, np.arange(40)
    _, low, high = cluster_auroc(scores, harmful, clusters)
    _, low5, high5 = cluster_auroc(np.tile(scores, 5), np.tile(harmful, 5), np.tile(clusters, 5))
    assert low is not None and high is not None and low5 is not None and high5 is not None
    assert high5 - low5 == pytest.approx(high - low, abs=0.02)
