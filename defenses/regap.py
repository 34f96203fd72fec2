from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from harness.calibration import Calibration, Kind
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import DriftClass, Orthogonalise, auroc
from harness.drift import DriftSteering, Form
from harness.gates import Gate, Ramp
from harness.steering import Dose, Inputs, checked, on, valid_layers
from harness.strength import AUTO, choose, given, strength_of, validation_prompts
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

Signal = Literal["gap", "absolute", "ratio"]
Schedule = Literal["two_pass", "one_pass"]
TRIALS = (0.1, 0.3, 1.0, 2.0)


class ReGap(DriftSteering):
    """Corrects modality drift as strongly as the model, once corrected, calls the input harmful (reconstruction).

    A trial correction of strength alpha0 lets the later layers recover the refusal projection of harmful inputs: the
    self-rectification signal s. A ramp turns s into the strength alpha(x) with which the answer is generated.

    alpha0        "auto": two_pass: the trial whose signal tells harmful from benign validation prompts best; one_pass,
                  where the trial acts on every prompt: as the strength of `drift_correction`
    schedule      two_pass: read plain, read corrected, generate (two extra forward passes; one for absolute).
                  one_pass: alpha0 at the layers before the signal layers, alpha(x) at those after, in the generating
                  pass itself; needs signal=absolute
    signal        gap: <h_corrected - h_plain, r>/|r|^2;  absolute: <h_corrected - c, r>/|r|^2, c the midpoint of the
                  text means;  ratio: corrected over plain absolute signal. At the last prompt token, averaged over the
                  signal layers
    gate          clipped_linear from tau to tau + width, sigmoid of temperature width/8 around tau, or hard at tau
    tau, width    None: from the validation split, s_lo the 95th percentile of benign and s_hi the median of harmful
                  prompts with media; width = s_hi - s_lo, tau = s_lo (sigmoid: the middle)
    gamma         one_pass: pushes layers after the signal by gamma max(s, 0) r
    signal_layers by default up to eight layers after the corrected ones (one_pass: the middle one of `layers`)
    The other parameters are those of `drift_correction`.
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "reconstruction",
        "arXiv 2605.18104: abstract and third-party notes; the adaptive rule has the form of AdaSteer (2504.09466)",
        (
            "no public code or full text: equations, layers, positions, strengths and calibration data are "
            "reconstructed, and every open choice is a parameter",
            "the signal is read as the change of the refusal projection under a trial correction",
            "drift is pooled over modalities",
            "on the organism the default, drift orthogonal to the refusal direction, has next to no effect; what "
            "orthogonalise=none gains there is owed to the part of the drift along the refusal direction",
        ),
    )

    knob: ClassVar[str | None] = "alpha_max"

    def __init__(
        self,
        alpha_max: float | str = AUTO,
        alpha0: float | str = AUTO,
        alpha_min: float = 0.0,
        schedule: Schedule = "two_pass",
        signal: Signal = "gap",
        gate: Gate = "clipped_linear",
        tau: float | None = None,
        width: float | None = None,
        gamma: float = 0.0,
        layers: list[int] | None = None,
        depth: tuple[float, float] = (0.25, 0.75),
        signal_layers: list[int] | None = None,
        orthogonalise: Orthogonalise = "d_perp_r",
        drift_class: DriftClass = "balanced",
        form: Form = "shift",
        positions: str = "last",
        phase: str = "prefill",
        inputs: Inputs = "media",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        super().__init__(
            alpha=alpha_max,
            layers=layers,
            depth=depth,
            orthogonalise=orthogonalise,
            drift_class=drift_class,
            form=form,
            positions=positions,
            phase=phase,
            inputs=inputs,
            sign=sign,
            max_over_refusal=max_over_refusal,
        )
        given("alpha0", alpha0)
        checked("schedule", schedule, get_args(Schedule))
        checked("signal", signal, get_args(Signal))
        checked("gate", gate, get_args(Gate))
        if schedule == "one_pass" and signal != "absolute":
            raise PluginError(f"regap(schedule=one_pass) cannot read signal={signal} in one pass: set signal=absolute")
        if gamma and schedule != "one_pass":
            raise PluginError("regap(gamma=...) pushes layers after the signal, which only schedule=one_pass has")
        self.alpha_max = alpha_max
        self.alpha0 = alpha0
        self.alpha_min = alpha_min
        self.schedule = schedule
        self.signal = signal
        self.gate = gate
        self.tau = tau
        self.width = width
        self.gamma = gamma
        self.signal_layers = signal_layers
        self.reads_first = schedule == "two_pass"

    _learnt: dict[tuple[float, str], float] | None = None
    signal_layers_: Tensor
    later_layers_: Tensor
    trial_: float
    tau_: float
    width_: float

    def fit(self, model: Model, calibration: Calibration) -> Self:
        self.learn(model, calibration)
        self._place_signal(len(self.drift_))
        self.tau_, self.width_, self.strength_ = 0.0, 1.0, self.alpha_min
        self._learnt = {}
        trial = given("alpha0", self.alpha0)
        self.trial_ = self._trial(model, calibration) if trial is None else trial
        ramp = Ramp.calibrated(self.gate, *self._validation_signals(model, calibration))
        self.tau_ = ramp.tau if self.tau is None else float(self.tau)
        self.width_ = ramp.width if self.width is None else float(self.width)
        self.strength_ = strength_of(self, self.alpha_max, model, calibration, max_over_refusal=self.max_over_refusal)
        self._learnt = None
        return self

    def _trial(self, model: Model, calibration: Calibration) -> float:
        import torch

        if self.schedule == "one_pass":
            return choose(self, model, calibration, max_over_refusal=self.max_over_refusal, name="trial_")
        told_apart: dict[float, float] = {}
        for self.trial_ in TRIALS:
            high, low = (torch.tensor(s) for s in self._validation_signals(model, calibration))
            told_apart[self.trial_] = round(float(auroc(high, low)), 4)
        return max(TRIALS, key=lambda trial: told_apart[trial])

    def _validation_signals(self, model: Model, calibration: Calibration) -> list[list[float]]:
        """Of harmful and of benign prompts with media."""
        kinds: tuple[Kind, ...] = ("harmful", "benign")
        found = [self._signals(model, validation_prompts(self, calibration, kind)) for kind in kinds]
        return [[s for s in scores.values() if math.isfinite(s)] for scores in found]

    def doses(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, Dose]:
        doses = {p.id: Dose(triggered=False) for p in prompts}
        acted = {p.id: p for p in prompts if self.acts_on(p)}
        if self.schedule == "one_pass":
            # The signal comes during the generating pass; until then 1 says that the prompt is acted on.
            return doses | {key: Dose(strength=1.0) for key in acted}
        scores = self._signals(model, list(acted.values()))
        for key in acted:
            doses[key] = Dose(extra_passes=1 if self.signal == "absolute" else 2)
            self._decide(doses[key], scores[key])
        return doses

    @contextmanager
    def steer(self, model: Model, doses: Mapping[str, Dose]) -> Iterator[None]:
        from harness.residual import edit

        if self.schedule == "two_pass":
            with super().steer(model, doses):
                yield
            return
        heard: dict[str, dict[int, float]] = {}

        def listen(states: Tensor, site: Any) -> Tensor:
            values = self._absolute(states, site.layer).tolist()
            for key, value in zip(_ids(site), values, strict=True):
                heard.setdefault(key, {})[site.layer] = value
                if len(heard[key]) == len(self.signal_layers_):
                    self._decide(doses[key], sum(heard[key].values()) / len(heard[key]))
            return states

        def follow(states: Tensor, site: Any) -> Tensor:
            found = [doses[key] for key in _ids(site)]
            alpha = states.new_tensor([d.strength for d in found])[:, None].float()
            push = states.new_tensor([self.gamma * max(d.score or 0.0, 0.0) for d in found])[:, None].float()
            step = push * on(self.refusal_[site.layer], states) - alpha * self.correction(states, site.layer)
            return (states.float() + self.sign * step).to(states.dtype)

        open_rows = {key: float(dose.strength > 0) for key, dose in doses.items()}
        trial = {key: self.sign * self.trial_ * is_open for key, is_open in open_rows.items()}
        where: Any = {"positions": self.positions, "phase": self.phase}
        last: Any = {"positions": "last", "phase": "prefill"}
        with (
            edit(model, self.layers_.tolist(), self.change, strength=trial, **where),
            edit(model, self.signal_layers_.tolist(), listen, strength=open_rows, **last),
            edit(model, self.later_layers_.tolist(), follow, strength=open_rows, **where),
        ):
            yield

    def _place_signal(self, depth: int) -> None:
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
                f"regap reads its signal after the layers that it corrects, but signal_layers={read} and "
                f"layers={edited} (of {depth}) leave no room: choose earlier layers or later signal_layers"
            )
        if self.schedule == "one_pass" and not after:
            raise PluginError(f"regap(schedule=one_pass): no layer is left after signal_layers={read} (of {depth})")
        self.signal_layers_, self.layers_, self.later_layers_ = (
            torch.tensor(layers, dtype=torch.long) for layers in (read, before, after)
        )

    def _signals(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, float]:
        """The self-rectification signal by prompt id, under a trial correction of strength `trial_`."""
        from harness.residual import edit, read

        # While fitting, many strengths are tried on the same prompts, and the signal depends on the trial alone.
        learnt = {} if self._learnt is None else self._learnt
        fresh = [p for p in prompts if (self.trial_, p.id) not in learnt]
        layers = self.signal_layers_.tolist()
        where: Any = {"positions": self.positions, "phase": self.phase}
        plain = None
        if self.signal != "absolute":
            plain = self._along(read(model.root, fresh, layers=layers, on_error="nan"))
        with edit(model.root, self.layers_.tolist(), self.change, strength=self.trial_, **where):
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
        found = [self._absolute(states[:, i], layer) for i, layer in enumerate(self.signal_layers_.tolist())]
        return sum(found[1:], found[0]) / len(found)

    def _absolute(self, states: Tensor, layer: int) -> Tensor:
        """Refusal coordinate [k] of states [k, d]: 0 between the text means, in units of their distance."""
        refusal = on(self.refusal_[layer], states)
        return (states.float() - on(self.midpoint_[layer], states)) @ refusal / refusal.square().sum().clamp_min(1e-12)

    def _decide(self, dose: Dose, signal: float) -> None:
        if not math.isfinite(signal):
            dose.error = "regap could not read its self-rectification signal for this prompt"
            dose.strength = 0.0
            return
        share = Ramp(self.gate, self.tau_, self.width_)(signal)
        dose.strength = self.alpha_min + (self.strength_ - self.alpha_min) * share
        dose.score = signal
        dose.triggered = share >= 0.5 if self.gate == "sigmoid" else share > 0
        dose.signals = {"self_rectification": signal, "alpha": dose.strength}


def _ids(site: Any) -> list[str]:
    """The prompt of each state."""
    return [site.prompt_ids[row] for row in site.rows.tolist()]
