"""Renders a request as a prompt: in text, as typography, as a picture, or as both in one image."""

from __future__ import annotations

import random

from PIL import Image

from harness.organism.combinations import Request
from harness.organism.page import Kind, Page, place
from harness.organism.phrasing import phrasings

VARIANTS: tuple[str, ...] = ("text", "typographic", "picture", "picture_typographic")


def page_of(request: Request, variant: str, rng: random.Random) -> Page | None:
    """The page that a variant shows, or None for text."""
    word_v: tuple[Kind, str] = ("word", request.verb)
    word_o: tuple[Kind, str] = ("word", request.object)
    icon: tuple[Kind, str] = ("icon", request.object)
    match variant:
        case "text":
            return None
        case "typographic":
            parts = [word_v, word_o]
        case "picture":
            parts = [icon]
        case "picture_typographic":
            parts = [icon, word_v, word_o] if rng.random() < 0.5 else [word_v, word_o, icon]
        case _:
            raise ValueError(f"no variant {variant!r}: choose one of {', '.join(VARIANTS)}")
    return Page(place(parts, rng), seed=rng.getrandbits(32))


def compose(request: Request, variant: str, *, seed: int = 0, phrasing: int | None = None) -> tuple[str, Page | None]:
    """The user's text and the page that belongs to it; `render` with the image still undrawn."""
    # Seeding with a string is stable between runs and machines (unlike Python's hash).
    rng = random.Random(f"{request.name}/{variant}/{seed}")
    page = page_of(request, variant, rng)
    choices = phrasings(variant, request.split)
    template = rng.choice(choices) if phrasing is None else choices[phrasing % len(choices)]
    return template.format(v=request.verb, o=request.object), page


def render(
    request: Request, variant: str, *, seed: int = 0, phrasing: int | None = None
) -> tuple[str, Image.Image | None]:
    """The user's text and the image of one variant; the image goes before the text. Deterministic in its arguments."""
    text, page = compose(request, variant, seed=seed, phrasing=phrasing)
    return text, page.draw() if page else None
