from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from harness.calibration import Calibration
from harness.contracts import Fidelity, Model
from harness.directions import auroc, dprime, projection, refusal_direction
from harness.refusal_selection import DEEPEST, by_bypass, by_induction, candidates
from harness.states import last_token_states
from harness.steering import Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import AUTO, given, strength_of

if TYPE_CHECKING:
    from torch import Tensor

Select = Literal["auroc", "induce", "arditi"]
VALIDATION = 32
GRID = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


class ActAdd(SteeringDefense):
    """Adds the text refusal direction to every state: the unconditional anchor of refusal steering.

    Difference of means of harmful and benign text prompts, added at one layer, all positions, every step (arXiv
    2406.11717).

    scale   1 is the published strength; "auto" chooses on validation
    layer   None: chosen on validation text by `select`
    select  auroc: harmful against benign along the direction at the last prompt token, then d'. arditi: as published,
            over the tokens after the instruction and the first 80 % of the layers: the least refusal score
            log p/(1 - p), p the probability of a refusal token, of harmful prompts after ablation of the direction,
            among those that, added, give benign prompts a score of at least `min_induce` and, ablated, change their
            first token by a KL divergence of at most `max_kl`.
            induce: over the same candidates, the highest induced score, which is what a defense is after
    inputs  all prompts, or those with media alone
    sign    -1 is the sign-flipped control
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2406.11717; andyrdt/refusal_direction",
        (
            "directions are read and added at layer outputs (source: layer inputs, the outputs of the layer before)",
            "by default the layer is chosen by separation at the last prompt token; select=arditi is the published "
            "choice, by bypass after ablation, and select=induce the one that suits a defense",
            "ablation acts on the outputs of all layers (source: their inputs and the outputs of attention and MLP)",
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
        min_induce: float = 0.0,
        max_kl: float = 0.1,
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
        self.min_induce = min_induce
        self.max_kl = max_kl
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    refusal_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        import torch

        calibration.require(self.plugin_name or type(self).__name__)
        train = calibration.train
        self.refusal_ = refusal_direction(
            last_token_states(model, train.text("harmful")), last_token_states(model, train.text("benign"))
        )
        if self.layer is None:
            chosen = self._best(model, calibration)
        else:
            chosen = valid_layers("layer", [self.layer], len(self.refusal_))[0]
        self.layers_ = torch.tensor([chosen])
        self.strength_ = strength_of(
            self, self.scale, model, calibration, max_over_refusal=self.max_over_refusal, grid=GRID
        )
        return self

    def change(self, states: Tensor, site: Any) -> Tensor:
        return (states.float() + site.strength * on(self.refusal_[site.layer], states)).to(states.dtype)

    def _best(self, model: Model, calibration: Calibration) -> int:
        """The layer; with select=induce or arditi `refusal_` there becomes the direction of the chosen token."""
        train, half = calibration.train, calibration.validation
        if not (half.text("harmful") and half.text("benign")):
            half = train
        harmful, benign = half.text("harmful"), half.text("benign")
        if self.select == "auroc":
            high, low = (projection(last_token_states(model, p), self.refusal_) for p in (harmful, benign))
            area, gap = auroc(high, low), dprime(high, low)
            layers = range(max(int(DEEPEST * len(self.refusal_)), 1))
            return max(layers, key=lambda i: (round(float(area[i]), 4), float(gap[i])))
        held_out = (harmful[:VALIDATION], benign[:VALIDATION])
        found = candidates(model, train.text("harmful"), train.text("benign"), held_out)
        best = by_induction(found) if self.select == "induce" else by_bypass(found, self.min_induce, self.max_kl)
        self.refusal_[best.layer] = best.direction
        return best.layer
