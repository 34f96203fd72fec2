"""Calibration sets: what a defense may learn from, split by base question, never met again in evaluation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.contracts import PluginError
from harness.types import Prompt, Sample, digest

Kind = Literal["harmful", "benign"]
MEDIA = frozenset({"image", "video", "audio"})


def media_of(prompt: Prompt) -> str:
    """`image`, or `audio+image` where a prompt has several; empty for text."""
    return "+".join(sorted(prompt.modalities & MEDIA))


@dataclass(frozen=True)
class Pair:
    """One request in two forms: as text, and as or with a picture, video or sound."""

    text: Prompt
    media: Prompt
    variant: str


@dataclass(frozen=True)
class CalibrationSplit:
    """Labelled samples of one split. The order of `samples` is fixed, so that fits are repeatable."""

    samples: tuple[Sample, ...]

    def text(self, kind: Kind) -> list[Prompt]:
        """Text-only prompts."""
        return [s.prompt for s in self.samples if s.kind == kind and not s.prompt.modalities & MEDIA]

    def media(self, kind: Kind) -> list[Prompt]:
        """Prompts that hold a picture, video or sound."""
        return [s.prompt for s in self.samples if s.kind == kind and s.prompt.modalities & MEDIA]

    def part(self, *, variants: Sequence[str] | None = None, questions: int | None = None) -> CalibrationSplit:
        """Text and the media of `variants` (None: of all), of at most `questions` base questions of each kind."""
        kept = [s for s in self.samples if variants is None or s.variant in variants or not s.prompt.modalities & MEDIA]
        for kind in ("harmful", "benign") if questions is not None else ():
            known = list(dict.fromkeys(s.cluster for s in kept if s.kind == kind))[:questions]
            kept = [s for s in kept if s.kind != kind or s.cluster in known]
        return CalibrationSplit(tuple(kept))

    def pairs(self, kind: Kind) -> list[Pair]:
        """Every media prompt with the text form of the same base question (`Sample.cluster`)."""
        texts = {s.cluster: s.prompt for s in self.samples if s.kind == kind and not s.prompt.modalities & MEDIA}
        return [
            Pair(texts[s.cluster], s.prompt, s.variant)
            for s in self.samples
            if s.kind == kind and s.prompt.modalities & MEDIA and s.cluster in texts
        ]


@dataclass(frozen=True)
class Calibration:
    """`train` fits directions; `validation` chooses strengths, thresholds and layers. Disjoint by base question."""

    train: CalibrationSplit
    validation: CalibrationSplit

    @classmethod
    def from_samples(
        cls, samples: Iterable[Sample], held: Iterable[Sample] = (), *, validation: float = 0.25, seed: int = 0
    ) -> Calibration:
        """`held` is the validation split; base questions that share content or a base question with it (as in `leaks`)
        are left out of the other. Raises `PluginError` when it holds nothing usable, or when nothing else is left.

        Without it, split by a hash of the base question, so that all forms of a question fall on one side, whatever
        else is there.
        """
        usable, held = usable_of(samples), list(held)
        if held:
            return cls._apart(usable, usable_of(held))
        sides: dict[bool, list[Sample]] = defaultdict(list)
        for sample in usable:
            sides[int(digest([seed, sample.cluster]), 16) % 10_000 < validation * 10_000].append(sample)
        return cls(CalibrationSplit(tuple(sides[False])), CalibrationSplit(tuple(sides[True])))

    @classmethod
    def _apart(cls, usable: list[Sample], held: list[Sample]) -> Calibration:
        if not held:
            raise PluginError("the validation tasks hold no harmful or benign prompt that can be asked")
        shared = {s.cluster for s in _sharing(held, usable)}
        train = [s for s in usable if s.cluster not in shared]
        for kind in ("harmful", "benign"):
            if any(s.kind == kind for s in usable) and not any(s.kind == kind for s in train):
                raise PluginError(
                    f"no {kind} request is left to fit on: the validation tasks hold the same questions as the "
                    "calibration tasks; name others with --validation or --calibration"
                )
        return cls(CalibrationSplit(tuple(train)), CalibrationSplit(tuple(held)))

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.train.samples + self.validation.samples

    @property
    def id(self) -> str:
        """A hash of every prompt and label, split by split."""
        return digest(
            [[(s.prompt.id, s.kind, s.cluster) for s in half.samples] for half in (self.train, self.validation)]
        )

    def leaks(self, evaluation: Iterable[Sample]) -> list[Sample]:
        """Evaluation samples that share content or a base question with this set, in any modality."""
        return _sharing(self.samples, list(evaluation))

    def require(self, who: str, *, pairs: bool = False) -> None:
        """Raises `PluginError` when there is nothing to learn from."""
        for kind in ("harmful", "benign"):
            if not self.train.text(kind):  # type: ignore[arg-type]
                raise PluginError(f"{who} needs {kind} text prompts for calibration: name tasks with --calibration")
            if pairs and not self.train.pairs(kind):  # type: ignore[arg-type]
                raise PluginError(
                    f"{who} needs {kind} requests both as text and with media for calibration: "
                    "name paired tasks with --calibration"
                )


def usable_of(samples: Iterable[Sample]) -> list[Sample]:
    """Those that something can be learned from: harmful or benign, and not broken."""
    return [s for s in samples if s.error is None and s.kind in ("harmful", "benign")]


def _sharing(known: Sequence[Sample], others: Sequence[Sample]) -> list[Sample]:
    """Those of `others` that share a prompt, a base question, its words or its own media with `known`."""
    prompts = {s.prompt.id for s in known}
    clusters = {s.cluster for s in known}
    behaviors = {_normal(s.behavior) for s in known}
    media = _media_of_one_question(known) & _media_of_one_question(others)
    return [
        s
        for s in others
        if s.prompt.id in prompts
        or s.cluster in clusters
        or _normal(s.behavior) in behaviors
        or any(m.digest in media for m in s.prompt.media)
    ]


def _media_of_one_question(samples: Iterable[Sample]) -> set[str]:
    """Media that belong to one base question; a blank picture that many share carries nothing over."""
    users: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        for media in sample.prompt.media:
            users[media.digest].add(sample.cluster)
    return {content for content, clusters in users.items() if len(clusters) == 1}


def _normal(text: str) -> str:
    return " ".join(text.lower().split())


def spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most about `most` samples in their order: the same share of every variant, evenly spaced within it, for a
    stride over all samples could fall on one variant only."""
    variants: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        variants[sample.variant].append(i)
    chosen: set[int] = set()
    for mine in variants.values():
        n = min(len(mine), max(1, most // len(variants)))
        chosen |= {mine[j * len(mine) // n] for j in range(n)}
    return [s for i, s in enumerate(samples) if i in chosen]
