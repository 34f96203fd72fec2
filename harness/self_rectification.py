"""The self-rectification signal: how harmful the model finds an input once its modality drift is corrected on trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness.calibration import media_of
from harness.contracts import Model, PluginError
from harness.drift import DriftSteering
from harness.steering import on, valid_layers
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

Signal = Literal["gap", "absolute", "ratio"]
SignalUnit = Literal["distance", "norm"]
Schedule = Literal["two_pass", "one_pass"]


class SelfRectifying(DriftSteering):
    """Reads, at layers after the corrected ones, the refusal coordinate under a trial correction (arXiv 2605.18104).

    With r the refusal direction and c the midpoint of the text means, at the last prompt token: gap <h_corrected -
    h_plain, r>, absolute <h_corrected - c, r>, ratio the quotient of corrected and plain absolute; the first two over
    |r|^2 (`signal_unit` "distance": 1 is the distance of the text means) or |r| ("norm": activation units);
    averaged over the signal layers.
    """

    schedule: Schedule
    signal: Signal
    signal_unit: SignalUnit
    signal_layers: list[int] | None
    signal_layers_: Tensor
    later_layers_: Tensor
    trial_: float
    _learnt: dict[tuple[float, str], float] | None = None

    def place_signal(self, depth: int) -> None:
        """Sets `signal_layers_`; for one_pass divides the corrected layers into those before and after them."""
        import torch

        edited = self.layers_.tolist()
        if self.signal_layers is not None:
            read = valid_layers("signal_layers", self.signal_layers, depth)
        elif self.schedule == "one_pass":
            read = [edited[len(edited) // 2]]
        else:
            read = list(range(edited[-1] + 1, min(edited[-1] + 9, depth)))
        before = [i for i in edited if not read or i < read[0]]
        after = [i for i in edited if read and i > read[-1]]
        if self.schedule == "one_pass" and read and not after:
            after = list(range(read[-1] + 1, depth))[:1]
        if not read or not before or (self.schedule == "two_pass" and len(before) < len(edited)):
            raise PluginError(
                f"the signal is read after the layers that are corrected, but signal_layers={read} and layers={edited} "
                f"(of {depth}) leave no room: choose earlier layers or later signal_layers"
            )
        if self.schedule == "one_pass" and not after:
            raise PluginError(f"schedule=one_pass: no layer is left after signal_layers={read} (of {depth})")
        self.signal_layers_, self.layers_, self.later_layers_ = (
            torch.tensor(layers, dtype=torch.long) for layers in (read, before, after)
        )

    def signals(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, float]:
        """The self-rectification signal by prompt id, under a trial correction of strength `trial_`."""
        from harness.residual import read

        # While fitting, many strengths are tried on the same prompts, and the signal depends on the trial alone.
        learnt = {} if self._learnt is None else self._learnt
        fresh = [p for p in prompts if (self.trial_, p.id) not in learnt]
        layers = self.signal_layers_.tolist()
        plain = None
        if self.signal != "absolute":
            plain = self._along(read(model.root, fresh, layers=layers, on_error="nan"))
        trial = dict.fromkeys((p.id for p in fresh), self.trial_)
        with self.corrected(model.root, trial, {p.id: media_of(p) for p in fresh}):
            corrected = self._along(read(model.root, fresh, layers=layers, on_error="nan"))
        if plain is None:
            signal = corrected
        elif self.signal == "gap":
            signal = corrected - plain
        else:
            # A projection near zero has no meaningful ratio; its sign is kept and its size bounded.
            signal = corrected / plain.abs().clamp_min(1e-3).copysign(plain)
        learnt.update({(self.trial_, p.id): float(s) for p, s in zip(fresh, signal, strict=True)})
        return {p.id: learnt[self.trial_, p.id] for p in prompts}

    def _along(self, states: Tensor) -> Tensor:
        """Absolute signal [n] of states [n, signal layers, d], averaged over the layers."""
        found = [self.coordinate(states[:, i], layer) for i, layer in enumerate(self.signal_layers_.tolist())]
        return sum(found[1:], found[0]) / len(found)

    def coordinate(self, states: Tensor, layer: int) -> Tensor:
        """Refusal coordinate [k] of states [k, d], 0 between the text means."""
        refusal = on(self.refusal_[layer], states)
        size = refusal.square().sum() if self.signal_unit == "distance" else refusal.norm()
        return (states.float() - on(self.midpoint_[layer], states)) @ refusal / size.clamp_min(1e-12)
