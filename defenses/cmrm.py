from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self, get_args

from harness.calibration import Calibration
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import band
from harness.neutral import Look, Neutral, Sound
from harness.per_prompt import PromptDose, PromptSteering, dose_of
from harness.states import last_token_states
from harness.steering import checked, valid_layers
from harness.strength import given
from harness.types import MediaError, Prompt

if TYPE_CHECKING:
    from torch import Tensor

Variant = Literal["sample", "dataset"]
NeutralKind = Literal["blank", "noise"]


class CMRM(PromptSteering):
    """Takes off what a meaningless picture in place of the given one does to the states of the same text.

    arXiv 2410.09047. Delta(x) = h(x, neutral picture) - h(x as text), h <- h - alpha Delta. Per input (sample; two
    extra forward passes) or the mean over the calibration prompts (dataset; none). No label is used, unless alpha is
    "auto". Videos and sounds, which the source does not have, are treated as pictures are.

    alpha     strength, 1 published for the VLSafe anchors; "auto" chooses on validation
    variant   sample: Delta of the prompt itself;  dataset: mean Delta over harmful and benign training prompts
    neutral   blank: one plain colour, or silence;  noise: random pixels or samples; drawn from `seed`, of the size of
              what they replace
    layers    edited decoder layers; by default all in the band `depth`, two fractions of the depth
    positions last, prompt, media, generated or all tokens;  phase: prefill, decode or both
    sign      -1 is the sign-flipped control
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2410.09047, from its abstract and a published note with its formulas; no official code",
        (
            "layers and positions are not public: all layers, last prompt token, prefill alone, each a parameter",
            "the dataset variant averages over the harness's calibration prompts (source: 20 % of VLSafe and "
            "of a jailbreak set, and LLaVA-Bench)",
            "the source's attacks are harmful texts with unrelated pictures; where the picture carries the request, "
            "the text form is harmless, and so may be the corrected state",
        ),
    )

    knob_values: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0, 1.5)

    def __init__(
        self,
        alpha: float | str = 1.0,
        variant: Variant = "sample",
        neutral: NeutralKind = "blank",
        seed: int = 0,
        layers: list[int] | None = None,
        depth: tuple[float, float] = (0.0, 1.0),
        positions: str = "last",
        phase: str = "prefill",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("alpha", alpha)
        checked("variant", variant, get_args(Variant))
        checked("neutral", neutral, get_args(NeutralKind))
        self.alpha = alpha
        self.variant = variant
        self.reads_first = variant == "sample"
        self.neutral = neutral
        self.seed = seed
        self.layers = layers
        self.depth = depth
        self._keep(positions=positions, phase=phase, inputs="media", sign=sign, max_over_refusal=max_over_refusal)

    delta_: Tensor

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Places the layers and, for variant=dataset, learns `delta_` [edited layers, d]. Raises `PluginError` when
        that finds no calibration prompt with media."""
        import torch

        from harness.residual import n_layers, root

        n = n_layers(root(model))
        edited = band(n, self.depth) if self.layers is None else valid_layers("layers", self.layers, n)
        self.layers_ = torch.tensor(edited)
        if self.variant == "dataset":
            anchors = [p for k in ("harmful", "benign") for p in calibration.train.media(k)]  # type: ignore[arg-type]
            if not anchors:
                raise PluginError(
                    "cmrm(variant=dataset) needs calibration prompts with media: name such tasks with --calibration"
                )
            blank = last_token_states(model, [self._neutralised(p) for p in anchors])
            plain = last_token_states(model, [p.without_media() for p in anchors])
            self.delta_ = (blank - plain).mean(0)[edited]
        self.strength_ = self.strength_for(self.alpha, model, calibration)
        return self

    def found(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, PromptDose]:
        from harness.residual import read

        if self.variant == "dataset":
            return {p.id: PromptDose(vectors=self.delta_) for p in prompts}
        doses: dict[str, PromptDose] = {}
        blank: dict[str, Prompt] = {}
        for prompt in prompts:
            try:
                blank[prompt.id] = self._neutralised(prompt)
            except MediaError as error:
                doses[prompt.id] = PromptDose(error=f"cmrm: {error}")
        plain = [p.without_media() for p in prompts if p.id in blank]
        layers = self.layers_.tolist()
        blank_states = read(model.root, list(blank.values()), layers=layers, on_error="nan")
        deltas = blank_states - read(model.root, plain, layers=layers, on_error="nan")
        return doses | {key: dose_of(delta, "cmrm", extra_passes=2) for key, delta in zip(blank, deltas, strict=True)}

    def _neutralised(self, prompt: Prompt) -> Prompt:
        """The prompt with neutral media in place of its own. Raises `MediaError` for media that cannot be read."""
        look: Look = "uniform" if self.neutral == "blank" else "noise"
        sound: Sound = "silence" if self.neutral == "blank" else "noise"
        return Neutral(look=look, sound=sound, seed=self.seed).instead(prompt, 0)
