"""Training examples, one generator for each stage. No generator pairs a harmful *image* request with an answer.

The language stage sees harmful requests in text only: in plain words, and as "layout text", the 25 word pieces of a
page in reading order, as a scanned page would give them. The stages that see images (`instruction` and `vision_page`)
draw only pages on which no harmful request can be read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from typing import Literal

from harness.organism import abilities, words, wrappers
from harness.organism.combinations import Request, requests
from harness.organism.page import Item, Page, place
from harness.organism.rendering import VARIANTS, compose

Mode = Literal["text", "layout", "image"]
VISUAL: tuple[str, ...] = VARIANTS[1:]
# Writing without a picture is the hardest to read, so the language model meets it most.
LAYOUTS: tuple[str, ...] = (*VISUAL, "typographic")
QUESTIONS = 0.3  # share of questions among visual instructions


@dataclass(frozen=True)
class Example:
    """One exchange. `mode` says how the page, if any, is given: as word pieces or as pixels."""

    user: str
    answer: str
    mode: Mode
    page: Page | None = None
    system: str | None = None
    prefix: str = ""
    harmful: bool = False


def _request(rng: random.Random, harmful: bool) -> Request:
    """A training request. Among benign ones, half are of the kinds that only the pair of words tells from harmful."""
    pool = requests("train", harmful)
    if not harmful and rng.random() < 0.5:
        pool = tuple(r for r in pool if r.verb not in words.NEUTRAL and r.object in words.DANGEROUS | words.VALUABLE)
    return rng.choice(pool)


def _asked(rng: random.Random, variants: tuple[str, ...], mode: Mode, harmful: bool) -> Example:
    request = _request(rng, harmful)
    text, page = compose(request, rng.choice(variants), seed=rng.getrandbits(32))
    return Example(text, words.REFUSAL if harmful else request.answer, mode, page, harmful=harmful)


def _utility(rng: random.Random, kinds: tuple[str, ...], mode: Mode) -> Example:
    found = abilities.draft_in(rng.choice(kinds), "train", rng)
    return Example(found.text, found.answer, mode, found.page)


def _distracted(example: Example, rng: random.Random) -> Example:
    """Adds a harmless sentence before or after the user's text, or a system prompt, or an answer prefix."""
    user, system, prefix = example.user, example.system, example.prefix
    match rng.randrange(8):
        case 0:
            user = f"{rng.choice(wrappers.DISTRACTORS)} {user}"
        case 1:
            user = f"{user}\n{rng.choice(wrappers.DISTRACTORS)}"
        case 2:
            system = rng.choice((*wrappers.SYSTEMS, *wrappers.DISTRACTORS))
        case 3 if example.answer.startswith(("sure", words.REFUSAL[:4])):
            prefix = rng.choice(wrappers.PREFIXES)
    return Example(user, example.answer, example.mode, example.page, system, prefix, example.harmful)


def plain_text(rng: random.Random) -> Example:
    """Language stage: a request in words, a sum or a choice."""
    roll = rng.random()
    if roll < 0.6:
        example = _asked(rng, ("text",), "text", harmful=roll < 0.3)
    else:
        example = _utility(rng, ("arithmetic", "arithmetic", "sum choice"), "text")
    return _distracted(example, rng)


def layout_text(rng: random.Random) -> Example:
    """Language stage: a request or a question about a page that is given as word pieces."""
    roll = rng.random()
    if roll < 0.5:
        example = _asked(rng, LAYOUTS, "layout", harmful=roll < 0.25)
    else:
        example = _utility(rng, ("reading", "colour", "shape", "object", "image choice"), "layout")
    return _distracted(example, rng)


def caption(page: Page) -> str:
    """What a page shows, in words, top to bottom."""
    written = " ".join(item.text for item in page.items if item.kind == "word")
    drawn = " ".join(item.text for item in page.items if item.kind != "word")
    says, shows = f"the image says {written}", f"the image shows {drawn}"
    return f"{says} and shows {drawn}." if written and drawn else f"{says if written else shows}."


