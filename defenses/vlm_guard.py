from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from harness.calibration import Calibration
from harness.contracts import Fidelity, Model, PluginError
from harness.states import last_token_states
from harness.steering import Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import given, strength_of

if TYPE_CHECKING:
    from torch import Tensor

Reading = Literal["projection", "gated"]
# Layer 14 of 32, as in the one public port.
DEPTH = 14 / 32
GRID = (0.25, 0.5, 0.75, 1.0)


class VLMGuard(SteeringDefense):
    """Projects states away from the directions in which harmful and benign texts differ most.

    arXiv 2502.10486. V holds the top right singular vectors of paired text states, harmful minus benign, of the model's
    own language backbone; h <- h - strength V V^T h.

    strength   share of the projection: 0 none, 1 all of it, published; "auto" chooses on validation
    reading    projection, as above; gated: h <- h + strength (gain g - 1) V V^T h with g = 1 where <h, V1> > 0, else 0,
               V1 pointing from benign to harmful
    gain       of reading=gated: above 1 what is harmful is amplified instead of removed
    rank       number of directions; where the pairs span fewer, those
    pairs      the most text pairs, harmful and benign taken in calibration order
    layers     edited decoder layers; by default one, at 14/32 of the depth
    positions  last, prompt, media, generated or all tokens;  phase: prefill, decode or both
    inputs     media: prompts with media alone; all: text too
    sign       -1 adds what the method removes. Removing what tells harm may remove refusal with it: report both signs
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2502.10486, from its abstract, third-party notes and one public port; no official code",
        (
            "layer, rank and positions are those of the port (14 of 32, 5, all tokens); each is a parameter",
            "two readings of the rule are in circulation: projection (default) and gated, whose gain is not public",
            "pairs are calibration texts in their order, not one question asked in two ways; no mean is taken off",
        ),
    )

    knob: ClassVar[str | None] = "strength"
    knob_values: ClassVar[tuple[float, ...]] = GRID

    def __init__(
        self,
        strength: float | str = 1.0,
        reading: Reading = "projection",
        gain: float = 2.0,
        rank: int = 5,
        pairs: int = 100,
        layers: list[int] | None = None,
        positions: str = "all",
        phase: str = "both",
        inputs: Inputs = "media",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("strength", strength)
        checked("reading", reading, get_args(Reading))
        if rank < 1 or pairs < 1:
            raise PluginError(f"vlm_guard(rank={rank}, pairs={pairs}): both must be at least 1")
        self.strength = strength
        self.reading = reading
        self.gain = gain
        self.rank = rank
        self.pairs = pairs
        self.layers = layers
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    directions_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Learns `directions_` [layers, m, d], orthonormal rows V of each layer."""
        import torch

        calibration.require("vlm_guard")
        harmful, benign = (last_token_states(model, calibration.train.text(k)) for k in ("harmful", "benign"))  # type: ignore[arg-type]
        n = min(len(harmful), len(benign), self.pairs)
        differences = harmful[:n] - benign[:n]
        depth = differences.shape[1]
        self.directions_ = torch.stack([top_directions(differences[:, i], self.rank) for i in range(depth)])
        edited = [int(DEPTH * depth)] if self.layers is None else valid_layers("layers", self.layers, depth)
        self.layers_ = torch.tensor(edited)
        self.strength_ = strength_of(
            self, self.strength, model, calibration, max_over_refusal=self.max_over_refusal, grid=GRID
        )
        return self

    def change(self, states: Tensor, site: Any) -> Tensor:
        directions = on(self.directions_[site.layer], states)
        coordinates = states.float() @ directions.T
        within = coordinates @ directions
        if self.reading == "gated":
            within = within * (1 - self.gain * (coordinates[:, :1] > 0))
        return (states.float() - site.strength * within).to(states.dtype)


def top_directions(differences: Tensor, rank: int) -> Tensor:
    """The top right singular vectors [min(rank, n), d] of differences [n, d], each pointing where their mean lies.

    Directions that the differences do not span are null, so that nothing is projected away along them.
    """
    import torch

    _, sizes, rows = torch.linalg.svd(differences.double(), full_matrices=False)
    rows, sizes = rows[:rank], sizes[:rank]
    ahead = torch.where(rows @ differences.double().mean(0) < 0, -1.0, 1.0)
    spanned = sizes > sizes.max() * 1e-6
    return (rows * (ahead * spanned)[:, None]).float()
