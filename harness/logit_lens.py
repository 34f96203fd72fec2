"""What a state in the middle of the decoder would say if it were the last one: `lm_head(norm(h))`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.contracts import Model, PluginError

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 256
"""States at a time: their logits over a vocabulary of 250 000 take 256 MB."""


def logits_of(model: Model, states: Tensor) -> Tensor:
    """Logits [n, vocab], float32 on the CPU, of states [n, d] of any layer, before any capping or scaling of the
    model's own. Raises `PluginError` when final norm and head cannot be told."""
    import torch

    norm, head = final_norm(model), output_head(model)
    weight = head.weight
    with torch.no_grad():
        found = [head(norm(part.to(weight.device, weight.dtype))).float().cpu() for part in states.split(ROWS)]
    return torch.cat(found) if found else torch.empty(0, len(weight))


def output_head(model: Model) -> Any:
    """The module that turns the last state into logits. Raises `PluginError` when there is none."""
    from harness.residual import root

    target = root(model)
    head = target.module.get_output_embeddings()
    if head is None:
        raise PluginError(f"{target.name} has no output head that can be told from its other modules.")
    return head


def final_norm(model: Model) -> Any:
    """The norm between the last decoder layer and the head, by structure: beside the list of decoder layers lie the
    embeddings, which come before it, and one norm, registered last, with a weight of the width of the stream."""
    from harness.residual import hidden_size, layers, root

    target = root(model)
    first, width = layers(target)[0], hidden_size(target)
    for module in target.module.modules():
        if any(next(iter(child.children()), None) is first for child in module.children()):
            if norms := [child for child in module.children() if _is_norm(child, width)]:
                return norms[-1]
            break
    raise PluginError(f"The final norm of {target.name} cannot be told: no norm lies beside its decoder layers.")


def first_tokens(model: Model, words: Iterable[str], *, spaced: bool = False) -> list[int]:
    """Ids of the first sub-token of each word (with `spaced`, also of the word after a blank), without repetition and
    without those that say nothing: unknown, special or blank tokens."""
    from harness.residual import root

    tokenizer = root(model).tokenizer
    special = set(tokenizer.all_special_ids)
    found: dict[int, None] = {}
    for word in words:
        for text in (word, f" {word}") if spaced else (word,):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            said = [i for i in ids if i not in special and tokenizer.decode([i]).strip()]
            found.update(dict.fromkeys(said[:1]))
    return list(found)


def _is_norm(module: Any, width: int) -> bool:
    weight = getattr(module, "weight", None)
    return weight is not None and tuple(weight.shape) == (width,) and not list(module.children())
