from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, get_args

from harness.calibration import MEDIA, Calibration, CalibrationSplit
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import band, projection, unit
from harness.layer_scores import Consistency, Separability, best_layers, layer_scores
from harness.neutral import Look, Neutral, Sound, usual_size
from harness.recentring import Recentring
from harness.states import last_token_states
from harness.steering import Dose, Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import given, strength_of
from harness.types import GenerationConfig, MediaError, Prompt, Response

if TYPE_CHECKING:
    from torch import Tensor

Origin = Literal["midpoint", "safe", "zero"]
Reference = Literal["safe", "neutral_text", "midpoint", "zero"]
Scaling = Literal["distance", "projection"]
Distance = Literal["euclidean", "axis"]
Region = Literal["quantile", "centroid", "radius", "none"]
NeutralPrompt = Literal["empty", "fixed", "own"]
Tokens = Literal["first", "all"]
GRID = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
NEUTRALS = 32
SIZE = (336, 336)


@dataclass
class Traversal(Dose):
    """`bias` [layers, d] is what re-centring takes from the states, None for nothing; `moves` the distances moved
    along the refusal direction at the prompt's last token, by layer."""

    bias: Tensor | None = None
    moves: dict[int, float] | None = None


class Reading(NamedTuple):
    """All [k]: gate coordinate p, distance ratio t, strength lambda, coordinate z after the move (0 at the safe
    centroid)."""

    p: Tensor
    t: Tensor
    strength: Tensor
    z: Tensor


