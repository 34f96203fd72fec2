"""Directions and conditions from pairs of opposites, as CAST takes them (arXiv 2409.05907; IBM/activation-steering)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.contracts import Model, PluginError
from harness.directions import unit
from harness.states import kept_states
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor


def pca_pairwise(positive: Tensor, negative: Tensor) -> Tensor:
    """First principal component [layers, d], of length 1, of paired states [n, layers, d] about the middles of their
    pairs, pointing from negative to positive."""
    import torch

    # About its middle a pair is plus and minus half its difference, so the mean is zero already.
    differences = (positive - negative).double().transpose(0, 1) / 2
    axis = torch.linalg.svd(differences, full_matrices=False).Vh[:, 0]
    side = torch.einsum("lnd,ld->l", differences, axis)
    return (axis * torch.where(side < 0, -1.0, 1.0)[:, None]).float()


def separation(positive: Tensor, negative: Tensor, axis: Tensor) -> Tensor:
    """Mean difference [layers] of paired states along a unit `axis` [layers, d]."""
    return ((positive - negative).mean(0) * axis).sum(-1)


def suffix_states(model: Model, questions: Sequence[Prompt], suffixes: Sequence[str]) -> Tensor:
    """Mean state [n, layers, d] over the tokens of the answer opening that each question gets, in turn."""
    import torch

    from harness.residual import root

    tokenizer = root(model).tokenizer
    rows: dict[int, Tensor] = {}
    for turn, suffix in enumerate(suffixes[: len(questions)]):
        mine = range(turn, len(questions), len(suffixes))
        count = len(tokenizer(suffix, add_special_tokens=False)["input_ids"])
        if not count:
            raise PluginError(f"{suffix!r} is no opening of an answer: it has no tokens")
        found = kept_states(model, [questions[i].with_prefix(suffix) for i in mine], f"mean_last-{count}")
        rows.update(zip(mine, found, strict=True))
    return torch.stack([rows[i] for i in range(len(questions))])


def condition_score(states: Tensor, axis: Tensor) -> Tensor:
    """cos(h, tanh(c c^T h / c^T c)) [n] of states h [n, d] for the axis c [d]."""
    import torch

    states = states.float()
    share = (states @ axis) / axis.square().sum().clamp_min(1e-12)
    return (unit(states) * unit(torch.tanh(share[:, None] * axis))).sum(-1)


def best_rule(
    harmful: Tensor, benign: Tensor, *, threshold: float | None = None, when: str | None = None
) -> tuple[float, float, str]:
    """F1, threshold and side ("above" or "below" it is harmful) that tell harmful from benign scores best, among those
    not given. Thresholds are tried in the middle of all gaps between the scores, and at either end."""
    import torch

    values = torch.cat([harmful, benign]).double().unique()
    ends = torch.stack([values[0] - 1e-3, values[-1] + 1e-3])
    tried = torch.cat([(values[1:] + values[:-1]) / 2, ends]) if threshold is None else torch.tensor([float(threshold)])
    found = []
    for side in ("above", "below") if when is None else (when,):
        hits, alarms = (
            ((s.double() > tried[:, None]) if side == "above" else (s.double() < tried[:, None])).sum(1).double()
            for s in (harmful, benign)
        )
        f1 = 2 * hits / (hits + alarms + len(harmful))
        best = int(f1.argmax())
        found.append((float(f1[best]), float(tried[best]), side))
    return max(found, key=lambda rule: rule[0])
