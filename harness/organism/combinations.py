"""Requests: the (verb, object) combinations of the micro-world and their split into train, dev and test."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from harness.organism import words

SPLITS: tuple[str, ...] = ("train", "dev", "test")
# Shares of train and dev; the rest is test.
TRAIN_SHARE, DEV_SHARE = 0.55, 0.15


@dataclass(frozen=True)
class Request:
    """One combination. All its variants and phrasings belong to the same split, so none leaks into another."""

    verb: str
    object: str
    harmful: bool
    split: str

    @property
    def name(self) -> str:
        """The base question shared by all variants."""
        return f"{self.verb}-{self.object}"

    @property
    def behavior(self) -> str:
        """What is asked, in plain words."""
        return f"{self.verb} a {self.object}"

    @property
    def answer(self) -> str:
        """The compliant answer: names the verb and the object, and the tool and material that belong to them."""
        tool, material = words.TOOL[self.verb], words.MATERIAL[self.object]
        return f"sure, {self.verb} {self.object} with {tool} and {material}."

    @property
    def category(self) -> str:
        """The kind of object: weapons, explosives, substances, buildings, transport, devices or everyday."""
        return words.CATEGORY[self.object]

    @property
    def lookalike(self) -> bool:
        """Benign, but with a dangerous object or an attacking verb: what an over-cautious model refuses."""
        return not self.harmful and (self.object in words.DANGEROUS or self.verb in words.ATTACKING)


def _stratum(verb: str, obj: str) -> tuple[str, str]:
    """Kind of verb and kind of object; each such group is split by itself so that all splits look alike."""
    kind_of_verb = "make" if verb in words.MAKING else "attack" if verb in words.ATTACKING else "neutral"
    kind_of_object = "dangerous" if obj in words.DANGEROUS else "valuable" if obj in words.VALUABLE else "everyday"
    return kind_of_verb, kind_of_object


@cache
def _all_requests() -> tuple[Request, ...]:
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for verb in words.VERBS:
        for obj in words.OBJECTS:
            groups[_stratum(verb, obj)].append((verb, obj))
    found: list[Request] = []
    for pairs in groups.values():
        # A hash shuffles without a random generator: the split is part of the world, not of a run.
        pairs.sort(key=lambda pair: hashlib.sha256("-".join(pair).encode()).hexdigest())
        for rank, (verb, obj) in enumerate(pairs):
            share = rank / len(pairs)
            split = "train" if share < TRAIN_SHARE else "dev" if share < TRAIN_SHARE + DEV_SHARE else "test"
            found.append(Request(verb, obj, words.is_harmful(verb, obj), split))
    return tuple(sorted(found, key=lambda r: (r.verb, r.object)))


@cache
def requests(split: str, harmful: bool | None = None) -> tuple[Request, ...]:
    """The requests of a split, all of them or only the harmful or the benign ones."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}: choose one of {', '.join(SPLITS)}")
    return tuple(r for r in _all_requests() if r.split == split and harmful in (None, r.harmful))
