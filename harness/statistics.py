"""Intervals and tests for rates whose rows come in clusters (variants of one base question).

scipy and statsmodels do the work; what is here says which method is used when. Every function is deterministic, and
gives `(None, None)` where the data cannot carry an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Interval = tuple[float | None, float | None]
Described = tuple[float | None, float | None, str]
"""An interval and the name of the method that made it."""

NO_INTERVAL: Interval = (None, None)
LEVEL = 0.95
N_BOOT = 2000
FEW_EVENTS = 10
"""Below this many discordant pairs (or events) the percentile bootstrap is too short: at none it has no width at
all."""


@lru_cache(maxsize=4096)
def wilson(k: float, n: float) -> Interval:
    """Wilson's 95 % score interval of k/n (Wilson 1927); k and n may be effective, hence fractional, counts."""
    from statsmodels.stats.proportion import proportion_confint

    if n <= 0:
        return NO_INTERVAL
    low, high = proportion_confint(k, n, alpha=1 - LEVEL, method="wilson")
    return (0.0 if k == 0 else max(0.0, float(low))), (1.0 if k == n else min(1.0, float(high)))


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact McNemar p of the discordant counts b and c; 1 where there are none."""
    from statsmodels.stats.contingency_tables import mcnemar

    return min(1.0, float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)) if b + c else 1.0


def holm(pvalues: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p values (Holm 1979), in order; None stays None and does not count as a test."""
    # statsmodels' multipletests calls gc.collect() every time, which costs most of the seconds of a report
    known = sorted((p, i) for i, p in enumerate(pvalues) if p is not None)
    adjusted: list[float | None] = [None] * len(pvalues)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[i] = highest
    return adjusted


def cluster_bootstrap(
    values: Array, clusters: Array, *, per: Array | None = None, n_boot: int = N_BOOT, seed: int = 0
) -> Interval:
    """Percentile interval of sum(values) / sum(per), whole clusters drawn with replacement.

    `values`, `per`: (n,) floats, `per` all ones by default, so that the statistic is the mean (of paired differences,
    for one). `clusters`: (n,) labels. Fewer than two clusters carry no interval. Source: Davison and Hinkley 1997,
    section 3.8.
    """
    import numpy as np

    index, count = _codes(clusters)
    if count < 2:
        return NO_INTERVAL
    weights = _resamples(count, n_boot, seed)
    tops = weights @ np.bincount(index, weights=values, minlength=count)
    bottoms = weights @ np.bincount(index, weights=per, minlength=count).astype(float)
    return _percentiles(tops[bottoms > 0] / bottoms[bottoms > 0])


def cluster_auroc(
    scores: Array, harmful: Array, clusters: Array, *, n_boot: int = N_BOOT, seed: int = 0
) -> tuple[float, float | None, float | None]:
    """Probability that a harmful row scores above a benign one, ties counted half, with a percentile interval over
    whole clusters drawn with replacement.

    `scores`: (n,) floats; `harmful`: (n,) bool, both kinds present; `clusters`: (n,) labels. Source: Mann and Whitney
    1947; Obuchowski 1997 for AUROC of clustered data.
    """

    above = scores[harmful][:, None] - scores[~harmful][None]
    wins = (above > 0) + (above == 0) / 2
    index, count = _codes(clusters)
    value = float(wins.mean())
    if count < 2:
        return value, *NO_INTERVAL
    weights = _resamples(count, n_boot, seed)
    high, low = weights[:, index[harmful]], weights[:, index[~harmful]]
    tops, bottoms = ((high @ wins) * low).sum(1), high.sum(1) * low.sum(1)
    return value, *_percentiles(tops[bottoms > 0] / bottoms[bottoms > 0])


def effective_n(values: Array, clusters: Array, ends: tuple[float, float] = (0.0, 1.0)) -> float:
    """How many independent rows the clustered rows are worth: (n / DEFF) (z / t_{C-1})^2, at most n, and at least
    n^2 / sum_c n_c^2, which is C for clusters of one size.

    `values`: (n,) in the range `ends`; `clusters`: (n,) labels, C of them. DEFF is the cluster-robust variance of the
    mean, C / (C-1) sum_c (sum of residuals in c)^2 / n^2, over the naive one, sum of squared residuals / (n (n-1))
    (Kish 1965; Miller 2024, arXiv 2411.00640). It is taken after one cluster of mean size is added at either end, in
    the way of Agresti and Coull 1998: rows that all agree say nothing of their correlation, and then count about as one
    a cluster. Singletons have DEFF 1. The t quantile pays for estimating DEFF from C clusters (Korn and Graubard 1998,
    Survey Methodology 24:193). The lower bound is what clusters are worth whose rows are all copies of one another
    (Kish 1965, section 8.2): without it few clusters would cost more in t than all correlation can, and answering more
    variants of the same questions would widen the interval.
    """
    import numpy as np
    from scipy.special import ndtri, stdtrit

    index, count = _codes(clusters)
    n = len(values)
    if count == n or count < 2:
        return float(count)
    size = n / count
    center = (values.sum() + size * sum(ends)) / (n + 2 * size)
    sums = np.bincount(index, weights=values - center)
    edges = np.array(ends) - center
    total = n + 2 * size
    clustered = (count + 2) / (count + 1) * (sums @ sums + size**2 * (edges @ edges)) / total**2
    naive = (((values - center) ** 2).sum() + size * (edges @ edges)) / (total * (total - 1))
    tail = (1 + LEVEL) / 2
    copies = n**2 / (np.bincount(index).astype(float) ** 2).sum()
    return float(max(copies, n / max(1.0, clustered / naive) * (ndtri(tail) / stdtrit(count - 1, tail)) ** 2))


