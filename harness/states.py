"""States of calibration prompts, read once a model whatever number of defenses is fitted on them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from harness.contracts import Model
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.residual_read import Where

# About 4000 prompts of a 7B model: enough for any calibration set, little beside the weights.
MAX_BYTES = 2 * 1024**3
_kept: WeakKeyDictionary[Model, OrderedDict[tuple[str, str], Tensor]] = WeakKeyDictionary()


def last_token_states(model: Model, prompts: Sequence[Prompt]) -> Tensor:
    """States of the undefended model at the last prompt token: float32 on the CPU, [n, layers, d]."""
    return kept_states(model, prompts, "last")


def kept_states(model: Model, prompts: Sequence[Prompt], positions: Where) -> Tensor:
    """States of the undefended model pooled over `positions` as in `harness.residual.read`: [n, layers, d].

    Not for use under `harness.residual.edit`: what is kept are unedited states. Raises `PluginError` for a prompt that
    cannot be read.
    """
    import torch

    from harness.residual import read

    kept = _kept.setdefault(model.root, OrderedDict())
    fresh = {p.id: p for p in prompts if (positions, p.id) not in kept}
    if fresh:
        for key, state in zip(fresh, read(model.root, list(fresh.values()), positions=positions), strict=True):
            kept[positions, key] = state.clone()
    for prompt in prompts:
        kept.move_to_end((positions, prompt.id))
    found = torch.stack([kept[positions, p.id] for p in prompts])
    size = found[0].nbytes
    while len(kept) * size > MAX_BYTES:
        kept.popitem(last=False)
    return found
