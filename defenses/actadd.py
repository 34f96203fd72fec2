from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from harness.calibration import Calibration
from harness.contracts import Fidelity, Model
from harness.directions import auroc, dprime, projection, refusal_direction
from harness.states import last_token_states
from harness.steering import Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import AUTO, given, refusal_rate, strength_of

if TYPE_CHECKING:
    from torch import Tensor

Select = Literal["auroc", "induce"]
# Arditi et al. look for the layer in the first 80 % of the depth: later ones act on words, not on meaning.
DEEPEST = 0.8
GRID = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


class ActAdd(SteeringDefense):
    """Adds the text refusal direction to every state: the unconditional anchor of refusal steering.

    Difference of means of harmful and benign text prompts at the last prompt token, added at one layer, all positions,
    every step (arXiv 2406.11717).

    scale   1 is the published strength; "auto" chooses on validation
    layer   None: chosen on validation text by `select`: auroc (harmful against benign along the direction, then d') or
            induce (share of benign text prompts that the direction at scale 1 makes the model refuse)
    inputs  all prompts, or those with media alone
    sign    -1 is the sign-flipped control
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2406.11717; andyrdt/refusal_direction",
        (
            "the direction is read at the last prompt token and at layer outputs (source: every token after the "
            "instruction, layer inputs)",
            "as a defense the layer is chosen by separation or induced refusal, not by bypass after ablation",
            "calibration prompts are not filtered by what the model answers to them",
        ),
    )

    knob: ClassVar[str | None] = "scale"
    knob_values: ClassVar[tuple[float, ...]] = GRID

    def __init__(
        self,
        scale: float | str = AUTO,
        layer: int | None = None,
        select: Select = "auroc",
        positions: str = "all",
        phase: str = "both",
        inputs: Inputs = "all",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("scale", scale)
        checked("select", select, get_args(Select))
        self.scale = scale
        self.layer = layer
        self.select = select
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    refusal_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        import torch

        calibration.require(self.plugin_name or type(self).__name__)
        train = calibration.train
        self.refusal_ = refusal_direction(
            last_token_states(model, train.text("harmful")), last_token_states(model, train.text("benign"))
        )
        depth = len(self.refusal_)
        chosen = self._best(model, calibration) if self.layer is None else valid_layers("layer", [self.layer], depth)[0]
        self.layers_ = torch.tensor([chosen])
        self.strength_ = strength_of(
            self, self.scale, model, calibration, max_over_refusal=self.max_over_refusal, grid=GRID
        )
        return self

    def change(self, states: Tensor, site: Any) -> Tensor:
        return (states.float() + site.strength * on(self.refusal_[site.layer], states)).to(states.dtype)

    def _best(self, model: Model, calibration: Calibration) -> int:
        candidates = range(max(int(DEEPEST * len(self.refusal_)), 1))
        score = self._induced if self.select == "induce" else self._separation
        scores = score(model, calibration, candidates)
        return max(candidates, key=lambda layer: scores[layer])

    def _separation(self, model: Model, calibration: Calibration, candidates: range) -> list[tuple[float, float]]:
        half = calibration.validation
        if not (half.text("harmful") and half.text("benign")):
            half = calibration.train
        high, low = (
            projection(last_token_states(model, half.text(k)), self.refusal_)
            for k in ("harmful", "benign")  # type: ignore[arg-type]
        )
        area, gap = auroc(high, low), dprime(high, low)
        return [(round(float(area[i]), 4), float(gap[i])) for i in candidates]

    def _induced(self, model: Model, calibration: Calibration, candidates: range) -> list[tuple[float, float]]:
        import torch

        prompts = (calibration.validation.text("benign") or calibration.train.text("benign"))[:24]
        sign, self.sign = self.sign, 1
        inputs, self.inputs = self.inputs, "all"
        self.strength_ = 1.0
        scores = []
        try:
            for layer in candidates:
                self.layers_ = torch.tensor([layer])
                scores.append((refusal_rate(self.wrap(model), prompts), 0.0))
        finally:
            self.sign, self.inputs = sign, inputs
        return scores
