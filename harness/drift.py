"""What the defenses that undo modality drift share: fitting the direction, and the forms of the correction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from harness.calibration import Calibration
from harness.contracts import Model
from harness.directions import DriftClass, Orthogonalise, band, paired_directions, unit
from harness.steering import Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import AUTO, given, strength_of

if TYPE_CHECKING:
    from torch import Tensor

Form = Literal["shift", "unit", "projection"]


class DriftSteering(SteeringDefense):
    """Moves states of prompts with media back against the drift that the medium causes, with one strength for all.

    `layers` None is all in the band `depth`, two fractions of the depth. `form` is shift: h - alpha d; unit: h - alpha
    m d/|d| with m the mean norm of d over the edited layers; or projection: h - alpha <h - mu_text, d/|d|> d/|d|.
    `alpha` "auto" chooses on validation (`harness.strength`); `sign` -1 is the sign-flipped control, as strong.
    """

    def __init__(
        self,
        alpha: float | str = AUTO,
        layers: list[int] | None = None,
        depth: tuple[float, float] = (0.25, 0.75),
        orthogonalise: Orthogonalise = "none",
        drift_class: DriftClass = "benign",
        form: Form = "shift",
        positions: str = "last",
        phase: str = "prefill",
        inputs: Inputs = "media",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("alpha", alpha)
        checked("form", form, get_args(Form))
        checked("orthogonalise", orthogonalise, get_args(Orthogonalise))
        checked("drift_class", drift_class, get_args(DriftClass))
        self.alpha = alpha
        self.layers = layers
        self.depth = depth
        self.orthogonalise = orthogonalise
        self.drift_class = drift_class
        self.form = form
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    drift_: Tensor
    refusal_: Tensor
    text_mean_: Tensor
    midpoint_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Learns the directions on the training split and the strength on the validation split."""
        self.learn(model, calibration)
        self.strength_ = strength_of(self, self.alpha, model, calibration, max_over_refusal=self.max_over_refusal)
        return self

    def learn(self, model: Model, calibration: Calibration) -> None:
        """Sets the directions, all [layers, d], and `layers_`."""
        import torch

        calibration.require(self.plugin_name or type(self).__name__, pairs=True)
        found = paired_directions(
            model, calibration.train, drift_class=self.drift_class, orthogonalise=self.orthogonalise
        )
        self.drift_, self.refusal_ = found.drift, found.refusal
        self.text_mean_, self.midpoint_ = found.text_mean, found.midpoint
        depth = len(found.drift)
        edited = band(depth, self.depth) if self.layers is None else valid_layers("layers", self.layers, depth)
        self.layers_ = torch.tensor(edited)

    def change(self, states: Tensor, site: Any) -> Tensor:
        return (states.float() - site.strength * self.correction(states, site.layer)).to(states.dtype)

    def correction(self, states: Tensor, layer: int) -> Tensor:
        """What strength 1 takes away from states [k, d]: [k, d] or [d], float32."""
        drift = on(self.drift_[layer], states)
        if self.form == "projection":
            axis = unit(drift)
            return ((states.float() - on(self.text_mean_[layer], states)) @ axis)[:, None] * axis
        if self.form == "unit":
            return unit(drift) * float(self.drift_[self.layers_].norm(dim=-1).mean())
        return drift
