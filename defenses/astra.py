from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from harness.attribution import Fill, attributed, most_important, opening_logits, patch_grid, without_patches
from harness.calibration import Calibration, Kind
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import unit
from harness.steering import Dose, Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import AUTO, given, strength_of
from harness.types import GenerationConfig, Image, Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.models.hf import HFModel

GRID = (0.5, 1.0, 2.0, 4.0, 7.0, 10.0)
REFERENCE = "What is the image about?"
OPENING_TOKENS = 2
REFUSAL_TOKENS = 10


class ASTRA(SteeringDefense):
    """Steers away from what attack pictures add to the state, as far as the state already points there.

    arXiv 2411.16721. v = mean[h(attack picture) - h(the same with its attributed patches painted over)], h0 = mean
    response state of benign pictures; a = clip(cos(h - h0, v), 0, 1), h <- h - alpha a |h| v/|v| at one layer, at the
    last prompt token and every generated one. Patches are attributed by random ablations and a Lasso surrogate of the
    logit of the target. Needs calibration attacks with pictures; crafts no adversarial ones.

    alpha         strength, 5 to 10 published, chosen for each model; "auto" chooses on validation
    layer         None: the last of the first half, as published (16th of 32)
    attacks       the most calibration attacks with a picture: of those that the undefended model does not refuse, or of
                  all where it refuses every one
    references    the most benign pictures for h0
    target        what the attack makes the model say ("Sure," in the source); None: the first two tokens of the model's
                  own undefended answer to that attack
    vector_text   what stands beside the picture where v is read: nothing, as published; None: the attack's own text
    grid          the most patches a side; a patch has at least 14 pixels a side
    patches       the most patches painted over, and at most a quarter of the picture
    ablations     random ablations, drawn from `seed`, each of which keeps the share `keep` of the patches
    penalty       weight of the L1 term of the surrogate
    fill          mean colour of the picture, or grey
    response_tokens   the most tokens of each answer that h0 is read over
    inputs        media: prompts with a picture; all: any prompt
    sign          -1 is the sign-flipped control
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2411.16721; ASTRAL-Group/ASTRA; attribution after ContextCite (arXiv 2409.00729)",
        (
            "the steering rule is the published one; the vector comes from harmful calibration prompts with pictures "
            "(typographic, drawn) in place of pictures with crafted noise, which are its authors' threat model",
            "the target is the opening of the model's own answer (source: 'Sure, </s>'), without an end token",
            "patches number the picture's size over 14 pixels, up to 24 a side (source: 24 x 24, 15 painted over)",
            "alpha is chosen on validation by default",
        ),
    )

    knob_values: ClassVar[tuple[float, ...]] = GRID

    def __init__(
        self,
        alpha: float | str = AUTO,
        layer: int | None = None,
        attacks: int = 16,
        references: int = 32,
        target: str | None = None,
        vector_text: str | None = "",
        grid: int = 24,
        patches: int = 15,
        ablations: int = 64,
        keep: float = 0.5,
        penalty: float = 0.01,
        fill: Fill = "mean",
        response_tokens: int = 32,
        seed: int = 0,
        inputs: Inputs = "media",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("alpha", alpha)
        checked("fill", fill, get_args(Fill))
        if not 0 < keep < 1:
            raise PluginError(f"astra(keep={keep}) is the share of patches that an ablation keeps: between 0 and 1")
        self.alpha = alpha
        self.layer = layer
        self.attacks = attacks
        self.references = references
        self.target = target
        self.vector_text = vector_text
        self.grid = grid
        self.patches = patches
        self.ablations = ablations
        self.keep = keep
        self.penalty = penalty
        self.fill = fill
        self.response_tokens = response_tokens
        self.seed = seed
        self._keep(positions="last", phase="both", inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    vector_: Tensor
    reference_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Learns `vector_` and `reference_`, both [d]. Raises `PluginError` without pictures of both kinds, or where no
        patch of any attack raises the target."""
        import torch

        from harness.residual import n_layers, root

        target = root(model)
        if "image" not in target.modalities:
            raise PluginError(f"astra works on pictures alone, and {target.name} takes none: choose another defense")
        n = n_layers(target)
        self.layers_ = torch.tensor(
            valid_layers("layer", [max(n // 2 - 1, 0) if self.layer is None else self.layer], n)
        )
        self.vector_ = self._vector(target, _with_pictures(calibration, "harmful"))
        self.reference_ = self._reference(target, _with_pictures(calibration, "benign"))
        self.strength_ = strength_of(
            self, self.alpha, model, calibration, max_over_refusal=self.max_over_refusal, grid=GRID
        )
        return self

    def acts_on(self, prompt: Prompt) -> bool:
        return self.inputs == "all" or bool(prompt.images)

    def alignment(self, states: Tensor) -> Tensor:
        """a [k]: cosine of states [k, d], seen from the reference, with the vector; 0 where it is negative."""
        away = states.float() - on(self.reference_, states)
        return (unit(away) @ unit(on(self.vector_, states))).clamp(0, 1)

    def change(self, states: Tensor, site: Any) -> Tensor:
        wide = states.float()
        size = self.alignment(states)[:, None] * wide.norm(dim=-1, keepdim=True)
        return (wide - site.strength * size * unit(on(self.vector_, states))).to(states.dtype)

    @contextmanager
    def steer(self, model: Model, doses: Mapping[str, Dose]) -> Iterator[None]:
        from harness.residual import edit

        strengths = {key: self.sign * dose.strength for key, dose in doses.items()}
        layers = self.layers_.tolist()

        def scored(states: Tensor, site: Any) -> Tensor:
            for row, a in zip(site.rows.tolist(), self.alignment(states).tolist(), strict=True):
                dose = doses[site.prompt_ids[row]]
                dose.score, dose.signals = a, {"astra_alignment": a}
            return self.change(states, site)

        with (
            edit(model, layers, scored, positions="last", phase="prefill", strength=strengths),
            edit(model, layers, self.change, positions="generated", phase="decode", strength=strengths),
        ):
            yield

    def _vector(self, model: HFModel, harmful: Sequence[Prompt]) -> Tensor:
        from harness.residual import read

        with_, without = [], []
        for prompt, opening in self._attacks(model, harmful):
            masked = self._masked(model, prompt, opening)
            if masked is not None:
                with_.append(self._shown(prompt))
                without.append(self._shown(masked))
        if not with_:
            raise PluginError(
                "astra found no patch of a calibration picture that raises its target: set another target, lower "
                "penalty, or calibrate on attacks whose pictures matter"
            )
        layers = self.layers_.tolist()
        return (read(model, with_, layers=layers) - read(model, without, layers=layers)).mean(0)[0]

    def _attacks(self, model: HFModel, harmful: Sequence[Prompt]) -> list[tuple[Prompt, str]]:
        """Attacks and the opening of the answer that each is made for."""
        from harness.refusals import JBB

        answers = model.generate(harmful, GenerationConfig(max_new_tokens=REFUSAL_TOKENS))
        answered = [p for p, r in zip(harmful, answers, strict=True) if r.text and JBB.find(r.text) is None]
        chosen = _spread(answered or harmful, self.attacks)
        if self.target is not None:
            return [(p, self.target) for p in chosen]
        openings = model.generate(chosen, GenerationConfig(max_new_tokens=OPENING_TOKENS))
        return [(p, r.text) for p, r in zip(chosen, openings, strict=True) if r.text]

    def _masked(self, model: HFModel, prompt: Prompt, opening: str) -> Prompt | None:
        """The attack with the patches of its first picture that say `opening` painted over; None where none do."""
        picture = prompt.images[0]

        def score(pictures: Sequence[Image]) -> list[float]:
            return opening_logits(model, [_with_picture(prompt, p) for p in pictures], opening)

        grid = patch_grid(picture, self.grid)
        weights = attributed(
            score,
            picture,
            grid=grid,
            ablations=self.ablations,
            keep=self.keep,
            fill=self.fill,
            penalty=self.penalty,
            seed=self.seed,
        )
        chosen = most_important(weights, min(self.patches, grid * grid // 4))
        return _with_picture(prompt, without_patches(picture, ~chosen, self.fill)) if chosen.any() else None

    def _shown(self, prompt: Prompt) -> Prompt:
        return prompt if self.vector_text is None else Prompt.user(self.vector_text, *prompt.images)

    def _reference(self, model: HFModel, benign: Sequence[Prompt]) -> Tensor:
        """Mean over benign pictures of the mean state of the generated tokens of an answer about them."""
        import torch

        from harness.residual import edit

        prompts = list({q.id: q for q in (Prompt.user(REFERENCE, p.images[0]) for p in benign)}.values())
        prompts = _spread(prompts, self.references)
        heard: dict[str, list[Tensor]] = {p.id: [] for p in prompts}

        def listen(states: Tensor, site: Any) -> Tensor:
            for row, state in zip(site.rows.tolist(), states.float().cpu(), strict=True):
                heard[site.prompt_ids[row]].append(state)
            return states

        with edit(model, self.layers_.tolist(), listen, positions="generated", phase="decode"):
            answers = model.generate(prompts, GenerationConfig(max_new_tokens=self.response_tokens))
        # The last token of an answer is fed back only where other rows of the batch go on.
        ends = {p.id: r.cost.generated_tokens - 1 for p, r in zip(prompts, answers, strict=True) if r.error is None}
        said = [heard[key][:end] for key, end in ends.items()]
        means = [torch.stack(states).mean(0) for states in said if states]
        if not means:
            raise PluginError("astra heard no answer about a benign picture to take its reference from")
        return torch.stack(means).mean(0)


def _with_pictures(calibration: Calibration, kind: Kind) -> list[Prompt]:
    found = [p for p in calibration.train.media(kind) if p.images]
    if not found:
        raise PluginError(
            f"astra works on pictures alone and needs {kind} requests with pictures for calibration: name such tasks "
            "with --calibration"
        )
    return found


def _spread(prompts: Sequence[Prompt], most: int) -> list[Prompt]:
    """At most `most`, evenly spaced, so that every variant has its share."""
    n = min(len(prompts), most)
    return [prompts[i * len(prompts) // n] for i in range(n)]


def _with_picture(prompt: Prompt, picture: Image) -> Prompt:
    """The prompt with `picture` in place of its first one."""
    old = prompt.images[0]
    turns = (replace(m, parts=tuple(picture if p is old else p for p in m.parts)) for m in prompt.messages)
    return Prompt(tuple(turns))
