"""The base class of gates that look at the states of the undefended model, and where they draw the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from harness.calibration import Calibration
from harness.contracts import Capability, Model, PluginError
from harness.shapes import GateDefense
from harness.strength import given
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.residual_read import Where


class StateGate(GateDefense):
    """Blocks a prompt by its states. Subclasses set `positions`, define `fit` and `harm`, and keep `threshold` ("auto"
    or a number) and `max_over_refusal`."""

    requires: ClassVar[Capability] = Capability.GENERATE | Capability.ACTIVATIONS
    needs_fit: ClassVar[bool] = True
    knob: ClassVar[str | None] = "threshold"
    passes: int = 1
    positions: Where = "last"
    max_over_refusal: float = 0.05
    threshold_: float

    def harm(self, model: Model, states: Tensor) -> Tensor:
        """Scores [n], the higher the more harmful, of states [n, layers, d] at `positions`; NaN where they are NaN."""
        raise TypeError(f"{type(self).__name__} must define harm(model, states)")

    def score_input(self, model: Model, prompts: Sequence[Prompt]) -> list[float | None]:
        from harness.residual import read

        states = read(model.root, prompts, positions=self.positions, on_error="nan")
        return [float(score) for score in self.harm(model, states)]

    def limit(self) -> float:
        if not hasattr(self, "threshold_"):
            raise PluginError(f"{self.plugin_name or type(self).__name__} is not fitted: call fit(model, calibration)")
        return self.threshold_

    def draw_line(self, model: Model, calibration: Calibration) -> None:
        """Sets `threshold_`: `threshold`, or for "auto" what blocks at most `max_over_refusal` of the benign validation
        prompts (of training ones where validation has none)."""
        from harness.states import kept_states

        fixed = given("threshold", self.threshold)
        if fixed is None:
            for half in (calibration.validation, calibration.train):
                if prompts := half.text("benign") + half.media("benign"):
                    break
            benign = self.harm(model, kept_states(model, prompts, self.positions))
            fixed = line_above(benign.tolist(), self.max_over_refusal)
        self.threshold_ = fixed


def line_above(benign: Sequence[float], share: float) -> float:
    """A threshold that at most `share` of the benign scores reach: in the middle between the highest score below it and
    the next one."""
    ordered = sorted(benign, reverse=True)
    spare = min(int(share * len(ordered) + 1e-9), len(ordered) - 1)
    kept = ordered[spare]
    # Past the last benign score there is no gap to halve: a rounding of the score must not cross the line.
    clear = kept + 1e-5 * max(abs(kept), 1e-3)
    return max((ordered[spare - 1] + kept) / 2, clear) if spare else clear
