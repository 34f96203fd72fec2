"""What a medium adds to the last-token states whatever it shows, so that it can be taken away (MARS, arXiv 2606.31876).

The bias is the mean state of neutral media less a reference: a fixed state, or (None) that of the same prompts without
media.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.contracts import Model
from harness.neutral import Neutral
from harness.per_prompt import unsteered
from harness.states import last_token_states
from harness.types import MediaError, Prompt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Recentring:
    """`n` media of `family` each; `reference` [layers, d] is taken from their mean state; `system` is a system prompt
    of the neutral prompts."""

    family: Neutral
    n: int
    reference: Tensor | None
    system: str = ""

    def bias(self, model: Model, modality: str, text: str) -> Tensor:
        """Of neutral media beside `text`, [layers, d]. Raises `PluginError` or `MediaError` where they cannot be read
        or made."""
        prompts = [self._asked(text, i, modality) for i in range(self.n)]
        neutral = last_token_states(model, prompts).mean(0)
        plain = Prompt.user(text, system=self.system or None)
        return neutral - (last_token_states(model, [plain])[0] if self.reference is None else self.reference)

    def own_biases(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, Tensor | str]:
        """By prompt id: the bias [layers, d] of neutral media in the place of the prompt's own, or why there is none.

        Of states that no edit has touched; `passes` forward passes a prompt.
        """
        from harness.residual import read

        found: dict[str, Tensor | str] = {}
        stand_ins: dict[str, list[Prompt]] = {}
        for prompt in prompts:
            try:
                stand_ins[prompt.id] = [self.family.instead(prompt, i) for i in range(self.n)]
            except MediaError as error:
                found[prompt.id] = f"neutral media cannot be put in the place of this prompt's: {error}"
        chosen = [p for p in prompts if p.id in stand_ins]
        asked = [stand_in for p in chosen for stand_in in stand_ins[p.id]]
        if not asked:
            return found
        with unsteered(model):
            biases = read(model.root, asked, on_error="nan").unflatten(0, (len(chosen), self.n)).mean(1)
            if self.reference is None:
                biases = biases - read(model.root, [p.without_media() for p in chosen], on_error="nan")
            else:
                biases = biases - self.reference
        for prompt, bias in zip(chosen, biases, strict=True):
            found[prompt.id] = bias if bool(bias.isfinite().all()) else "this prompt cannot be read with neutral media"
        return found

    @property
    def passes(self) -> int:
        """Extra forward passes of `own_biases` a prompt."""
        return self.n + (self.reference is None)

    def _asked(self, text: str, index: int, modality: str) -> Prompt:
        return Prompt.user(text, self.family.media(modality, index), system=self.system or None)
