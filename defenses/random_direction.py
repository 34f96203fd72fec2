from __future__ import annotations

from typing import ClassVar, Literal, Self

from harness.calibration import Calibration
from harness.contracts import Fidelity, Model
from harness.directions import DriftClass, Orthogonalise, RefusalFrom, random_like
from harness.drift import DriftSteering, Form, Pooling
from harness.steering import Inputs, checked
from harness.strength import AUTO


class RandomDirection(DriftSteering):
    """The control of steering: drift correction along a random direction of the same norm.

    Layers, positions and strength are those of `drift_correction` with the same parameters ("auto" is chosen for the
    drift, then the direction is exchanged). `match="refusal"` takes the norm of the refusal direction instead. If this
    lowers attack success too, the method's gain is not owed to its direction.
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
        super().fit(model, calibration)
        self.media_, self.drifts_ = [], self.drifts_[:0]
        self.drift_ = random_like(self.drift_ if self.match == "drift" else self.refusal_, self.seed)
        return self
