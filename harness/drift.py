"""What the defenses that undo modality drift share: fitting the direction, and the forms of the correction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from harness.calibration import Calibration, media_of
from harness.contracts import Model, PluginError
from harness.directions import DriftClass, Orthogonalise, RefusalFrom, band, paired_directions, unit
from harness.steering import Dose, Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import AUTO, given, strength_of
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

Form = Literal["shift", "unit", "projection"]
Pooling = Literal["modality", "pooled"]


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
        given("alpha", alpha)
        checked("form", form, get_args(Form))
        checked("orthogonalise", orthogonalise, get_args(Orthogonalise))
        checked("drift_class", drift_class, get_args(DriftClass))
        checked("pooling", pooling, get_args(Pooling))
        checked("refusal_from", refusal_from, get_args(RefusalFrom))
        if read_tokens < 1 or (questions is not None and questions < 1):
            raise PluginError("read_tokens and questions must be at least 1")
        self.alpha = alpha
        self.layers = layers
        self.depth = depth
        self.orthogonalise = orthogonalise
        self.drift_class = drift_class
        self.pooling = pooling
        self.variants = variants
        self.questions = questions
        self.refusal_from = refusal_from
        self.read_tokens = read_tokens
        self.form = form
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    drift_: Tensor
    refusal_: Tensor
    text_mean_: Tensor
    midpoint_: Tensor
    media_: list[str]
    """Media whose drift was measured apart; `drifts_` [media, layers, d]. Others get the pooled `drift_`."""
    drifts_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Learns the directions on the training split and the strength on the validation split."""
        self.learn(model, calibration)
        self.strength_ = strength_of(self, self.alpha, model, calibration, max_over_refusal=self.max_over_refusal)
        return self

    def learn(self, model: Model, calibration: Calibration) -> None:
        """Sets the directions, all [layers, d], and `layers_`."""
        import torch

        who = self.plugin_name or type(self).__name__
        calibration.require(who, pairs=True)
        split = calibration.train.part(variants=self.variants, questions=self.questions)
        if not all(split.pairs(kind) for kind in ("harmful", "benign")):  # type: ignore[arg-type]
            known = ", ".join(sorted({s.variant for s in calibration.train.samples}))
            raise PluginError(
                f"{who}: no pairs are left with variants={self.variants}; the calibration set has {known}"
            )
        found = paired_directions(
            model,
            split,
            drift_class=self.drift_class,
            orthogonalise=self.orthogonalise,
            refusal_from=self.refusal_from,
            read_tokens=self.read_tokens,
        )
        self.drift_, self.refusal_ = found.drift, found.refusal
        self.text_mean_, self.midpoint_ = found.text_mean, found.midpoint
        apart = found.by_medium if self.pooling == "modality" and len(found.by_medium) > 1 else {}
        self.media_ = list(apart)
        self.drifts_ = torch.stack([*apart.values()]) if apart else self.drift_.new_empty(0, *self.drift_.shape)
        depth = len(found.drift)
        edited = band(depth, self.depth) if self.layers is None else valid_layers("layers", self.layers, depth)
        self.layers_ = torch.tensor(edited)

    def doses(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, Dose]:
        return {p.id: Dose(self.strength_ if self.acts_on(p) else 0.0, medium=media_of(p)) for p in prompts}

    @contextmanager
    def steer(self, model: Model, doses: Mapping[str, Dose]) -> Iterator[None]:
        strengths = {key: self.sign * dose.strength for key, dose in doses.items()}
        with self.corrected(model, strengths, {key: dose.medium for key, dose in doses.items()}):
            yield

    @contextmanager
    def corrected(self, model: Model, strengths: Mapping[str, float], media: Mapping[str, str]) -> Iterator[None]:
        """While open, states at `layers_` are corrected, each prompt's by the drift of its media; both by prompt id."""
        from harness.residual import edit

        def change(states: Tensor, site: Any) -> Tensor:
            taken = self.correction(states, site.layer, self.drift_of(site, media))
            return (states.float() - site.strength * taken).to(states.dtype)

        where: Any = {"positions": self.positions, "phase": self.phase}
        with edit(model, self.layers_.tolist(), change, strength=strengths, **where):
            yield

    def drift_of(self, site: Any, media: Mapping[str, str]) -> Tensor:
        """The drift that applies to each of the k states of a site: [k, d], or [d] where one applies to all."""
        import torch

        if not self.media_:
            return self.drift_[site.layer]
        known = {name: self.drifts_[i, site.layer] for i, name in enumerate(self.media_)}
        rows = [known.get(media[site.prompt_ids[row]], self.drift_[site.layer]) for row in site.rows.tolist()]
        return torch.stack(rows)

    def change(self, states: Tensor, site: Any) -> Tensor:
        return (states.float() - site.strength * self.correction(states, site.layer)).to(states.dtype)

    def correction(self, states: Tensor, layer: int, drift: Tensor | None = None) -> Tensor:
        """What strength 1 takes away from states [k, d], for a drift [k, d] or [d] (default: the pooled one)."""
        drift = on(self.drift_[layer] if drift is None else drift, states)
        if self.form == "projection":
            axis = unit(drift)
            return ((states.float() - on(self.text_mean_[layer], states)) * axis).sum(-1, keepdim=True) * axis
        if self.form == "unit":
            return unit(drift) * float(self.drift_[self.layers_].norm(dim=-1).mean())
        return drift
