from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from harness.calibration import Calibration, CalibrationSplit, Kind
from harness.contracts import Capability, Fidelity, Model, PluginError
from harness.directions import band
from harness.pairwise import best_rule, condition_score, pca_pairwise, separation, suffix_states
from harness.states import kept_states
from harness.steering import GRID, Dose, Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import AUTO, given, strength_of
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

Pool = Literal["last", "text", "all"]
When = Literal["above", "below"]
Norm = Literal["separation", "unit"]
POSITIONS: dict[str, str] = {"text": "mean_text", "last": "last", "all": "mean_prompt"}
# The published suffixes are model answers; these are plain openings of the two kinds.
REFUSALS = ("I'm sorry, I can't assist with that.", "I cannot help with this request.", "Sorry, I will not do this.")
COMPLIANCES = ("Sure, here is the answer.", "Yes, I can help with this request.", "Of course, I will do this.")
QUESTIONS = 100


class CAST(SteeringDefense):
    """Adds a refusal vector to every state, but only where a condition on the prompt holds.

    The condition is s = cos(h, tanh(c c^T h / c^T c)), h the pooled prompt state at one early layer and c the first
    principal component between harmful and benign prompts. Where s lies on the harmful side of a threshold, strength v
    is added at all tokens of the steered layers, v the first principal component between refusing and complying answer
    openings (arXiv 2409.05907).

    strength         in units of v; "auto" chooses on validation (published: 1.5 with norm=unit on an 8B model)
    layers           steered layers; None: all in the band `depth`, two fractions of the depth
    condition_layer  None: by F1 among the layers before the steered ones, where the condition is read in the answering
                     pass itself; a later layer costs one extra forward pass
    threshold, when  steer when s lies above or below the threshold; None: by F1 on validation prompts
    pool             h is the last token, or the mean over the text tokens (no placeholders of media) or all tokens
    norm             v has the length of the mean separation of the openings along it, or 1, as published
    refusals, compliances   openings of answers that v tells apart
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2409.05907; IBM/activation-steering",
        (
            "the condition is read at the last token by default and calibrated on text and media, because a mean over "
            "the tokens of a picture drowns the request (source: text models, mean over all tokens; pool=all)",
            "the openings are a few of our own, on at most 100 benign questions (source: 100 answers of each kind)",
            "v is scaled to the separation of the openings unless norm=unit",
            "the threshold is searched between all validation scores (source: a grid)",
            "the condition layer lies before the steered layers unless it is given",
        ),
    )
    requires: ClassVar[Capability] = Capability.GENERATE | Capability.ACTIVATIONS | Capability.PREFIX
    knob: ClassVar[str | None] = "strength"

    def __init__(
        self,
        strength: float | str = AUTO,
        layers: list[int] | None = None,
        depth: tuple[float, float] = (0.47, 0.75),
        condition_layer: int | None = None,
        threshold: float | None = None,
        when: When | None = None,
        pool: Pool = "last",
        norm: Norm = "separation",
        refusals: tuple[str, ...] = REFUSALS,
        compliances: tuple[str, ...] = COMPLIANCES,
        positions: str = "all",
        phase: str = "both",
        inputs: Inputs = "all",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("strength", strength)
        checked("pool", pool, get_args(Pool))
        checked("norm", norm, get_args(Norm))
        checked("when", when, (*get_args(When), None))
        if not refusals or not compliances:
            raise PluginError("cast needs at least one opening in refusals and one in compliances")
        self.strength = strength
        self.layers = layers
        self.depth = depth
        self.condition_layer = condition_layer
        self.threshold = threshold
        self.when = when
        self.pool = pool
        self.norm = norm
        self.refusals = refusals
        self.compliances = compliances
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    vector_: Tensor
    """v, [layers, d]."""
    condition_: Tensor
    """c of the condition layer, [d]."""
    condition_layer_: int
    threshold_: float
    when_: str

    def fit(self, model: Model, calibration: Calibration) -> Self:
        import torch

        calibration.require(self.plugin_name or type(self).__name__)
        questions = _spread(calibration.train.text("benign"), QUESTIONS)
        refusing, complying = (suffix_states(model, questions, s) for s in (self.refusals, self.compliances))
        self.vector_ = pca_pairwise(refusing, complying)
        gaps = separation(refusing, complying, self.vector_)
        depth = len(self.vector_)
        steered = band(depth, self.depth) if self.layers is None else valid_layers("layers", self.layers, depth)
        self.layers_ = torch.tensor(steered)
        unit_length = float(gaps[self.layers_].mean()) if self.norm == "unit" else 1.0
        if self.norm == "separation":
            self.vector_ = self.vector_ * gaps[:, None]
        self._set_condition(model, calibration)
        self.strength_ = strength_of(
            self,
            self.strength,
            model,
            calibration,
            max_over_refusal=self.max_over_refusal,
            grid=[unit_length * g for g in GRID],
        )
        return self

    def doses(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, Dose]:
        from harness.residual import read

        doses = {p.id: Dose(triggered=False) for p in prompts}
        acted = list({p.id: p for p in prompts if self.acts_on(p)}.values())
        unread = "cast could not read its condition for this prompt"
        early = self.condition_layer_ < min(self.layers_.tolist())
        doses |= {p.id: Dose(error=unread, extra_passes=0 if early else 1) for p in acted}
        if not early:
            where: Any = {"layers": [self.condition_layer_], "positions": POSITIONS[self.pool], "on_error": "nan"}
            scores = condition_score(read(model.root, acted, **where)[:, 0], self.condition_)
            for prompt, score in zip(acted, scores.tolist(), strict=True):
                self._decide(doses[prompt.id], score)
        return doses

    @contextmanager
    def steer(self, model: Model, doses: Mapping[str, Dose]) -> Iterator[None]:
        from harness.residual import edit

        # An undecided dose is decided on the way, by what the condition layer shows in the answering pass.
        undecided = {key: float(dose.error is not None and not dose.extra_passes) for key, dose in doses.items()}
        placeholders: dict[str, tuple[Tensor, int]] = {}

        def media(states: Tensor, site: Any) -> Tensor:
            placeholders.update(_sums(states, site))
            return states

        def listen(states: Tensor, site: Any) -> Tensor:
            for key, (total, count) in _sums(states, site).items():
                if key in placeholders:
                    part, n = placeholders.pop(key)
                    total, count = total - part, count - n
                score = condition_score((total / max(count, 1))[None], on(self.condition_, states))
                self._decide(doses[key], float(score))
            return states

        def push(states: Tensor, site: Any) -> Tensor:
            strength = states.new_tensor([doses[key].strength for key in _ids(site)]).float()[:, None]
            return (states.float() + self.sign * strength * on(self.vector_[site.layer], states)).to(states.dtype)

        here, prefill = [self.condition_layer_], {"phase": "prefill", "strength": undecided}
        acted = {key: float(dose.strength != 0 or undecided[key] > 0) for key, dose in doses.items()}
        with ExitStack() as stack:
            if self.pool == "text":
                stack.enter_context(edit(model, here, media, positions="media", **prefill))  # type: ignore[arg-type]
            heard: Any = "last" if self.pool == "last" else "prompt"
            stack.enter_context(edit(model, here, listen, positions=heard, **prefill))  # type: ignore[arg-type]
            where: Any = {"positions": self.positions, "phase": self.phase, "strength": acted}
            stack.enter_context(edit(model, self.layers_.tolist(), push, **where))
            yield

    def _decide(self, dose: Dose, score: float) -> None:
        dose.triggered = score > self.threshold_ if self.when_ == "above" else score < self.threshold_
        dose.strength = self.strength_ if dose.triggered else 0.0
        if math.isfinite(score):
            # The score of a trace is the higher, the more harmful.
            dose.error, dose.score = None, score if self.when_ == "above" else -score
            dose.signals = {"condition": score}

    def _set_condition(self, model: Model, calibration: Calibration) -> None:
        """Sets condition layer, threshold and direction: by F1 on validation prompts, as far as they are not given."""
        import torch

        where = POSITIONS[self.pool]
        pairs = self._alike(calibration.train)
        harmful, benign = (kept_states(model, list(side), where) for side in zip(*pairs, strict=True))
        axes = pca_pairwise(harmful, benign)
        if self.condition_layer is not None:
            candidates = valid_layers("condition_layer", [self.condition_layer], len(axes))
        else:
            candidates = list(range(max(int(self.layers_.min()), 1)))
        half = calibration.validation
        if not all(self._acted(half, kind) for kind in get_args(Kind)):
            half = calibration.train
        high, low = (kept_states(model, self._acted(half, kind), where) for kind in get_args(Kind))
        found = []
        for layer in candidates:
            scores = [condition_score(states[:, layer], axes[layer]) for states in (high, low)]
            rule = best_rule(*scores, threshold=self.threshold, when=self.when)
            found.append((rule, layer))
        (_, self.threshold_, self.when_), self.condition_layer_ = max(found, key=lambda f: f[0][0])
        self.condition_ = torch.clone(axes[self.condition_layer_])

    def _acted(self, split: CalibrationSplit, kind: Kind) -> list[Prompt]:
        return [p for p in split.text(kind) + split.media(kind) if self.acts_on(p)]

    def _alike(self, split: CalibrationSplit) -> list[tuple[Prompt, Prompt]]:
        """Harmful prompts, each with a benign one of the same modalities. Raises `PluginError` when there are none."""
        harmful, benign = (self._acted(split, kind) for kind in get_args(Kind))
        pairs: list[tuple[Prompt, Prompt]] = []
        for held in dict.fromkeys(p.modalities for p in harmful):
            pairs += zip(*([p for p in side if p.modalities == held] for side in (harmful, benign)), strict=False)
        if not pairs:
            raise PluginError("cast needs harmful and benign calibration prompts of one modality: name paired tasks")
        return pairs


def _spread(prompts: list[Prompt], most: int) -> list[Prompt]:
    n = min(len(prompts), most)
    return [prompts[i * len(prompts) // n] for i in range(n)]


def _ids(site: Any) -> list[str]:
    return [site.prompt_ids[row] for row in site.rows.tolist()]


def _sums(states: Tensor, site: Any) -> dict[str, tuple[Tensor, int]]:
    """Sum [d] and number of the states of each prompt."""
    import torch

    rows = torch.unique(site.rows)
    found = {site.prompt_ids[row]: states[site.rows == row].float() for row in rows.tolist()}
    return {key: (part.sum(0), len(part)) for key, part in found.items()}
