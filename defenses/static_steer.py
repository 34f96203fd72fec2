from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from harness.calibration import Calibration
from harness.contracts import Fidelity, Model
from harness.directions import band
from harness.golden import Combine, Norm, golden_vector, refusal_vectors
from harness.steering import Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import given, strength_of

if TYPE_CHECKING:
    from torch import Tensor

GRID = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


class StaticSteer(SteeringDefense):
    """Adds the golden refusal vector to every state with one strength: the baseline that OmniSteer is measured against.

    h' = h + coef g at all positions, all layers of the set and every step (arXiv 2602.10161).

    coef    0.1 is published; "auto" chooses on validation
    layers  None: all in the band `depth`, two fractions of the depth (source: layers 15 to 24 of 28)
    combine, norm, modalities, max_text, max_media, system   the vector g, as in `omnisteer`
    positions, phase, inputs, sign   as in `actadd`
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2602.10161; zhrli324/omni-safety-research safe_eval/unified_eval_*.py, arm rs_",
        ("layers are a band of the depth (source: the layers of its vector file)",),
    )
    knob: ClassVar[str | None] = "coef"
    knob_values: ClassVar[tuple[float, ...]] = GRID

    def __init__(
        self,
        coef: float | str = 0.1,
        layers: list[int] | None = None,
        depth: tuple[float, float] = (0.5, 0.9),
        modalities: list[str] | None = None,
        combine: Combine = "svd",
        norm: Norm = "mean",
        max_text: int | None = 520,
        max_media: int | None = 200,
        system: str | None = None,
        positions: str = "all",
        phase: str = "both",
        inputs: Inputs = "all",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("coef", coef)
        checked("combine", combine, get_args(Combine))
        checked("norm", norm, get_args(Norm))
        self.coef = coef
        self.layers = layers
        self.depth = depth
        self.modalities = modalities
        self.combine = combine
        self.norm = norm
        self.max_text = max_text
        self.max_media = max_media
        self.system = system
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    golden_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Learns g [layers, d] on the training split, and the strength on validation where it is "auto"."""
        import torch

        calibration.require(self.plugin_name or type(self).__name__)
        limits: dict[str, Any] = {"max_text": self.max_text, "max_media": self.max_media, "system": self.system}
        vectors = refusal_vectors(model, calibration.train, modalities=self.modalities, **limits)
        self.golden_ = golden_vector(vectors, self.combine, self.norm)
        depth = len(self.golden_)
        chosen = band(depth, self.depth) if self.layers is None else valid_layers("layers", self.layers, depth)
        self.layers_ = torch.tensor(chosen)
        self.strength_ = strength_of(
            self, self.coef, model, calibration, max_over_refusal=self.max_over_refusal, grid=GRID
        )
        return self

    def change(self, states: Tensor, site: Any) -> Tensor:
        return (states.float() + site.strength * on(self.golden_[site.layer], states)).to(states.dtype)
