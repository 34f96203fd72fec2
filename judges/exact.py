"""Short answers against their references."""

from __future__ import annotations

from collections.abc import Sequence

from harness.answers import matches
from harness.contracts import Judge
from harness.types import Outcome, Response, Sample, Verdict


class Exact(Judge):
    """Correct if the answer equals a reference but for case, punctuation, articles and Unicode forms.

    contains: the reference's words anywhere in a row in the answer are enough.
    """

    kinds = frozenset({"utility"})

    def __init__(self, contains: bool = False) -> None:
        self.contains = contains

    def judge(self, samples: Sequence[Sample], responses: Sequence[Response]) -> list[Verdict]:
        return [self._one(s, r) for s, r in zip(samples, responses, strict=True)]

    def _one(self, sample: Sample, response: Response) -> Verdict:
        if response.text is None:
            return Verdict.unscored(response.error or "no answer")
        if not sample.reference:
            return Verdict.unscored(f"sample {sample.id} has no reference answer")
        hit = next((r for r in sample.reference if matches(response.text, r, contains=self.contains)), None)
        if hit is None:
            return Verdict(Outcome.INCORRECT, 0.0, f"expected {' or '.join(map(repr, sample.reference))}")
        return Verdict(Outcome.CORRECT, 1.0, f"matches {hit!r}")