class MARS(SteeringDefense):
    """Moves what looks unsafe, once re-centred, further along the text refusal direction (reconstruction).

    At one layer and the first token, h + lambda r, with lambda 0 for what projects on the safe side (a ReLU gate) and
    bounded by the support of the unsafe texts (a trust region). States of prompts with media are first re-centred by
    the mean effect of neutral media. All is read in the generating pass itself.

    kappa         lambda is kappa t |Delta| (scaling=distance) or kappa p (projection), before it is bounded; "auto"
                  chooses on validation. Halfway between the centroids 1 leads to the unsafe one
    distance      t = |h - c_s| / (|h - c_s| + |h - c_u|): euclidean, or of the coordinates along r alone (axis)
    gate_origin   where the gate opens: the midpoint of the text centroids, the safe one, or zero
    trust         bound of the final coordinate: quantile `rho` of unsafe texts, unsafe centroid, none; or radius: the
                  ball about the unsafe centroid that holds the share `rho` of unsafe texts
    reference     where neutral media are moved to: safe centroid, the same prompt without media (neutral_text),
                  midpoint or zero
    n_neutral     media a modality; None: 32, or 1 with neutral_prompt=own; 0: no re-centring
    neutral_look, neutral_sound, resolution, frames, seconds   see `harness.neutral`; resolution None: the commonest of
                  the calibration pictures, else 336 x 336
    neutral_prompt  beside neutral media: empty, fixed (`neutral_text`), or the user's own prompt, whose media are
                  replaced by neutral ones of their size: n_neutral extra passes, one more with reference=neutral_text
    layer         None: the best `n_best` of the band `depth` by `weights` of consistency, separability and margin on
                  validation texts
    consistency   mean cosine of unsafe texts with r, or cosine of r with that of the validation half
    tokens        first, or all: the first token's move is repeated at each later one
    system        a system prompt, in calibration and answers
    inputs        all prompts, or those with media alone
    sign          -1 is the sign-flipped control
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "reconstruction",
        "arXiv 2606.31876: abstract and third-party notes",
        (
            "no public code or full text: formulas, neutral prompts, their number and the layer scores' weights are "
            "reconstructed, and every open choice is a parameter",
            "the first generated token is steered at the last prompt token, which produces it",
            "neutral media may become more or fewer tokens than a prompt's own, except with neutral_prompt=own",
            "a prompt of several modalities is re-centred by the sum of their biases; how many media of a modality it "
            "holds does not matter",
            "sound is an extension",
            "refused and unsafe are one: the text sets are the harmful and benign calibration prompts",
        ),
    )

    knob: ClassVar[str | None] = "kappa"
    knob_values: ClassVar[tuple[float, ...]] = GRID

    def __init__(
        self,
        kappa: float | str = 1.0,
        scaling: Scaling = "distance",
        distance: Distance = "euclidean",
        gate_origin: Origin = "midpoint",
        trust: Region = "quantile",
        rho: float = 0.95,
        reference: Reference = "safe",
        n_neutral: int | None = None,
        neutral_look: Look = "uniform",
        neutral_sound: Sound = "noise",
        resolution: tuple[int, int] | None = None,
        frames: int = 8,
        seconds: float = 2.0,
        neutral_prompt: NeutralPrompt = "empty",
        neutral_text: str = "Describe the {medium}.",
        layer: int | None = None,
        n_best: int = 1,
        depth: tuple[float, float] = (0.2, 0.9),
        weights: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
        consistency: Consistency = "cosine",
        separability: Separability = "auroc",
        tokens: Tokens = "first",
        system: str = "",
        inputs: Inputs = "all",
        sign: int = 1,
        seed: int = 0,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("kappa", kappa)
        for name, value, known in (
            ("scaling", scaling, Scaling),
            ("distance", distance, Distance),
            ("gate_origin", gate_origin, Origin),
            ("trust", trust, Region),
            ("reference", reference, Reference),
            ("neutral_look", neutral_look, Look),
            ("neutral_sound", neutral_sound, Sound),
            ("neutral_prompt", neutral_prompt, NeutralPrompt),
            ("consistency", consistency, Consistency),
            ("separability", separability, Separability),
            ("tokens", tokens, Tokens),
        ):
            checked(name, value, get_args(known))
        if not 0 <= rho <= 1:
            raise PluginError(f"rho={rho} must be a share between 0 and 1")
        if len(weights) != 3 or min(weights) < 0:
            raise PluginError(f"weights={list(weights)} must be three numbers of 0 or more, one a layer score")
        for name, count, least in (("n_neutral", n_neutral, 0), ("n_best", n_best, 1), ("frames", frames, 1)):
            if count is not None and count < least:
                raise PluginError(f"{name}={count} must be {least} or more")
        self.kappa = kappa
        self.scaling = scaling
        self.distance = distance
        self.gate_origin = gate_origin
        self.trust = trust
        self.rho = rho
        self.reference = reference
        self.n_neutral = n_neutral
        self.neutral_look = neutral_look
        self.neutral_sound = neutral_sound
        self.resolution = resolution
        self.frames = frames
        self.seconds = seconds
        self.neutral_prompt = neutral_prompt
        self.neutral_text = neutral_text
        self.layer = layer
        self.n_best = n_best
        self.depth = depth
        self.weights = weights
        self.consistency = consistency
        self.separability = separability
        self.tokens = tokens
        self.system = system
        self.rewrites = bool(system)
        self.seed = seed
        self._keep(positions="last", phase="prefill", inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    safe_: Tensor
    unsafe_: Tensor
    limit_: Tensor
    layer_scores_: Tensor
    best_layer_: int
    bias_: Tensor
    modalities_: list[str]
    unmeasured_: list[str]
    size_: list[int]

    def fit(self, model: Model, calibration: Calibration) -> Self:
        calibration.require(self.plugin_name or type(self).__name__)
        safe, unsafe = self._texts(model, calibration.train)
        held = calibration.validation
        if not (held.text("benign") and held.text("harmful")):
            held = calibration.train
        self.safe_, self.unsafe_ = safe.mean(0), unsafe.mean(0)
        self.limit_ = self._limit(unsafe)
        self.layer_scores_ = layer_scores(
            safe, unsafe, *self._texts(model, held), consistency=self.consistency, separability=self.separability
        )
        self._choose_layers()
        size = self.resolution or usual_size(s.prompt for s in calibration.samples) or SIZE
        self.size_ = list(size)
        self._measure_biases(model, calibration)
        self.strength_ = strength_of(
            self, self.kappa, model, calibration, max_over_refusal=self.max_over_refusal, grid=GRID
        )
        return self

    def respond(self, model: Model, prompts: list[Prompt], config: GenerationConfig) -> list[Response]:
        return super().respond(model, [self._dressed(p) for p in prompts], config)

    def doses(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, Dose]:
        found: dict[str, Dose] = {p.id: Traversal(triggered=False) for p in prompts}
        if self.strength_ == 0:
            return found
        acted = {p.id: p for p in prompts if self.acts_on(p)}
        found |= {key: Traversal(strength=1.0, triggered=False) for key in acted}
        media = [p for p in acted.values() if p.media]
        recentring = self._recentring()
        if recentring is None or not media:
            return found
        if self.neutral_prompt != "own":
            return found | {p.id: self._recentred(p) for p in media}
        for key, bias in recentring.own_biases(model, media).items():
            if isinstance(bias, str):
                found[key] = Traversal(error=f"mars: {bias}")
            else:
                found[key] = Traversal(strength=1.0, triggered=False, extra_passes=recentring.passes, bias=bias)
        return found

    @contextmanager
    def steer(self, model: Model, doses: Mapping[str, Dose]) -> Iterator[None]:
        import torch

        from harness.residual import edit

        def traverse(states: Tensor, site: Any) -> Tensor:
            rows = [_dose(doses, site.prompt_ids[row]) for row in site.rows.tolist()]
            reading = self.measure(states, site.layer, _biases(rows, states, site.layer))
            for dose, *values in zip(rows, *(v.tolist() for v in reading), strict=True):
                self._note(dose, site.layer, *values)
            return self._moved(states, site, reading.strength)

        def repeat(states: Tensor, site: Any) -> Tensor:
            rows = [_dose(doses, site.prompt_ids[row]) for row in site.rows.tolist()]
            moves = [(dose.moves or {}).get(site.layer, 0.0) for dose in rows]
            return self._moved(states, site, states.new_tensor(moves, dtype=torch.float32))

        strengths = {key: self.sign * dose.strength for key, dose in doses.items()}
        layers = self.layers_.tolist()
        with edit(model, layers, traverse, positions="last", phase="prefill", strength=strengths):
            if self.tokens == "first":
                yield
                return
            with edit(model, layers, repeat, positions="generated", phase="decode", strength=strengths):
                yield

    def measure(self, states: Tensor, layer: int, bias: Tensor | float = 0.0) -> Reading:
        """What is read off states [k, d] of a layer, re-centred by `bias`, and how far to move them along r."""
        centred = states.float() - bias
        safe, unsafe = on(self.safe_[layer], states), on(self.unsafe_[layer], states)
        gap = (unsafe - safe).norm()
        axis = unit(unsafe - safe)
        origin = {"midpoint": (safe + unsafe) / 2, "safe": safe, "zero": states.new_zeros(()).float()}[self.gate_origin]
        z = (centred - safe) @ axis
        p = (centred - origin) @ axis
        if self.distance == "euclidean":
            near, far = (centred - safe).norm(dim=-1), (centred - unsafe).norm(dim=-1)
        else:
            near, far = z.abs(), (z - gap).abs()
        t = near / (near + far).clamp_min(1e-12)
        raw = self.strength_ * (t * gap if self.scaling == "distance" else p)
        limit = float(self.limit_[layer])
        room = limit - z if self.trust != "radius" else _room_in_ball(centred - unsafe, axis, limit)
        strength = raw.clamp_min(0).minimum(room.clamp_min(0)) * (p > 0)
        return Reading(p, t, strength, z + self.sign * strength)

    def _moved(self, states: Tensor, site: Any, strength: Tensor) -> Tensor:
        import torch

        axis = unit(on(self.unsafe_[site.layer], states) - on(self.safe_[site.layer], states))
        moved = (states.float() + site.strength.float() * strength[:, None] * axis).to(states.dtype)
        return torch.where(strength[:, None] > 0, moved, states)

    def _note(self, dose: Traversal, layer: int, p: float, t: float, strength: float, z: float) -> None:
        if not math.isfinite(p):
            dose.error = "mars read states of this prompt that are no finite numbers"
            return
        dose.moves = {**(dose.moves or {}), layer: strength}
        dose.triggered = any(move > 0 for move in dose.moves.values())
        if layer == self.best_layer_:
            dose.score = p
            dose.signals = {"p": p, "t": t, "lambda": strength, "z": z}

    def _texts(self, model: Model, half: CalibrationSplit) -> tuple[Tensor, Tensor]:
        """States [n, layers, d] of safe and unsafe texts."""
        safe, unsafe = ([self._dressed(p) for p in half.text(kind)] for kind in ("benign", "harmful"))  # type: ignore[arg-type]
        return last_token_states(model, safe), last_token_states(model, unsafe)

    def _limit(self, unsafe: Tensor) -> Tensor:
        """[layers]: largest coordinate from the safe centroid, or radius of the ball about the unsafe one."""
        import torch

        delta = self.unsafe_ - self.safe_
        if self.trust == "none":
            return torch.full((len(delta),), torch.inf)
        if self.trust == "centroid":
            return delta.norm(dim=-1)
        if self.trust == "radius":
            return (unsafe - self.unsafe_).norm(dim=-1).quantile(self.rho, dim=0)
        return projection(unsafe - self.safe_, delta).quantile(self.rho, dim=0)

    def _choose_layers(self) -> None:
        """Sets `layers_` and, of these, `best_layer_`."""
        import torch

        depth = len(self.safe_)
        if self.layer is None:
            chosen = best_layers(self.layer_scores_, band(depth, self.depth), self.weights, self.n_best)
        else:
            chosen = valid_layers("layer", [self.layer], depth)
        self.best_layer_ = chosen[0]
        self.layers_ = torch.tensor(sorted(chosen))

    def _dressed(self, prompt: Prompt) -> Prompt:
        return prompt.with_system(self.system) if self.system else prompt

    def _recentring(self) -> Recentring | None:
        """None where nothing is re-centred."""
        own = self.neutral_prompt == "own"
        n = (1 if own else NEUTRALS) if self.n_neutral is None else self.n_neutral
        if n == 0:
            return None
        width, height = self.size_
        family = Neutral(
            self.neutral_look, self.neutral_sound, (width, height), self.frames, self.seconds, seed=self.seed
        )
        middle = (self.safe_ + self.unsafe_) / 2
        references = {"safe": self.safe_, "midpoint": middle, "zero": middle * 0, "neutral_text": None}
        return Recentring(family, n, references[self.reference], "" if own else self.system)

    def _measure_biases(self, model: Model, calibration: Calibration) -> None:
        """Sets `bias_` [modalities, layers, d] for whatever the model takes. What is in the calibration must be
        measurable; for the rest `unmeasured_` keeps the modality and the reason."""
        import torch

        self.modalities_, self.unmeasured_ = [], []
        biases: list[Tensor] = []
        recentring = self._recentring() if self.neutral_prompt != "own" else None
        met = frozenset[str]().union(*(s.prompt.modalities for s in calibration.samples))
        for modality in sorted(model.modalities & MEDIA) if recentring else ():
            assert recentring is not None
            text = self.neutral_text.replace("{medium}", modality) if self.neutral_prompt == "fixed" else ""
            try:
                biases.append(recentring.bias(model, modality, text))
            except (PluginError, MediaError) as error:
                if modality in met:
                    raise PluginError(
                        f"mars cannot measure what neutral {modality} does to the model: {error}"
                    ) from error
                self.unmeasured_.append(f"{modality}: {error}")
            else:
                self.modalities_.append(modality)
        self.bias_ = torch.stack(biases) if biases else torch.empty(0, *self.safe_.shape)

    def _recentred(self, prompt: Prompt) -> Traversal:
        held = sorted(prompt.modalities & MEDIA)
        if missing := [m for m in held if m not in self.modalities_]:
            why = [reason for reason in self.unmeasured_ if reason.startswith(f"{missing[0]}:")]
            return Traversal(
                error=f"mars has no neutral media to re-centre this prompt by: {', '.join(why or missing)}"
            )
        bias = self.bias_[[self.modalities_.index(m) for m in held]].sum(0)
        return Traversal(strength=1.0, triggered=False, bias=bias)


def _room_in_ball(offset: Tensor, axis: Tensor, radius: float) -> Tensor:
    """How far [k] points at `offset` [k, d] from the centre may go along `axis` and lie in the ball; 0 where the line
    misses it."""
    along = offset @ axis
    inside = along.square() - offset.square().sum(-1) + radius**2
    return (inside.clamp_min(0).sqrt() - along) * (inside >= 0)


def _dose(doses: Mapping[str, Dose], key: str) -> Traversal:
    dose = doses[key]
    assert isinstance(dose, Traversal)
    return dose


def _biases(doses: Sequence[Traversal], states: Tensor, layer: int) -> Tensor:
    import torch

    none = torch.zeros(states.shape[1])
    return torch.stack([none if d.bias is None else d.bias[layer] for d in doses]).to(states.device)
