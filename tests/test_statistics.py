"""Statistics against the libraries, against known values, and against simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from harness.statistics import (
    cluster_bootstrap,
    effective_n,
    gap_interval,
    holm,
    mcnemar_exact,
    paired_interval,
    rate_interval,
    sign_flip,
    wilson,
)

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=20)
counts = st.integers(0, 40)


def clustered(rng: np.random.Generator, clusters: int, size: int, rate: float, rho: float) -> tuple[Any, Any]:
    """Beta-binomial rows: within a cluster they correlate by rho."""
    strength = (1 - rho) / rho
    rates = rng.beta(rate * strength, (1 - rate) * strength, clusters)
    hits = (rng.random((clusters, size)) < rates[:, None]).astype(float)
    return hits.ravel(), np.repeat(np.arange(clusters), size)


@pytest.mark.parametrize(("k", "n", "high"), [(0, 50, 0.0713), (0, 168, 0.0224), (0, 500, 0.0076)])
def test_wilson_upper_bounds_without_events(k: int, n: int, high: float) -> None:
    low, upper = wilson(k, n)
    assert low == 0 and upper == pytest.approx(high, abs=1e-4)


def test_wilson_of_nothing_is_no_interval() -> None:
    assert wilson(0, 0) == (None, None)


@given(counts, counts)
def test_wilson_holds_the_rate_and_mirrors(k: int, more: int) -> None:
    n = k + more
    low, high = wilson(k, n)
    if n == 0:
        return
    assert low is not None and high is not None and 0 <= low <= k / n <= high <= 1
    mirrored = wilson(more, n)
    assert mirrored[0] == pytest.approx(1 - high) and mirrored[1] == pytest.approx(1 - low)


@given(counts, counts)
def test_mcnemar_is_symmetric_and_a_binomial_test(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b)
    assert mcnemar_exact(b, c) == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1.0)


@settings(max_examples=12, deadline=None)  # multipletests collects garbage each time
@given(probabilities)
def test_holm_is_that_of_statsmodels(pvalues: list[float]) -> None:
    assert holm(pvalues) == pytest.approx(multipletests(pvalues, method="holm")[1])


@given(probabilities)
def test_holm_never_lowers_a_p_value_and_keeps_their_order(pvalues: list[float]) -> None:
    adjusted = holm([None, *pvalues])
    assert adjusted[0] is None
    pairs = sorted((p, a) for p, a in zip(pvalues, adjusted[1:], strict=True) if a is not None)
    assert all(p <= a <= 1 for p, a in pairs)
    assert [a for _, a in pairs] == sorted(a for _, a in pairs)


def test_singletons_are_worth_themselves_and_copies_are_worth_one() -> None:
    rng = np.random.default_rng(0)
    hits = (rng.random(200) < 0.4).astype(float)
    assert effective_n(hits, np.arange(200)) == 200
    copies = effective_n(np.repeat(hits, 3), np.repeat(np.arange(200), 3))
    assert copies == pytest.approx(200)
    shuffled = effective_n(rng.permutation(np.repeat(hits, 3)), np.repeat(np.arange(200), 3))
    assert 420 < shuffled <= 600


def test_singletons_get_wilson_itself() -> None:
    hits = np.array([1.0] * 7 + [0.0] * 13)
    assert rate_interval(hits, np.arange(20))[:2] == wilson(7, 20)


def test_unanimous_clusters_count_about_as_one_row_each() -> None:
    low, high, _ = rate_interval(np.zeros(300), np.repeat(np.arange(100), 3))
    assert low == 0 and high is not None and 0.8 < high / wilson(0, 100)[1] < 1.25  # type: ignore[operator]


def test_more_variants_of_the_same_questions_never_widen_the_interval() -> None:
    for hits in ([0.0, 0.0], [1.0, 0.0], [1.0, 1.0, 0.0]):
        lone = rate_interval(np.array(hits), np.arange(len(hits)))
        low, high, _ = rate_interval(np.repeat(hits, 4), np.repeat(np.arange(len(hits)), 4))
        assert high - low <= lone[1] - lone[0] + 1e-9  # type: ignore[operator]


def test_one_question_with_most_of_the_rows_does_not_count_as_many() -> None:
    clusters = np.array([0] * 100 + list(range(1, 11)))
    assert 1 < effective_n((clusters == 0).astype(float), clusters) < 11 / 2


@given(st.integers(0, 35))
def test_more_hits_never_lower_the_ends(k: int) -> None:
    clusters = np.repeat(np.arange(12), 3)
    order = np.random.default_rng(1).permutation(36)
    before, after = (rate_interval((order < n).astype(float), clusters) for n in (k, k + 1))
    assert before[0] <= after[0] + 0.02 and before[1] <= after[1] + 0.02  # type: ignore[operator]


@pytest.mark.parametrize("hits", [np.zeros(0), np.ones(5)])
def test_what_carries_no_interval_has_none(hits: Any) -> None:
    low, high, method = rate_interval(hits, np.zeros(len(hits)))
    assert low is None and high is None and method.startswith("none")
    assert cluster_bootstrap(hits, np.zeros(len(hits))) == (None, None)


@pytest.mark.parametrize(("rate", "rho"), [(0.05, 0.6), (0.3, 0.6), (0.5, 0.01)])
def test_rate_intervals_cover_under_clustering(rate: float, rho: float) -> None:
    rng = np.random.default_rng(7)
    found = naive = 0
    for _ in range(300):
        hits, clusters = clustered(rng, 50, 3, rate, rho)
        low, high, _ = rate_interval(hits, clusters)
        found += low <= rate <= high  # type: ignore[operator]
        low, high = wilson(hits.sum(), len(hits))
        naive += low <= rate <= high  # type: ignore[operator]
    assert found / 300 >= 0.915
    assert rho < 0.5 or naive < found


def test_paired_intervals_cover() -> None:
    rng = np.random.default_rng(3)
    covered = {0.02: 0, 0.2: 0}
    for change in covered:
        for _ in range(200):
            hard = rng.random(60) < change  # whole clusters change, the strongest correlation there is
            low, high, _ = paired_interval(np.repeat(-hard.astype(float), 2), np.repeat(np.arange(60), 2))
            covered[change] += low <= -change <= high  # type: ignore[operator]
    assert min(covered.values()) / 200 >= 0.9


def test_equal_arms_have_an_interval_with_width() -> None:
    low, high, method = paired_interval(np.zeros(40), np.arange(40))
    assert low == pytest.approx(-high) and 0 < high < 0.1 and "bonett" in method  # type: ignore[operator]


def test_bonett_price_by_hand() -> None:
    differences = np.array([1.0] * 2 + [-1.0] * 5 + [0.0] * 33)
    low, high, _ = paired_interval(differences, np.arange(40))
    p, q = 3 / 42, 6 / 42
    half = 1.959964 * ((p + q - (p - q) ** 2) / 42) ** 0.5
    assert (low, high) == pytest.approx((p - q - half, p - q + half), abs=1e-6)


def test_bootstrap_agrees_with_the_t_interval_and_repeats_itself() -> None:
    values = np.random.default_rng(5).normal(3, 2, 400)
    low, high = cluster_bootstrap(values, np.arange(400))
    error = values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.03)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.03)
    assert (low, high) == cluster_bootstrap(values, np.arange(400))
    assert (low, high) != cluster_bootstrap(values, np.arange(400), seed=1)


def test_bootstrap_draws_whole_clusters() -> None:
    values = np.random.default_rng(5).normal(size=40)
    wide = cluster_bootstrap(np.repeat(values, 5), np.repeat(np.arange(40), 5))
    assert wide == pytest.approx(cluster_bootstrap(values, np.arange(40)))


def test_gap_interval_covers_and_has_width_at_the_ends() -> None:
    rng = np.random.default_rng(11)
    first, clusters = np.tile([True, False], 80), np.repeat(np.arange(80), 2)
    inside = 0
    for _ in range(200):
        hits = (rng.random(160) < np.where(first, 0.7, 0.4)).astype(float)
        low, high, _ = gap_interval(hits, first, clusters)
        inside += low <= 0.3 <= high  # type: ignore[operator]
    assert inside / 200 >= 0.9
    low, high, method = gap_interval(first.astype(float), first, clusters)
    assert low < 1 == high and "newcombe" in method  # type: ignore[operator]


def test_sign_flip_is_exact_in_level_and_sees_a_change() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(40), 3)
    null = [sign_flip(np.repeat(rng.integers(-1, 2, 40), 3), clusters, n_flips=500) for _ in range(200)]
    assert np.mean([p <= 0.05 for p in null]) <= 0.09  # type: ignore[operator]
    assert sign_flip(-np.ones(120), clusters) < 0.001  # type: ignore[operator]
    assert sign_flip(np.zeros(120), clusters) == 1 and sign_flip(np.ones(3), np.zeros(3)) is None