def rate_interval(hits: Array, clusters: Array) -> Described:
    """The interval of a rate: Wilson at the effective sample size (Dean and Pagano 2015, J Surv Stat Methodol 3:484).

    It keeps its width at 0 and 1, where a bootstrap has none, and is Wilson's own where no two rows share a cluster.
    """
    n, count = len(hits), _codes(clusters)[1]
    if n == 0:
        return (None, None, "none: no scored rows")
    if count == n:
        return (*wilson(float(hits.sum()), n), "wilson")
    if count < 2:
        return (None, None, "none: one cluster")
    worth = effective_n(hits, clusters)
    return (*wilson(float(hits.mean()) * worth, worth), "wilson at effective n")


def paired_interval(differences: Array, clusters: Array, *, seed: int = 0) -> Described:
    """The interval of the mean of paired differences of two 0/1 outcomes: (n,) values in -1, 0, 1.

    Cluster bootstrap; with fewer than `FEW_EVENTS` discordant pairs the adjusted Wald interval at the effective
    sample size (Bonett and Price 2012, J Educ Behav Stat 37:479: one is added to either discordant count).
    """
    import numpy as np

    n, count = len(differences), _codes(clusters)[1]
    if count < 2:
        return (None, None, "none: fewer than two clusters")
    b, c = int((differences > 0).sum()), int((differences < 0).sum())
    if b + c >= FEW_EVENTS:
        return (*cluster_bootstrap(differences, clusters, seed=seed), "cluster bootstrap")
    worth = effective_n(differences, clusters, (-1.0, 1.0))
    p, q = (b * worth / n + 1) / (worth + 2), (c * worth / n + 1) / (worth + 2)
    half = 1.959963984540054 * float(np.sqrt((p + q - (p - q) ** 2) / (worth + 2)))
    return (max(-1.0, p - q - half), min(1.0, p - q + half), "bonett-price at effective n")


def gap_interval(hits: Array, first: Array, clusters: Array, *, seed: int = 0) -> Described:
    """The interval of rate(first) - rate(rest), rows of both sharing clusters; `first`: (n,) bool.

    Cluster bootstrap; where a side has fewer than `FEW_EVENTS` events or non-events, the two rate intervals are
    combined instead (Newcombe 1998, Stat Med 17:873, method 10), which is wider because it leaves out that the sides
    are paired.
    """
    import numpy as np

    sides = (hits[first], hits[~first])
    if min(len(s) for s in sides) == 0 or _codes(clusters)[1] < 2:
        return (None, None, "none: a side is empty, or one cluster")
    if min(min(s.sum(), len(s) - s.sum()) for s in sides) >= FEW_EVENTS:
        return (*_bootstrap_gap(hits, first, clusters, seed), "cluster bootstrap")
    (l1, u1, _), (l2, u2, _) = rate_interval(sides[0], clusters[first]), rate_interval(sides[1], clusters[~first])
    if l1 is None or u1 is None or l2 is None or u2 is None:
        return (None, None, "none: one cluster")
    p1, p2 = float(sides[0].mean()), float(sides[1].mean())
    below, above = np.hypot(p1 - l1, u2 - p2), np.hypot(u1 - p1, p2 - l2)
    return (float(p1 - p2 - below), float(p1 - p2 + above), "newcombe at effective n")


def sign_flip(differences: Array, clusters: Array, *, n_flips: int = 10_000, seed: int = 0) -> float | None:
    """Two-sided p of a mean paired difference of zero, the sign of whole clusters flipped at random.

    McNemar takes pairs for independent; this test takes clusters for the unit. The +1 keeps p above zero (Phipson and
    Smyth 2010, Stat Appl Genet Mol Biol 9:39). None with fewer than two clusters.
    """
    import numpy as np

    index, count = _codes(clusters)
    if count < 2:
        return None
    sums = np.bincount(index, weights=differences)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    flips = np.random.default_rng(seed).integers(0, 2, (n_flips, len(sums)), dtype=np.int8) * 2.0 - 1
    return float(1 + (np.abs(flips @ sums) >= abs(sums.sum()) - 1e-9).sum()) / (n_flips + 1)


def _bootstrap_gap(hits: Array, first: Array, clusters: Array, seed: int) -> Interval:
    import numpy as np

    index, count = _codes(clusters)
    weights = _resamples(count, N_BOOT, seed)
    rates = []
    for side in (first, ~first):
        tops = weights @ np.bincount(index[side], weights=hits[side], minlength=count)
        bottoms = weights @ np.bincount(index[side], minlength=count).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates.append(tops / bottoms)
    gaps = rates[0] - rates[1]
    return _percentiles(gaps[np.isfinite(gaps)])


def _percentiles(draws: Array) -> Interval:
    import numpy as np

    if not len(draws):
        return NO_INTERVAL
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _codes(clusters: Array) -> tuple[Array, int]:
    """Labels as 0..C-1, in sorted order, so that the order of the rows changes nothing."""
    import numpy as np

    names, index = np.unique(clusters, return_inverse=True)
    return index, len(names)


@lru_cache(maxsize=8)
def _resamples(count: int, n_boot: int, seed: int) -> Array:
    """(n_boot, count): how often each cluster is drawn. Kept, because the cells of a run have the same number of
    clusters."""
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, count, (n_boot, count))
    drawn += np.arange(n_boot)[:, None] * count
    return np.bincount(drawn.ravel(), minlength=n_boot * count).reshape(n_boot, count).astype(float)
