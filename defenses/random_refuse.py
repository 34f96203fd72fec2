from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.contracts import Fidelity, Model, PluginError
from harness.shapes import GateDefense
from harness.types import Prompt, digest


class RandomRefuse(GateDefense):
    """Refuses a random share p of all prompts, whatever they ask.

    Matched to a defense's over-refusal, it separates telling harmful from benign apart from merely refusing more
    (compare arXiv 2502.14486). The draw is a hash of seed and prompt: the same in any batch, order or process.
    """

    fidelity: ClassVar[Fidelity] = Fidelity("control", "gapbench")
    knob: ClassVar[str | None] = "p"
    knob_values: ClassVar[tuple[float, ...]] = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)

    def __init__(self, p: float = 0.5, seed: int = 0) -> None:
        if not 0 <= p <= 1:
            raise PluginError(f"random_refuse(p={p}): p must lie between 0 and 1")
        self.p = p
        self.seed = seed
        self.threshold = 1 - p

    def score_input(self, model: Model, prompts: Sequence[Prompt]) -> list[float]:
        return [int(digest([self.seed, prompt.id])[:12], 16) / 16**12 for prompt in prompts]
