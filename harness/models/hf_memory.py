"""When memory runs out."""

from __future__ import annotations

OTHER_WORDS = ("out of memory", "can't allocate memory")
"""How backends without an exception class of their own (CPU, MPS, older drivers) say it."""


def out_of_memory(error: BaseException) -> bool:
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in OTHER_WORDS)


def free_unused() -> None:
    """Give cached but unused accelerator memory back."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
