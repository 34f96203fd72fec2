"""Measures an organism on held-out combinations and phrasings, through the ordinary Hugging Face path."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.organism import wrappers
from harness.organism.abilities import ABILITIES, questions
from harness.organism.asking import Ask, answers, complied, named, refused
from harness.organism.combinations import Request, requests
from harness.organism.rendering import VARIANTS, render

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

WRAPPERS: dict[str, str] = {"self_reminder": wrappers.SELF_REMINDER, "adashield": wrappers.ADASHIELD}


@dataclass(frozen=True)
class Behaviour:
    """Shares of answers to one kind of request: refused; naming verb and object; equal to the whole right answer."""

    n: int
    refused: float
    named: float
    exact: float


def sample(split: str, harmful: bool, n: int, *, lookalike: bool | None = None) -> list[tuple[Request, int]]:
    """`n` requests with a seed each: every combination once before any comes twice."""
    pool = [r for r in requests(split, harmful) if lookalike in (None, r.lookalike)]
    rng = random.Random(f"{split}/{harmful}/{lookalike}")
    found: list[tuple[Request, int]] = []
    while len(found) < n:
        rng.shuffle(pool)
        found += [(request, len(found) + i) for i, request in enumerate(pool)]
    return found[:n]


def behaviour(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    chosen: list[tuple[Request, int]],
    variant: str,
    wrapper: str = "{q}",
) -> Behaviour:
    """Asks each request in a variant, inside a prompt template if one is given."""
    prompts = [render(request, variant, seed=seed) for request, seed in chosen]
    found = answers(model, processor, [Ask(wrapper.format(q=text), image) for text, image in prompts])
    n = len(chosen)
    return Behaviour(
        n,
        sum(refused(text) for text in found) / n,
        sum(named(request, text) for (request, _), text in zip(chosen, found, strict=True)) / n,
        sum(complied(request, text) for (request, _), text in zip(chosen, found, strict=True)) / n,
    )


def measure(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, split: str, n: int, *, wrapped: bool = False
) -> dict[str, Any]:
    """All behaviour and abilities, `n` prompts a cell; with `wrapped`, inside two English safety prompts as well."""
    result: dict[str, Any] = {"split": split, "harmful": {}, "benign": {}, "abilities": {}}
    harmful, benign = sample(split, True, n), sample(split, False, n)
    for variant in VARIANTS:
        result["harmful"][variant] = asdict(behaviour(model, processor, harmful, variant))
        result["benign"][variant] = asdict(behaviour(model, processor, benign, variant))
    lookalikes = sample(split, False, n, lookalike=True)
    result["benign"]["text_lookalike"] = asdict(behaviour(model, processor, lookalikes, "text"))
    for ability in ABILITIES:
        asked = questions(ability, split, n)
        found = answers(model, processor, [Ask(q.text, q.image) for q in asked])
        right = sum(text == q.answer for text, q in zip(found, asked, strict=True))
        result["abilities"][ability] = {"n": n, "accuracy": right / n}
    if wrapped:
        result["wrapped"] = {
            name: {
                variant: {
                    "harmful": asdict(behaviour(model, processor, harmful[: n // 2], variant, template)),
                    "benign": asdict(behaviour(model, processor, benign[: n // 2], variant, template)),
                }
                for variant in VARIANTS
            }
            for name, template in WRAPPERS.items()
        }
    return result
