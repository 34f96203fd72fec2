"""Preparing prompts of one shape in one call of the processor, whose fixed cost exceeds that of a small prompt.

A processor may do to several prompts what it does not do to one (pad pictures, reorder patches), so what comes out is
split by structure and believed only after the shortest and the longest prompt of a shape were also prepared alone and
came out the same, to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.types import Image, Prompt, Text

if TYPE_CHECKING:
    import torch

Inputs = dict[str, "torch.Tensor"]


def shape(prompt: Prompt) -> tuple[object, ...] | None:
    """Prompts of equal shapes may be prepared together; None for prompts that are prepared alone (video, sound)."""
    parts: list[object] = []
    for message in prompt.messages:
        for part in message.parts:
            if isinstance(part, Text):
                parts.append((message.role, "text"))
            elif isinstance(part, Image):
                parts.append((message.role, part.size, part.mime))
            else:
                return None
    return (prompt.prefix is not None, *parts)


def rows_of(together: Inputs, n: int, media_names: tuple[str, ...]) -> list[Inputs] | None:
    """The inputs of each of `n` prompts, without padding, as if prepared alone; None where they can't be told apart.

    Inputs with one entry a token are [n, width, ...], padded on the left; others have the same share of dimension 0 for
    each prompt, because the prompts have one shape.
    """
    mask = together.get("attention_mask")
    if mask is None or mask.ndim != 2 or len(mask) != n:
        return None
    lengths = mask.sum(1).tolist()
    if any(bool((row[-length:] == 0).any()) for row, length in zip(mask, lengths, strict=True)):
        return None
    found: list[Inputs] = [{} for _ in range(n)]
    for name, value in together.items():
        a_token = tuple(value.shape[:2]) == tuple(mask.shape) and not name.startswith(media_names)
        if not a_token and len(value) % n:
            return None
        share = len(value) // n
        for i, row in enumerate(found):
            part = value[i : i + 1, -lengths[i] :] if a_token else value[i * share : (i + 1) * share]
            row[name] = part.clone()  # a view would keep the whole batch in the cache
    return found


def same(a: Inputs, b: Inputs) -> bool:
    import torch

    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)
