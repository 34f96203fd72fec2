"""Drift correction whose strength follows what the model, once corrected, says of the input; for the model card.

A trial correction lets later layers recover harm; the refusal projection read there decides, by a ramp between benign
and harmful prompts of dev, how strongly the answer is corrected. This is the idea of ReGap (arXiv 2605.18104) in its
plainest form and no re-implementation of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.organism.states import added, last_states

if TYPE_CHECKING:
    from harness.organism.drift import Bench, Directions

TRIALS: tuple[float, ...] = (1.0, 2.0)
# The ramp begins at this quantile of benign prompts and is full at the median of harmful ones.
QUANTILES: tuple[float, ...] = (0.95, 0.85)
MOST: tuple[float, ...] = (1.0, 1.5, 2.5, 4.0)

Cells = dict[tuple[bool, str], Tensor]  # of (harmful, variant): one number a prompt


@dataclass(frozen=True)
class Ramp:
    """Strength 0 up to `low`, `most` from `low + width` on, and straight in between."""

    low: float
    width: float
    most: float

    def __call__(self, signals: Tensor) -> Tensor:
        return ((signals - self.low) / self.width).clamp(0, 1) * self.most


def signals(bench: Bench, found: Directions, vectors: Tensor, layers: tuple[int, ...], trial: float) -> Cells:
    """The refusal projection after a trial correction, averaged over the layers behind the corrected ones.

    0 is midway between benign and harmful text, and 1 the distance between them.
    """
    later = slice(max(layers) + 1, None)
    refusal, midpoint = found.refusal[later], found.midpoint[later]
    read: Cells = {}
    with added(bench.model, {i: vectors[i] * trial for i in layers}):
        for key, inputs in bench.inputs.items():
            along = ((last_states(bench.model, inputs)[:, later] - midpoint) * refusal).sum(-1)
            read[key] = (along / refusal.square().sum(-1)).mean(-1)
    return read


def ramps(read: Cells) -> list[Ramp]:
    """What is tried on dev."""
    harmful, benign = (torch.cat([s for (kind, _), s in read.items() if kind == wanted]) for wanted in (True, False))
    lows = [float(benign.quantile(q)) for q in QUANTILES]
    top = float(harmful.median())
    return [Ramp(low, max(top - low, 1e-2), most) for low, most in product(lows, MOST)]


def adaptive_row(
    dev: Bench, test: Bench, found: Directions, vectors: Tensor, layer_sets: tuple[tuple[int, ...], ...], cap: float
) -> dict[str, Any]:
    """Layers, trial and ramp with the least ASR at no more than `cap` over-refusal on dev; figures of test."""
    tried = []
    for layers, trial in product(layer_sets, TRIALS):
        read = signals(dev, found, vectors, layers, trial)
        tried += [(dev.rates(vectors, layers, _doses(ramp, read)), layers, trial, ramp) for ramp in ramps(read)]
    allowed = [t for t in tried if t[0]["over_refusal"] <= cap] or [min(tried, key=lambda t: t[0]["over_refusal"])]
    _, layers, trial, ramp = min(allowed, key=lambda t: t[0]["asr"])
    rates = test.rates(vectors, layers, _doses(ramp, signals(test, found, vectors, layers, trial)))
    return {"layers": list(layers), "strength": ramp.most, "trial": trial} | rates


def _doses(ramp: Ramp, read: Cells) -> Cells:
    return {key: ramp(s) for key, s in read.items()}
