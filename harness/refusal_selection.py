"""Choosing a refusal direction as Arditi et al. do: by what it does to the first token of the answer.

Facts: arXiv 2406.11717; andyrdt/refusal_direction pipeline/submodules/select_direction.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.contracts import Model, PluginError
from harness.directions import refusal_direction, unit
from harness.logit_lens import first_tokens
from harness.states import kept_states
from harness.steering import on
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

REFUSAL_WORDS = ("I", "As")
"""What refusals begin with ("I cannot", "As an AI"): the source's refusal tokens of Qwen; its other models have "I"."""
DEEPEST = 0.8
"""Candidates lie in this share of the depth: later layers act on words, not on meaning."""
MOST_OFFSETS = 8


@dataclass(frozen=True)
class Candidate:
    """A direction [d] read `offset` tokens before the last prompt token at the output of `layer`, and what it does.

    `bypass`: mean refusal score of harmful prompts with the direction ablated everywhere; `induce`: of benign prompts
    with the direction added at its layer; `kl`: mean KL divergence of the first token of benign prompts under ablation.
    """

    offset: int
    layer: int
    direction: Tensor
    bypass: float
    induce: float
    kl: float


def candidates(
    model: Model, harmful: Sequence[Prompt], benign: Sequence[Prompt], held_out: tuple[list[Prompt], list[Prompt]]
) -> list[Candidate]:
    """One for each token after the instruction and each layer but the last fifth; `held_out` are harmful and benign
    prompts to score them on."""
    import torch

    from harness.residual import root

    target, tokens = root(model), refusal_tokens(model)
    bad, good = held_out
    plain = target.logits(good)
    found = []
    for offset in range(tail_length(model, [*harmful, *benign])):
        where = f"last-{offset}" if offset else "last"
        directions = refusal_direction(kept_states(model, harmful, where), kept_states(model, benign, where))
        for layer in range(max(int(DEEPEST * len(directions)), 1)):
            direction = directions[layer]
            with _everywhere(model, _ablated(direction), range(len(directions))):
                bypass, ablated = refusal_score(target.logits(bad), tokens), target.logits(good)
            with _everywhere(model, _added(direction), [layer]):
                induce = refusal_score(target.logits(good), tokens)
            kl = torch.nn.functional.kl_div(
                ablated.double().log_softmax(-1), plain.double().log_softmax(-1), log_target=True, reduction="batchmean"
            )
            found.append(Candidate(offset, layer, direction, float(bypass.mean()), float(induce.mean()), float(kl)))
    return found


def by_bypass(found: Sequence[Candidate], min_induce: float, max_kl: float) -> Candidate:
    """The source's choice: the least refusal after ablation among the candidates that induce refusal (score of at least
    `min_induce`) and leave benign answers alone (KL of at most `max_kl`). Raises `PluginError` when there is none."""
    allowed = [c for c in found if c.induce >= min_induce and c.kl <= max_kl]
    if not allowed:
        raise PluginError(
            f"none of {len(found)} refusal directions has both an induced score of at least min_induce={min_induce} "
            f"(highest: {max(c.induce for c in found):.2f}) and a KL divergence of at most max_kl={max_kl} (lowest: "
            f"{min(c.kl for c in found):.2f}): relax them, or set select=induce"
        )
    return min(allowed, key=lambda c: c.bypass)


def by_induction(found: Sequence[Candidate]) -> Candidate:
    """For a defense: the candidate that makes the model refuse most."""
    return max(found, key=lambda c: c.induce)


def refusal_score(logits: Tensor, tokens: Sequence[int]) -> Tensor:
    """log p - log(1 - p) [n], p the probability that the answer begins with a refusal token, of logits [n, vocab]."""
    import torch

    logs = logits.double().log_softmax(-1)
    others = torch.ones(logits.shape[-1], dtype=torch.bool)
    others[list(tokens)] = False
    return logs[:, list(tokens)].logsumexp(-1) - logs[:, others].logsumexp(-1)


def refusal_tokens(model: Model) -> list[int]:
    """Ids of what `REFUSAL_WORDS` begin with, after a blank too. Raises `PluginError` when the vocabulary has none."""
    if tokens := first_tokens(model, REFUSAL_WORDS, spaced=True):
        return tokens
    raise PluginError(f"{model.name} has no token for {' or '.join(REFUSAL_WORDS)}, by which refusals are told")


def tail_length(model: Model, prompts: Sequence[Prompt]) -> int:
    """Number of tokens after the instruction: those that all prompts end with, at least 1, at most `MOST_OFFSETS`."""
    from harness.models.hf_prepare import Prepared
    from harness.residual import root

    # Probes keep a letter or full stop that all instructions happen to end with out of the count.
    made = root(model).prepare([Prompt.user("a"), Prompt.user("1 ?"), *prompts])
    rows = [row.inputs["input_ids"][0].tolist()[::-1] for row in made if isinstance(row, Prepared)]
    shared = next((i for i, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1), MOST_OFFSETS)
    return min(max(shared, 1), MOST_OFFSETS)


def _everywhere(model: Model, change: Any, layers: Sequence[int]) -> Any:
    from harness.residual import edit

    return edit(model.root, list(layers), change, positions="all", phase="both")


def _ablated(direction: Tensor) -> Any:
    axis = unit(direction)

    def change(states: Tensor, site: Any) -> Tensor:
        r = on(axis, states)
        return (states.float() - (states.float() @ r)[:, None] * r).to(states.dtype)

    return change


def _added(direction: Tensor) -> Any:
    return lambda states, site: (states.float() + on(direction, states)).to(states.dtype)
