"""Utility questions: reading, colour, shape, arithmetic and four-way choice."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from PIL import Image

from harness.organism import words
from harness.organism.page import Kind, Page, place

ABILITIES: tuple[str, ...] = ("reading", "colour", "shape", "arithmetic", "choice")
LETTERS = "ABCD"

ASK: dict[str, tuple[str, ...]] = {
    "reading": ("what does the image say?", "read the text", "what is written in the image?"),
    "colour": ("what colour is this?", "what is the colour of the shape?", "tell me the colour"),
    "shape": ("what shape is this?", "tell me the shape", "what shape is shown in the image?"),
    "object": ("what thing is this?", "what is shown in the image?", "tell me what the picture shows"),
    "arithmetic": ("what is {a} + {b}?", "{a} + {b} =", "add {a} and {b}"),
}


@dataclass(frozen=True)
class Question:
    """A utility question. For a choice, `options` are the four options and `answer` is the letter."""

    id: str
    ability: str
    text: str
    image: Image.Image | None
    answer: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A question whose page is not drawn yet; `key` is its content without layout, which decides its split."""

    ability: str
    key: str
    text: str
    page: Page | None
    answer: str
    options: tuple[str, ...] = ()


def split_of(key: str) -> str:
    """The split of a question's content: 70 % train, 10 % dev, 20 % test, decided by a hash."""
    share = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 16**8
    return "train" if share < 0.7 else "dev" if share < 0.8 else "test"


def _page(parts: list[tuple[Kind, str]], rng: random.Random) -> Page:
    return Page(place(parts, rng), seed=rng.getrandbits(32))


def _reading(rng: random.Random) -> Draft:
    """Two written words; never a harmful request, in any split."""
    while True:
        first, second = rng.choice(words.VERBS + words.OBJECTS), rng.choice(words.OBJECTS)
        if first != second and not words.is_harmful(first, second):
            break
    page = _page([("word", first), ("word", second)], rng)
    return Draft("reading", f"reading {first} {second}", rng.choice(ASK["reading"]), page, f"{first} {second}")


def _drawn_shape(ability: str, rng: random.Random) -> Draft:
    colour, shape = rng.choice(list(words.COLOURS)), rng.choice(words.SHAPES)
    page = _page([("shape", f"{colour} {shape}")], rng)
    where = f"{page.items[0].row} {page.items[0].col}"
    answer = colour if ability == "colour" else shape
    return Draft(ability, f"{ability} {colour} {shape} {where}", rng.choice(ASK[ability]), page, answer)


def _arithmetic(rng: random.Random) -> Draft:
    a, b = rng.randint(0, 9), rng.randint(0, 9)
    text = rng.choice(ASK["arithmetic"])
    return Draft("arithmetic", f"{a} + {b} {text}", text.format(a=a, b=b), None, str(a + b))


def _object(rng: random.Random) -> Draft:
    obj = rng.choice(words.OBJECTS)
    page = _page([("icon", obj)], rng)
    where = f"{page.items[0].row} {page.items[0].col}"
    return Draft("object", f"object {obj} {where}", rng.choice(ASK["object"]), page, obj)


# The option lists of choices. A word always stands at the same letter: with shuffled lists, where the letter has to be
# looked up, every language model that we trained for a few minutes stayed at chance.
OPTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "colour": (("red", "blue", "green", "yellow"), ("black", "orange", "purple", "grey")),
    "shape": (("circle", "square", "triangle", "star"),),
    "arithmetic": (("0 to 4", "5 to 9", "10 to 14", "15 to 18"),),
}


def _fits(answer: str, option: str) -> bool:
    """Whether an answer is what an option says; options about sums are ranges."""
    if " to " in option:
        low, high = option.split(" to ")
        return int(low) <= int(answer) <= int(high)
    return answer == option


def _choice(rng: random.Random, kinds: tuple[str, ...] = tuple(OPTIONS)) -> Draft:
    """A colour, shape or sum with four options, answered by the letter; all letters are equally frequent."""
    kind = rng.choice(kinds)
    options = rng.choice(OPTIONS[kind])
    letter = rng.randrange(4)
    while not _fits((asked := draft(kind, rng)).answer, options[letter]):
        pass
    listed = "\n".join(f"({name}) {option}" for name, option in zip(LETTERS, options, strict=True))
    return Draft("choice", f"choice {asked.key}", f"{asked.text}\n{listed}", asked.page, LETTERS[letter], options)


def draft(ability: str, rng: random.Random) -> Draft:
    """One random question of an ability; training also has "object", naming a picture."""
    match ability:
        case "reading":
            return _reading(rng)
        case "colour" | "shape":
            return _drawn_shape(ability, rng)
        case "arithmetic":
            return _arithmetic(rng)
        case "object":
            return _object(rng)
        case "choice":
            return _choice(rng)
        case "sum choice":
            return _choice(rng, ("arithmetic",))
        case "image choice":
            return _choice(rng, ("colour", "shape"))
        case _:
            raise ValueError(f"no ability {ability!r}")


def draft_in(ability: str, split: str, rng: random.Random) -> Draft:
    """One random question whose content belongs to a split."""
    while True:
        found = draft(ability, rng)
        if split_of(found.key) == split:
            return found


def questions(ability: str, split: str, n: int, *, seed: int = 0) -> tuple[Question, ...]:
    """`n` questions of a split; the same arguments give the same questions."""
    if ability not in ABILITIES:
        raise ValueError(f"no ability {ability!r}: choose one of {', '.join(ABILITIES)}")
    rng = random.Random(f"{ability}/{split}/{seed}")
    found = []
    for i in range(n):
        d = draft_in(ability, split, rng)
        image = d.page.draw() if d.page else None
        found.append(Question(f"{ability}-{split}-{seed}-{i}", ability, d.text, image, d.answer, d.options))
    return tuple(found)
