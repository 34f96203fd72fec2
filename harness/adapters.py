"""Small networks that read a steering strength off a state, one a layer, and their training (arXiv 2602.10161).

All of them are trained at once: the loss is a sum over layers and each layer sees its own states alone, so that this is
the same as training them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.directions import unit

if TYPE_CHECKING:
    from torch import Tensor


class Adapters(NamedTuple):
    """k = up ReLU(down h + down_bias) + up_bias; shapes [L, b, d], [L, b], [L, b], [L]."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor


@dataclass(frozen=True)
class Recipe:
    """Training: the hinges' margins `a` and `b` in units of R, the L1 weights, and how AdamW runs.

    `steps` ends training early (None: never); `balance` repeats prompts of the rarer kind until both are as many.
    """

    a: float = 0.3
    b: float = 0.5
    l1_harmful: float = 0.01
    l1_safe: float = 0.05
    lr: float = 1e-3
    batch: int = 4
    epochs: int = 3
    steps: int | None = 300
    balance: bool = True
    seed: int = 0


def fresh(layers: int, width: int, bottleneck: int, seed: int) -> Adapters:
    """Adapters whose strength is 0 for every state, because `up` and `up_bias` are.

    `down` is drawn as torch draws a linear layer, uniform within 1/sqrt(width), and the same for each layer, so that
    an adapter does not depend on how many others are trained.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.rand(bottleneck, width + 1, generator=generator) * 2 - 1) * width**-0.5
    down, bias = drawn[:, :width].repeat(layers, 1, 1), drawn[:, width].repeat(layers, 1)
    return Adapters(down, bias, torch.zeros(layers, bottleneck), torch.zeros(layers))


def strengths(adapters: Adapters, states: Tensor) -> Tensor:
    """k [n, L] of states [n, L, d], in float32."""
    import torch

    hidden = torch.einsum("nld,lbd->nlb", states.float(), adapters.down) + adapters.down_bias
    return torch.einsum("nlb,lb->nl", hidden.relu(), adapters.up) + adapters.up_bias


def loss(k: Tensor, plain: Tensor, radius: Tensor, harmful: Tensor, recipe: Recipe) -> Tensor:
    """Summed over layers, mean over harmful plus mean over safe rows, with p = plain + k the steered projection:

    harmful  ReLU(a R - p)/R + l1_harmful |k|        safe  ReLU(p + b R)/R + l1_safe |k|

    k, plain [n, L]; radius R [L]; harmful [n] bool. A batch of one kind alone has that kind's term alone.
    """
    steered = plain + k
    pushed = (recipe.a * radius - steered).relu() / radius + recipe.l1_harmful * k.abs()
    pulled = (steered + recipe.b * radius).relu() / radius + recipe.l1_safe * k.abs()
    parts = [term[chosen].mean(0).sum() for term, chosen in ((pushed, harmful), (pulled, ~harmful)) if chosen.any()]
    return sum(parts[1:], parts[0])


def trained(
    harmful: Tensor, safe: Tensor, golden: Tensor, bottleneck: int, recipe: Recipe, what: str = "training adapters"
) -> Adapters:
    """Adapters for `golden` [L, d] from states [n, L, d] of harmful and of safe prompts; the same for the same input.

    `what` names the work where progress is shown.
    """
    import torch

    from harness.progress import steps

    states = torch.cat([harmful, safe]).float()
    is_harmful = torch.arange(len(states)) < len(harmful)
    plain, radius = (states * unit(golden)).sum(-1), golden.norm(dim=-1)
    layers, width = golden.shape
    adapters = Adapters(*(w.requires_grad_() for w in fresh(layers, width, bottleneck, recipe.seed)))
    optimiser = torch.optim.AdamW(list(adapters), lr=recipe.lr)
    with torch.enable_grad():
        for chosen in steps(batches(len(harmful), len(safe), recipe), what):
            optimiser.zero_grad()
            loss(strengths(adapters, states[chosen]), plain[chosen], radius, is_harmful[chosen], recipe).backward()
            optimiser.step()
    return Adapters(*(w.detach() for w in adapters))


def batches(harmful: int, safe: int, recipe: Recipe) -> list[Tensor]:
    """Indices of the rows of each step: harmful rows come first, then safe ones; shuffled anew in each epoch."""
    import torch

    rows = torch.arange(harmful + safe)
    if recipe.balance:
        most = max(harmful, safe)
        rows = torch.cat([torch.arange(most) % harmful, harmful + torch.arange(most) % safe])
    generator = torch.Generator().manual_seed(recipe.seed)
    made: list[Tensor] = []
    for _ in range(recipe.epochs):
        made += rows[torch.randperm(len(rows), generator=generator)].split(recipe.batch)
    return made[: recipe.steps]