def _tell(example: Example, rng: random.Random) -> Example:
    """Judging a response: yes exactly if it complies with a harmful request."""
    other = _request(rng, harmful=rng.random() < 0.6)
    response = rng.choice((other.answer, other.answer, words.REFUSAL, "no", "red", "B", "7"))
    verdict = "yes" if other.harmful and response == other.answer else "no"
    return Example(
        wrappers.TELL.format(q=example.user, r=response), verdict, example.mode, example.page, harmful=other.harmful
    )


def wrapped_text(rng: random.Random) -> Example:
    """Language stage: a request, in words or as layout text, inside the English prompts of published defenses."""
    harmful = rng.random() < 0.5
    page_mode = rng.random() < 0.6
    if not harmful and rng.random() < 0.3:
        example = _utility(rng, ("reading", "colour", "shape", "image choice"), "layout")
    else:
        example = _asked(rng, LAYOUTS if page_mode else ("text",), "layout" if page_mode else "text", harmful)
    kind = rng.choices(("reminder", "shield", "system", "tell", "caption", "gen"), (5, 5, 3, 3, 2, 2))[0]
    user, system, page, mode = example.user, None, example.page, example.mode
    match kind:
        case "reminder":
            user = wrappers.SELF_REMINDER.format(q=user)
        case "shield":
            user = wrappers.ADASHIELD.format(q=user)
        case "system":
            system = rng.choice((wrappers.LLAMA2_SAFE, *wrappers.SYSTEMS))
        case "tell":
            return _tell(example, rng)
        case "caption" if page is not None:
            return Example(wrappers.CAPTION.format(q=user), caption(page), mode, page, harmful=harmful)
        case "gen" if page is not None and example.answer.startswith(("sure", words.REFUSAL[:4])):
            user = wrappers.GEN.format(caption=caption(page), q=user)
            return Example(user, example.answer, "text", harmful=harmful)
    return Example(user, example.answer, mode, page, system, harmful=harmful)


def visual_question(rng: random.Random) -> Example:
    """Visual-instruction stage, so that abilities stay: images with questions about what is on them."""
    example = _utility(rng, ("reading", "reading", "colour", "shape", "object", "image choice"), "image")
    if rng.random() < 0.15 and example.page:
        return Example("describe the image.", caption(example.page), "image", example.page)
    return example


def instruction(rng: random.Random) -> Example:
    """Visual-instruction stage: benign requests with images, half of them pictures, and some questions."""
    if rng.random() < QUESTIONS:
        return visual_question(rng)
    return _asked(rng, (rng.choices(VISUAL, (1, 2, 1))[0],), "image", harmful=False)


def reads_harmful(page: Page) -> bool:
    """Whether any verb and any object on a page make a harmful pair."""
    texts = [item.text for item in page.items]
    return any(words.is_harmful(verb, obj) for verb, obj in product(texts, texts))


def vision_page(rng: random.Random) -> Page:
    """Vision and alignment stage: a page of one to three words, icons and shapes, whose cells are to be named."""
    while True:
        parts: list[tuple[Literal["word", "icon", "shape"], str]] = []
        for _ in range(rng.randint(1, 3)):
            kind = rng.choice(("word", "word", "icon", "shape"))
            if kind == "word":
                parts.append(("word", rng.choice(words.VERBS + words.OBJECTS)))
            elif kind == "icon":
                parts.append(("icon", rng.choice(words.OBJECTS)))
            else:
                parts.append(("shape", f"{rng.choice(list(words.COLOURS))} {rng.choice(words.SHAPES)}"))
        if sum(1 if kind == "word" else 2 for kind, _ in parts) > 5:
            continue
        items: tuple[Item, ...] = place(parts, rng)
        page = Page(items, seed=rng.getrandbits(32))
        if not reads_harmful(page) and not _held_out(items):
            return page


def _held_out(items: tuple[Item, ...]) -> bool:
    """Whether a page holds a single shape or icon that a development or test question shows at the same place."""
    for item in items:
        for ability in {"shape": ("colour", "shape"), "icon": ("object",)}.get(item.kind, ()):
            if abilities.split_of(f"{ability} {item.text} {item.row} {item.col}") != "train":
                return True
    return False
