from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from harness.calibration import Calibration, Kind, media_of
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import DriftClass, Orthogonalise, RefusalFrom, auroc
from harness.drift import Form, Pooling
from harness.gates import Gate, Ramp
from harness.self_rectification import Schedule, SelfRectifying, Signal, SignalUnit
from harness.steering import GRID, Dose, Inputs, checked, on
from harness.strength import AUTO, choose, given, rates, strength_of, validation_prompts
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

TRIALS = (0.1, 0.3, 1.0, 2.0)
SPARED = (0.95, 0.9, 0.85, 0.8, 0.7)


class ReGap(SelfRectifying):
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
                  signal layers; with signal_unit "norm" over |r| instead of |r|^2
    gate          clipped_linear from tau to tau + width, sigmoid of temperature width/8 around tau, or hard at tau
    tau, width    None: from the validation split, s_lo the quantile `spared` of benign and s_hi the median of harmful
                  prompts with media; width = s_hi - s_lo, tau = s_lo (sigmoid: the middle)
    spared        share of benign validation prompts for which the gate stays shut; "auto": from 0.95 down, what refuses
                  most while benign losses stay within `max_over_refusal`
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
        signal_unit: SignalUnit = "distance",
        gate: Gate = "clipped_linear",
        tau: float | None = None,
        width: float | None = None,
        spared: float | str = AUTO,
        gamma: float = 0.0,
        layers: list[int] | None = None,
        depth: tuple[float, float] = (0.25, 0.75),
        signal_layers: list[int] | None = None,
        orthogonalise: Orthogonalise = "d_perp_r",
        drift_class: DriftClass = "balanced",
        pooling: Pooling = "modality",
        variants: list[str] | None = None,
        questions: int | None = None,
        refusal_from: RefusalFrom = "each",
        read_tokens: int = 1,
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
            pooling=pooling,
            variants=variants,
            questions=questions,
            refusal_from=refusal_from,
            read_tokens=read_tokens,
            form=form,
            positions=positions,
            phase=phase,
            inputs=inputs,
            sign=sign,
            max_over_refusal=max_over_refusal,
        )
        given("alpha0", alpha0)
        if (share := given("spared", spared)) is not None and not 0 < share < 1:
            raise PluginError(f"spared={spared} must be a share between 0 and 1")
        checked("schedule", schedule, get_args(Schedule))
        checked("signal", signal, get_args(Signal))
        checked("signal_unit", signal_unit, get_args(SignalUnit))
        checked("gate", gate, get_args(Gate))
        if schedule == "one_pass" and signal != "absolute":
            raise PluginError(f"regap(schedule=one_pass) cannot read signal={signal} in one pass: set signal=absolute")
        if gamma and schedule != "one_pass":
            raise PluginError("regap(gamma=...) pushes layers after the signal, which only schedule=one_pass has")
        if (most := given("alpha_max", alpha_max)) is not None and most < alpha_min:
            raise PluginError(f"alpha_max={alpha_max} is below alpha_min={alpha_min}: the gate would open backwards")
        self.alpha_max = alpha_max
        self.alpha0 = alpha0
        self.alpha_min = alpha_min
        self.schedule = schedule
        self.signal = signal
        self.signal_unit = signal_unit
        self.gate = gate
        self.tau = tau
        self.width = width
        self.spared = spared
        self.gamma = gamma
        self.signal_layers = signal_layers
        self.reads_first = schedule == "two_pass"

    tau_: float
    width_: float

    def fit(self, model: Model, calibration: Calibration) -> Self:
        self.learn(model, calibration)
        self.place_signal(len(self.drift_))
        self.tau_, self.width_, self.strength_ = 0.0, 1.0, self.alpha_min
        self._learnt = {}
        trial = given("alpha0", self.alpha0)
        self.trial_ = self._trial(model, calibration) if trial is None else trial
        scores = self._validation_signals(model, calibration)
        self._open(scores, given("spared", self.spared) or SPARED[0])
        grid = [alpha for alpha in GRID if alpha >= self.alpha_min] or [self.alpha_min]
        chosen = strength_of(
            self, self.alpha_max, model, calibration, max_over_refusal=self.max_over_refusal, grid=grid
        )
        self.strength_ = max(chosen, self.alpha_min)
        if self.spared == AUTO and self.tau is None:
            self._spare(scores, model, calibration)
        self._learnt = None
        return self

    def _open(self, scores: list[list[float]], spared: float) -> None:
        harmful, benign = scores
        ramp = Ramp.calibrated(self.gate, harmful, benign, spared)
        self.tau_ = ramp.tau if self.tau is None else float(self.tau)
        self.width_ = ramp.width if self.width is None else float(self.width)

    def _spare(self, scores: list[list[float]], model: Model, calibration: Calibration) -> None:
        """Opens the gate as far as refuses most while benign losses stay within `max_over_refusal`."""
        harmful, benign = (validation_prompts(self, calibration, kind) for kind in ("harmful", "benign"))  # type: ignore[arg-type]
        allowed = max(self.max_over_refusal, rates(model, harmful, benign)[1])
        best, most = SPARED[0], -1.0
        sign, self.sign = self.sign, 1  # a sign-flipped control has the gate of the method
        for spared in SPARED:
            self._open(scores, spared)
            refused, lost = rates(self.wrap(model), harmful, benign)
            if lost > allowed:
                break
            if refused > most:
                best, most = spared, refused
        self.sign = sign
        self._open(scores, best)

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
        found = [self.signals(model, validation_prompts(self, calibration, kind)) for kind in kinds]
        known = [[s for s in scores.values() if math.isfinite(s)] for scores in found]
        if not all(known):
            raise PluginError("regap could read its signal on no validation prompt with media: are its files broken?")
        return known

    def doses(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, Dose]:
        doses = {p.id: Dose(triggered=False) for p in prompts}
        acted = {p.id: p for p in prompts if self.acts_on(p)}
        if self.schedule == "one_pass":
            # The signal comes during the generating pass; until then 1 says that the prompt is acted on.
            return doses | {key: Dose(strength=1.0, medium=media_of(p)) for key, p in acted.items()}
        scores = self.signals(model, list(acted.values()))
        for key, prompt in acted.items():
            doses[key] = Dose(extra_passes=1 if self.signal == "absolute" else 2, medium=media_of(prompt))
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
            values = self.coordinate(states, site.layer).tolist()
            for key, value in zip(_ids(site), values, strict=True):
                heard.setdefault(key, {})[site.layer] = value
                if len(heard[key]) == len(self.signal_layers_):
                    self._decide(doses[key], sum(heard[key].values()) / len(heard[key]))
            return states

        def follow(states: Tensor, site: Any) -> Tensor:
            found = [doses[key] for key in _ids(site)]
            alpha = states.new_tensor([d.strength for d in found])[:, None].float()
            push = states.new_tensor([self.gamma * max(d.score or 0.0, 0.0) for d in found])[:, None].float()
            taken = self.correction(states, site.layer, self.drift_of(site, media))
            step = push * on(self.refusal_[site.layer], states) - alpha * taken
            return (states.float() + self.sign * step).to(states.dtype)

        media = {key: dose.medium for key, dose in doses.items()}
        open_rows = {key: float(dose.strength > 0) for key, dose in doses.items()}
        trial = {key: self.sign * self.trial_ * is_open for key, is_open in open_rows.items()}
        where: Any = {"positions": self.positions, "phase": self.phase}
        last: Any = {"positions": "last", "phase": "prefill"}
        with (
            self.corrected(model, trial, media),
            edit(model, self.signal_layers_.tolist(), listen, strength=open_rows, **last),
            edit(model, self.later_layers_.tolist(), follow, strength=open_rows, **where),
        ):
            yield

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
