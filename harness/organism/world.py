"""The micro-world in one import: requests, how they are rendered, and utility questions. No torch here."""

from __future__ import annotations

from harness.organism.abilities import ABILITIES, Question, questions
from harness.organism.combinations import SPLITS, Request, requests
from harness.organism.phrasing import phrasings
from harness.organism.rendering import VARIANTS, render
from harness.organism.words import REFUSAL, is_harmful

__all__ = [
    "ABILITIES",
    "REFUSAL",
    "SPLITS",
    "VARIANTS",
    "Question",
    "Request",
    "is_harmful",
    "phrasings",
    "questions",
    "render",
    "requests",
]
