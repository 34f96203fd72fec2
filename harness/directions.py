"""Directions in the residual stream and what lies along them. States are float32 of shape [n, layers, d].

The formulas are those of ReGap (arXiv 2605.18104) as far as its public record goes, and of difference of means as in
Arditi et al. (arXiv 2406.11717).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.calibration import CalibrationSplit, Kind
from harness.contracts import Model, PluginError
from harness.states import last_token_states

if TYPE_CHECKING:
    from torch import Tensor

Orthogonalise = Literal["none", "d_perp_r", "r_perp_d"]
DriftClass = Literal["benign", "harmful", "balanced"]


@dataclass(frozen=True)
class Directions:
    """All of shape [layers, d]: refusal direction, drift direction, mean state of the text forms of the pairs, midpoint
    of the harmful and benign text means."""

    refusal: Tensor
    drift: Tensor
    text_mean: Tensor
    midpoint: Tensor


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
    model: Model, split: CalibrationSplit, *, drift_class: DriftClass, orthogonalise: Orthogonalise
) -> Directions:
    """Fit refusal direction and drift on one split, pooled over all media variants; "balanced" weighs harmful and
    benign pairs equally."""
    import torch

    harmful, benign = (last_token_states(model, split.text(kind)) for kind in ("harmful", "benign"))  # type: ignore[arg-type]
    refusal = refusal_direction(harmful, benign)
    kinds: tuple[Kind, ...] = ("harmful", "benign") if drift_class == "balanced" else (drift_class,)
    drift = torch.stack([paired_drift(model, split, kind) for kind in kinds]).mean(0)
    middle = (harmful.mean(0) + benign.mean(0)) / 2
    if orthogonalise == "d_perp_r":
        drift = orthogonal(drift, refusal)
    elif orthogonalise == "r_perp_d":
        refusal = orthogonal(refusal, drift)
    texts = [last_token_states(model, [p.text for p in split.pairs(kind)]).mean(0) for kind in kinds]
    return Directions(refusal, drift, torch.stack(texts).mean(0), middle)


def paired_drift(model: Model, split: CalibrationSplit, kind: Kind) -> Tensor:
    """Drift [layers, d] over all pairs of one kind."""
    pairs = split.pairs(kind)
    return drift_direction(
        last_token_states(model, [p.text for p in pairs]), last_token_states(model, [p.media for p in pairs])
    )
