"""Reading states: one forward pass a batch, pooled over positions, and kept on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contracts import PluginError
from harness.models.hf_prepare import Unprepared
from harness.residual_layers import layers, output_of
from harness.types import Prompt, digest

if TYPE_CHECKING:
    import torch

    from harness.models.hf import HFModel
    from harness.models.hf_batch import Batch

Where = str
"""last; last-<k>: the k-th token before the last; mean_prompt, mean_media, mean_text: the mean over all prompt tokens,
over those that stand for images, video and sound, over the others; mean_last-<k>: over the last k tokens."""
NAMED = ("last", "mean_prompt", "mean_media", "mean_text")
COUNTED = re.compile(r"(last|mean_last)-(\d+)")
EMPTY = {
    "mean_media": "the prompt holds no image, video or sound to read the mean of",
    "mean_text": "the prompt holds no text to read the mean of",
}


def states_of(model: HFModel, prompts: Sequence[Prompt], where: Where) -> list[torch.Tensor | str]:
    """One [layers, d] float32 CPU tensor a prompt, all layers, or a sentence that says why there is none."""
    if where not in NAMED and not COUNTED.fullmatch(where):
        raise PluginError(f"There are no positions {where!r} to read: use {', '.join(NAMED)}, last-2, mean_last-2.")

    def work(batch: Batch) -> list[torch.Tensor | str]:
        return _batch_states(model, batch, where)

    return [r.reason if isinstance(r, Unprepared) else r for r in model.map_batches(prompts, work)]


def cached_states(model: HFModel, prompts: Sequence[Prompt], where: Where, folder: Path) -> list[torch.Tensor | str]:
    """As `states_of`, keeping states in `folder`, one file a prompt. Failures are not kept."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    place = folder / digest([model.fingerprint(), where])
    place.mkdir(parents=True, exist_ok=True)
    found: dict[str, torch.Tensor | str] = {}
    for prompt in prompts:
        try:
            found[prompt.id] = load_file(place / f"{prompt.id}.safetensors")["states"]
        except (FileNotFoundError, SafetensorError, KeyError):
            continue  # absent or half-written: read again
    fresh = list({p.id: p for p in prompts if p.id not in found}.values())
    for prompt, states in zip(fresh, states_of(model, fresh, where), strict=True):
        found[prompt.id] = states
        if not isinstance(states, str):
            partial = place / f"{prompt.id}.{os.getpid()}.partial"
            save_file({"states": states.contiguous()}, partial)
            partial.replace(place / f"{prompt.id}.safetensors")
    return [found[p.id] for p in prompts]


def _batch_states(model: HFModel, batch: Batch, where: Where) -> list[torch.Tensor | str]:
    import torch

    weights = _weights(batch, where)
    pooled: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            states = output_of(output)
            # Not einsum over all columns for "last": 0 * inf in a padding column would spoil the row.
            picked = states[:, -1] if where == "last" else _mean(states, weights)
            pooled[number] = picked.detach().float().cpu()

        return hook

    handles = [m.register_forward_hook(keep(i)) for i, m in enumerate(layers(model))]
    try:
        model.prefill(batch, whole=where != "last")
    finally:
        for handle in handles:
            handle.remove()
    for i in range(1, len(handles)):
        # A layer skipped here (cross-attention without a picture): the stream passes it unchanged.
        pooled.setdefault(i, pooled[i - 1])
    states = torch.stack([pooled[i] for i in range(len(handles))], dim=1)
    empty = EMPTY.get(where, f"the prompt is too short to read {where} of")
    return [s if w.any() else empty for s, w in zip(states, weights, strict=True)]


def _weights(batch: Batch, where: Where) -> torch.Tensor:
    """[rows, width] bool: the columns to pool."""
    import torch

    column = torch.arange(batch.width)[None]
    inside = column >= batch.width - torch.tensor(batch.lengths)[:, None]
    if where == "mean_media":
        return batch.media
    if where == "mean_text":
        return inside & ~batch.media
    if counted := COUNTED.fullmatch(where):
        count = int(counted[2])
        if counted[1] == "last":
            return inside & (column == batch.width - 1 - count)
        # All of them or none: the mean of fewer would be that of other tokens.
        return inside & (column >= batch.width - count) & (torch.tensor(batch.lengths)[:, None] >= count)
    return inside


def _mean(states: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    mask = chosen.to(states.device)[..., None]
    return states.float().masked_fill(~mask, 0).sum(1) / mask.sum(1).clamp(min=1)
