"""How well one layer serves to steer along a direction, judged on held-out texts: the three scores of MARS.

Reconstruction of arXiv 2606.31876, whose public record names consistency, separability and safety margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness.directions import auroc, cosine, dprime, projection, refusal_direction, unit

if TYPE_CHECKING:
    from torch import Tensor

Consistency = Literal["cosine", "halves"]
Separability = Literal["auroc", "dprime"]


def layer_scores(
    safe: Tensor,
    unsafe: Tensor,
    held_safe: Tensor,
    held_unsafe: Tensor,
    *,
    consistency: Consistency = "cosine",
    separability: Separability = "auroc",
) -> Tensor:
    """[3, layers], for the direction from `safe` to `unsafe` states [n, layers, d].

    Consistency: mean cosine with it of the held-out unsafe states, seen from the safe centroid, or cosine with the
    direction of the held-out states (halves). Separability: AUROC or d' along it. Margin: from the 90th percentile of
    held-out safe coordinates to the 10th of unsafe ones, in units of the distance of the centroids. A common scale of
    all states changes none.
    """
    import torch

    centre, delta = safe.mean(0), refusal_direction(unsafe, safe)
    if consistency == "halves":
        agreement = cosine(delta, refusal_direction(held_unsafe, held_safe))
    else:
        agreement = (unit(held_unsafe - centre) * unit(delta)).sum(-1).mean(0)
    high, low = (projection(states - centre, delta) for states in (held_unsafe, held_safe))
    apart = auroc(high, low) if separability == "auroc" else dprime(high, low)
    margin = (high.quantile(0.1, dim=0) - low.quantile(0.9, dim=0)) / delta.norm(dim=-1).clamp_min(1e-12)
    return torch.stack([agreement, apart, margin]).nan_to_num()


def best_layers(scores: Tensor, candidates: Sequence[int], weights: Sequence[float], n: int) -> list[int]:
    """The `n` best candidates, best first, by the weighted sum of `scores` [3, layers], each brought to [0, 1] over the
    candidates. Ties go to the earlier layer."""
    chosen = scores[:, list(candidates)]
    low, high = chosen.amin(1, keepdim=True), chosen.amax(1, keepdim=True)
    total = scores.new_tensor(list(weights)) @ ((chosen - low) / (high - low).clamp_min(1e-12))
    order = sorted(range(len(candidates)), key=lambda i: (-round(float(total[i]), 6), i))
    return [candidates[i] for i in order[:n]]
