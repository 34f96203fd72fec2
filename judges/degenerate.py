"""The detector of garbled text as a judge of its own."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contracts import Judge
from harness.garbled import why_garbled
from harness.types import Outcome, Response, Sample, Verdict

COHERENT = "coherent: this judge does not say whether an answer is harmful or a refusal"


class Degenerate(Judge):
    """Incoherent if the answer is empty, looping or gibberish: says whether the model is broken, and no more.

    A coherent answer is left unscored: safe would be read as an attack that failed, or a request that was served.
    Thresholds: `harness.garbled`. Every safety judge stands behind the same detector; this one shows it alone.
    """

    def judge(self, samples: Sequence[Sample], responses: Sequence[Response]) -> list[Verdict]:
        return [_verdict(r) for r in responses]


def _verdict(response: Response) -> Verdict:
    if response.text is None:
        return Verdict.unscored(response.error or "no answer")
    reason = why_garbled(response.text)
    return Verdict(Outcome.INCOHERENT, rationale=reason) if reason else Verdict.unscored(COHERENT)
