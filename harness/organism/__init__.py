"""The organism: an embedded model, small enough to ship, that really has the multimodal safety gap.

Light on purpose: importing this package does not import torch.
"""

from __future__ import annotations

from pathlib import Path

from harness.organism.world import (
    ABILITIES,
    REFUSAL,
    SPLITS,
    VARIANTS,
    Question,
    Request,
    phrasings,
    questions,
    render,
    requests,
)

__all__ = [
    "ABILITIES",
    "REFUSAL",
    "SPLITS",
    "VARIANTS",
    "Question",
    "Request",
    "path",
    "phrasings",
    "questions",
    "render",
    "requests",
]


def path() -> Path:
    """The folder of the shipped model, for `AutoModelForImageTextToText` and `AutoProcessor`."""
    return Path(__file__).parent / "weights"
