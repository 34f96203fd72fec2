"""Directions in the residual stream and what lies along them. States are float32 of shape [n, layers, d].

The formulas are those of ReGap (arXiv 2605.18104) as far as its public record goes, and of difference of means as in
Arditi et al. (arXiv 2406.11717).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.calibration import CalibrationSplit, Kind, Pair, media_of
from harness.contracts import Model, PluginError
from harness.states import kept_states, last_token_states
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

Orthogonalise = Literal["none", "d_perp_r", "r_perp_d"]
DriftClass = Literal["benign", "harmful", "balanced"]
RefusalFrom = Literal["each", "best"]


@dataclass(frozen=True)
class Directions:
    """All of shape [layers, d]: refusal direction, drift direction pooled over media, mean state of the text forms of
    the pairs, midpoint of the harmful and benign text means; and the drift of each medium by its name."""

    refusal: Tensor
    drift: Tensor
    text_mean: Tensor
    midpoint: Tensor
    by_medium: dict[str, Tensor]


def refusal_direction(harmful: Tensor, benign: Tensor) -> Tensor:
    """Difference of means [layers, d], from benign towards harmful, which a safe model refuses."""
    return harmful.mean(0) - benign.mean(0)


def drift_direction(text: Tensor, media: Tensor) -> Tensor:
    """Mean over pairs of media state minus text state of the same request, [layers, d]."""
    return (media - text).mean(0)


def unit(direction: Tensor) -> Tensor:
    """Norm 1 along the last axis; a null direction stays null."""
    return direction / direction.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def orthogonal(direction: Tensor, to: Tensor) -> Tensor:
    """`direction` without its component along `to`, layer by layer."""
    axis = unit(to.double())
    rest = direction.double() - (direction.double() * axis).sum(-1, keepdim=True) * axis
    return rest.to(direction.dtype)


def projection(states: Tensor, direction: Tensor) -> Tensor:
    """Coordinates [n, layers] of states along unit `direction` [layers, d]."""
    return (states * unit(direction)).sum(-1)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine per layer, [layers]."""
    return (unit(a) * unit(b)).sum(-1)


def random_like(direction: Tensor, seed: int) -> Tensor:
    """Gaussian directions with the norm of `direction` at each layer."""
    import torch

    noise = torch.randn(direction.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (unit(noise) * direction.double().norm(dim=-1, keepdim=True)).to(direction.dtype)


def dprime(high: Tensor, low: Tensor) -> Tensor:
    """Separation of two samples [n, ...] in units of their pooled standard deviation: the conditional refusal
    separability when both are projections on the refusal direction."""
    spread = ((high.var(0) + low.var(0)) / 2).sqrt().clamp_min(1e-12)
    return (high.mean(0) - low.mean(0)) / spread


def auroc(high: Tensor, low: Tensor) -> Tensor:
    """Probability that a value of `high` [n, ...] exceeds one of `low` [m, ...], ties counted half."""
    above = high[:, None] - low[None]
    return ((above > 0).float() + (above == 0).float() / 2).mean((0, 1))


def band(n_layers: int, depth: Sequence[float]) -> list[int]:
    """The layers between two fractions of the depth, at least one. Raises `PluginError` for a band outside [0, 1]."""
    low, high = depth
    if not 0 <= low < high <= 1:
        raise PluginError(f"depth={list(depth)} must be two growing fractions between 0 and 1")
    first = min(int(low * n_layers), n_layers - 1)
    return list(range(first, max(int(high * n_layers), first + 1)))


def paired_directions(
    model: Model,
    split: CalibrationSplit,
    *,
    drift_class: DriftClass,
    orthogonalise: Orthogonalise,
    refusal_from: RefusalFrom = "each",
    read_tokens: int = 1,
) -> Directions:
    """Fit refusal direction and drift on one split; "balanced" weighs harmful and benign pairs equally.

    States are means over the last `read_tokens` prompt tokens. With `refusal_from` "best" all layers share the unit
    refusal direction of the layer that tells harmful from benign text best, at their own mean distance along it.
    """
    import torch

    def states(prompts: Sequence[Prompt]) -> Tensor:
        return kept_states(model, prompts, "last" if read_tokens == 1 else f"mean_last-{read_tokens}")

    def drift(pairs: Sequence[Pair]) -> Tensor:
        return drift_direction(states([p.text for p in pairs]), states([p.media for p in pairs]))

    harmful, benign = (states(split.text(kind)) for kind in ("harmful", "benign"))  # type: ignore[arg-type]
    refusal = refusal_direction(harmful, benign)
    if refusal_from == "best":
        refusal = _of_best_layer(refusal, harmful, benign)
    kinds: tuple[Kind, ...] = ("harmful", "benign") if drift_class == "balanced" else (drift_class,)
    pairs = {kind: split.pairs(kind) for kind in kinds}
    media = sorted(set.intersection(*({media_of(p.media) for p in found} for found in pairs.values())))
    pooled = torch.stack([drift(found) for found in pairs.values()]).mean(0)
    by_medium = {
        name: torch.stack([drift([p for p in found if media_of(p.media) == name]) for found in pairs.values()]).mean(0)
        for name in media
    }
    middle = (harmful.mean(0) + benign.mean(0)) / 2
    if orthogonalise == "d_perp_r":
        pooled, by_medium = orthogonal(pooled, refusal), {n: orthogonal(d, refusal) for n, d in by_medium.items()}
    elif orthogonalise == "r_perp_d":
        refusal = orthogonal(refusal, pooled)
    text_mean = torch.stack([states([p.text for p in found]).mean(0) for found in pairs.values()]).mean(0)
    return Directions(refusal, pooled, text_mean, middle, by_medium)


def _of_best_layer(refusal: Tensor, harmful: Tensor, benign: Tensor) -> Tensor:
    area, gap = (f(projection(harmful, refusal), projection(benign, refusal)) for f in (auroc, dprime))
    best = max(range(len(refusal)), key=lambda i: (round(float(area[i]), 4), float(gap[i])))
    shared = unit(refusal[best]).expand_as(refusal)
    distance = (projection(harmful, shared).mean(0) - projection(benign, shared).mean(0))[:, None]
    return shared * distance.abs().clamp_min(1e-6)


def paired_drift(model: Model, split: CalibrationSplit, kind: Kind) -> Tensor:
    """Drift [layers, d] over all pairs of one kind."""
    pairs = split.pairs(kind)
    return drift_direction(
        last_token_states(model, [p.text for p in pairs]), last_token_states(model, [p.media for p in pairs])
    )
