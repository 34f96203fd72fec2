from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from harness.calibration import Calibration, CalibrationSplit, Kind
from harness.contracts import Fidelity, Model, PluginError
from harness.gating import StateGate
from harness.logit_lens import first_tokens, logits_of
from harness.states import last_token_states
from harness.steering import checked, valid_layers
from harness.strength import AUTO, given

if TYPE_CHECKING:
    from torch import Tensor

# leigest519/HiddenDetect code/test.py: the first sub-token of each is a refusal token.
WORDS = (
    "Sorry", "sorry", "unfortunately", "unfortunate", "sadly", "explicit", "deadly", "crim", "criminal", "illegal",
    "dangerous", "harmful", "warning", "alarm", "caution", "shame", "conspiracy", "Subject", "contrary", "shouldn",
)  # fmt: skip
RISE = 0.01
"""With words=own, how much more probable a refusal token is as the first one of answers to harmful texts."""


class HiddenDetect(StateGate):
    """Blocks prompts whose hidden states already lean towards words of refusal.

    At layer l, z = lm_head(norm(h)) of the last prompt token and F_l = cos(z, v), v the vector over the vocabulary with
    a one at each refusal token. The score is the area under F over a range of layers (trapezoids; arXiv 2502.14744).

    threshold        blocks at or above it; "auto": at most `max_over_refusal` of benign validation prompts
    layers           the layers of the area; None: the longest run of layers where harmful and benign training prompts
                     lie further apart in F than at the last layer, or the last two where there is no such run
    words            whose first sub-tokens are the refusal tokens: published, the 20 of the source; own, those that the
                     answers of this model begin with on harmful rather than benign training texts; or a list
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2502.14744; leigest519/HiddenDetect code/test.py",
        (
            "the paper reports AUROC; the threshold is calibrated on benign prompts (0.2 is OmniSafeBench-MM's)",
            "layers are chosen on all training prompts, text and media (source: a small few-shot set), as one unbroken "
            "run",
            "the prompt is read in a pass of its own before it is answered (source: the prefill of the answer)",
            "words that the tokenizer does not know are left out",
            "the published words suit models that refuse with them; words=own, which asks the model, is an addition",
        ),
    )
    knob_values: ClassVar[tuple[float, ...]] = (1.0, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05)

    def __init__(
        self,
        threshold: float | str = AUTO,
        layers: list[int] | None = None,
        words: str | list[str] | tuple[str, ...] = "published",
        max_over_refusal: float = 0.05,
    ) -> None:
        given("threshold", threshold)
        if isinstance(words, str):
            checked("words", words, ("published", "own"))
        self.threshold = threshold
        self.layers = layers
        self.words = words
        self.max_over_refusal = max_over_refusal

    tokens_: list[int]
    layers_: list[int]

    def fit(self, model: Model, calibration: Calibration) -> Self:
        from harness.residual import n_layers, root

        calibration.require(self.plugin_name or type(self).__name__)
        self.tokens_ = self._refusal_tokens(model, calibration.train)
        if self.layers is None:
            self.layers_ = self._safety_aware(model, calibration.train)
        else:
            self.layers_ = valid_layers("layers", self.layers, n_layers(root(model)))
        self.draw_line(model, calibration)
        return self

    def harm(self, model: Model, states: Tensor) -> Tensor:
        return area(self.leaning(model, states, self.layers_), self.layers_)

    def leaning(self, model: Model, states: Tensor, layers: list[int]) -> Tensor:
        """F [n, len(layers)] of states [n, all layers, d]."""
        import torch

        found = []
        for layer in layers:
            z = logits_of(model, states[:, layer])
            found.append(z[:, self.tokens_].sum(1) / (z.norm(dim=1) * len(self.tokens_) ** 0.5).clamp_min(1e-12))
        return torch.stack(found, dim=1)

    def _refusal_tokens(self, model: Model, train: CalibrationSplit) -> list[int]:
        if self.words != "own":
            found = first_tokens(model, WORDS if isinstance(self.words, str) else self.words)
            lacking = f"none of its refusal words is in the vocabulary of {model.name}: set words=own or words=[...]"
        else:
            harmful, benign = (
                logits_of(model, last_token_states(model, train.text(kind))[:, -1]).softmax(-1).mean(0)
                for kind in ("harmful", "benign")  # type: ignore[arg-type]
            )
            rise = harmful - benign
            found = [i for i in rise.argsort(descending=True)[: len(WORDS)].tolist() if rise[i] >= RISE]
            lacking = f"{model.name} begins its answers to harmful texts as it does to benign ones: set words=[...]"
        if not found:
            raise PluginError(f"hiddendetect has no refusal tokens: {lacking}")
        return found

    def _safety_aware(self, model: Model, train: CalibrationSplit) -> list[int]:
        """Layers whose refusal discrepancy (mean F of harmful less that of benign prompts) exceeds the last layer's."""
        kinds: tuple[Kind, ...] = ("harmful", "benign")
        states = [last_token_states(model, train.text(kind) + train.media(kind)) for kind in kinds]
        everything = list(range(states[0].shape[1]))
        harmful, benign = (self.leaning(model, s, everything).mean(0) for s in states)
        discrepancy = harmful - benign
        return longest_run((discrepancy[:-1] > discrepancy[-1]).tolist()) or everything[-2:]


def area(values: Tensor, layers: list[int]) -> Tensor:
    """Area [n] under values [n, len(layers)] over the numbers of the layers; one layer counts with width 1."""
    import torch

    return values[:, 0] if len(layers) == 1 else torch.trapezoid(values, torch.tensor(layers, dtype=values.dtype))


def longest_run(marks: list[bool]) -> list[int]:
    """Indices of the longest unbroken run of marks, the first of equals."""
    best: list[int] = []
    run: list[int] = []
    for i, marked in enumerate(marks):
        run = [*run, i] if marked else []
        best = max(best, run, key=len)
    return best
