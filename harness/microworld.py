"""The organism's micro-world as samples: what lets every task also run on the embedded model, without a download.

All forms of one request share the cluster `organism:<verb>-<object>`, in every task, so that leakage between
calibration and evaluation is found across tasks and modalities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

from harness.names import interleaved
from harness.types import Image, Prompt, Sample

if TYPE_CHECKING:
    import PIL.Image

    from harness.organism import Question, Request

RESEED = 1_000_003
"""Step to another layout seed, far from the seeds that a user names."""


def request_samples(
    task: str,
    requests: Sequence[Request],
    variants: Mapping[str, str],
    *,
    n: int | None = None,
    seed: int = 0,
    category: str | None = None,
) -> Iterator[Sample]:
    """Requests rendered in `variants` (name shown to the user -> micro-world variant), all variants of one in a row.

    `n` is the number of rows. Past one round over the requests, further rounds show the same ones in other layouts and
    phrasings (same cluster); None is exactly one round.
    """
    from harness.organism import render

    rows = 0
    round_ = 0
    while requests and (n is None or rows < n) and (round_ == 0 or n is not None):
        for request in requests:
            for shown, variant in variants.items():
                if rows == n:
                    return
                name = f"{task}:{request.name}:{shown}:{seed + round_}"
                # The phrasing moves on with the round, so that no text prompt comes twice while phrasings last.
                phrasing = _stable(request.name, seed) + round_
                text, picture = next(
                    drawn
                    for again in count(0, RESEED)
                    if in_split(
                        (drawn := render(request, variant, seed=seed + round_ + again, phrasing=phrasing))[1],
                        request.split,
                    )
                )
                yield Sample(
                    id=name,
                    prompt=_prompt(text, picture),
                    kind="harmful" if request.harmful else "benign",
                    behavior=request.behavior,
                    category=category or request.category,
                    cluster=f"organism:{request.name}",
                    variant=shown,
                    reference=(request.answer,),
                )
                rows += 1
        round_ += 1


def balanced_requests(split: str, harmful: bool, *, lookalikes: bool | None = None, seed: int = 0) -> list[Request]:
    """Requests in a fixed shuffled order, balanced over categories (and, where benign, over lookalike and ordinary)."""
    from harness.organism import requests

    kept = [r for r in requests(split, harmful) if lookalikes is None or r.lookalike == lookalikes]
    kept.sort(key=lambda r: _stable(r.name, seed))
    by_category = [interleaved([r for r in kept if r.lookalike is x], lambda r: r.category) for x in (True, False)]
    mixed = [(i, r) for half in by_category for i, r in enumerate(half)]
    return [r for _, r in sorted(mixed, key=lambda pair: pair[0])]


def utility_questions(ability: str, split: str, n: int, seed: int) -> list[Question]:
    """`n` questions whose pictures, too, belong to the split."""
    from harness.organism import questions

    drawn = 2 * n
    while True:
        kept = [q for q in questions(ability, split, drawn, seed=seed) if in_split(q.image, split)]
        if len(kept) >= n:
            return kept[:n]
        drawn *= 2


def in_split(picture: PIL.Image.Image | None, split: str) -> bool:
    """An icon alone has few layouts, and the same picture may serve many verbs. Layouts are therefore divided among the
    splits by a hash of their pixels, so that no picture of calibration is met again in evaluation."""
    if picture is None:
        return True
    share = hashlib.sha256(picture.tobytes()).digest()[0]
    return split == ("test" if share < 128 else "train" if share < 192 else "dev")


def question_samples(task: str, questions: Sequence[Question]) -> Iterator[Sample]:
    """Utility questions; category = variant = ability, the answer is the reference."""
    for question in questions:
        yield Sample(
            id=f"{task}:{question.id}",
            prompt=_prompt(question.text, question.image),
            kind="utility",
            behavior=question.text,
            category=question.ability,
            cluster=f"organism:{question.id}",
            variant=question.ability,
            reference=(question.answer,),
            options=question.options,
        )


def _prompt(text: str, picture: PIL.Image.Image | None) -> Prompt:
    return Prompt.user(text, *([Image.from_pil(picture)] if picture else []))


def _stable(name: str, seed: int) -> int:
    return int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:12], 16)
