from __future__ import annotations

import random
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from harness.calibration import Calibration, media_of
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import DriftClass, Orthogonalise, RefusalFrom, unit
from harness.drift import DriftSteering, Form, Pooling
from harness.states import last_token_states
from harness.steering import Inputs, checked
from harness.strength import AUTO
from harness.types import Prompt, Sample

if TYPE_CHECKING:
    from torch import Tensor


class BenignDirection(DriftSteering):
    """The control of steering: drift correction along a difference between benign prompts of one modality.

    The direction is the difference of the mean states of two random halves of the benign requests with media, halved by
    base question, with the norm of the drift at each layer. It lies where states of that modality really vary, as a
    random direction does not, and has nothing to do with modality or harm.

    seed     of the halves
    match    the norm is that of the drift, or of the refusal direction
    Layers, positions and strength are those of `drift_correction` with the same parameters ("auto" is chosen for the
    drift, then the direction is exchanged).
    """

    fidelity: ClassVar[Fidelity] = Fidelity("control", "gapbench; recommended by the audits of activation steering")

    def __init__(
        self,
        seed: int = 0,
        match: Literal["drift", "refusal"] = "drift",
        alpha: float | str = AUTO,
        layers: list[int] | None = None,
        depth: tuple[float, float] = (0.25, 0.75),
        orthogonalise: Orthogonalise = "none",
        drift_class: DriftClass = "benign",
        pooling: Pooling = "modality",
        variants: list[str] | None = None,
        questions: int | None = None,
        refusal_from: RefusalFrom = "each",
        read_tokens: int = 1,
        form: Form = "shift",
        positions: str = "last",
        phase: str = "prefill",
        inputs: Inputs = "media",
        max_over_refusal: float = 0.05,
    ) -> None:
        checked("match", match, ("drift", "refusal"))
        super().__init__(
            alpha=alpha,
            layers=layers,
            depth=depth,
            orthogonalise=orthogonalise,
            drift_class=drift_class,
            pooling=pooling,
            variants=variants,
            questions=questions,
            refusal_from=refusal_from,
            read_tokens=read_tokens,
            form=form,
            positions=positions,
            phase=phase,
            inputs=inputs,
            max_over_refusal=max_over_refusal,
        )
        self.seed = seed
        self.match = match

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Raises `PluginError` with fewer than two benign requests with media of one modality."""
        import torch

        super().fit(model, calibration)
        split = calibration.train.part(variants=self.variants, questions=self.questions)
        groups: dict[str, list[Sample]] = {}
        for sample in split.samples:
            if sample.kind == "benign" and media_of(sample.prompt):
                groups.setdefault(media_of(sample.prompt), []).append(sample)
        found = {name: self._difference(model, samples) for name, samples in groups.items()}
        apart = {name: difference for name, difference in found.items() if difference is not None}
        if not apart:
            raise PluginError(
                "benign_direction needs at least two benign requests with media of one modality for calibration: "
                "name more tasks with --calibration"
            )
        pooled = torch.stack([*apart.values()]).mean(0)
        self.drift_ = self._scaled(pooled, self.drift_)
        rows = [self._scaled(apart.get(n, pooled), d) for n, d in zip(self.media_, self.drifts_, strict=True)]
        self.drifts_ = torch.stack(rows) if rows else self.drifts_
        return self

    def _scaled(self, difference: Tensor, drift: Tensor) -> Tensor:
        """`difference` with the norm at each layer of the drift that it takes the place of, or of the refusal
        direction."""
        return unit(difference) * (drift if self.match == "drift" else self.refusal_).norm(dim=-1, keepdim=True)

    def _difference(self, model: Model, samples: list[Sample]) -> Tensor | None:
        """Mean difference [layers, d] of two halves; None for a single base question."""
        halves = halved(samples, self.seed)
        if not all(halves):
            return None
        first, second = (last_token_states(model, half).mean(0) for half in halves)
        return first - second


def halved(samples: list[Sample], seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """The prompts of two random halves of the base questions."""
    clusters = list(dict.fromkeys(s.cluster for s in samples))
    random.Random(seed).shuffle(clusters)
    chosen = set(clusters[: len(clusters) // 2])
    return [s.prompt for s in samples if s.cluster in chosen], [s.prompt for s in samples if s.cluster not in chosen]
