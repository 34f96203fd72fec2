from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from harness.calibration import Calibration, CalibrationSplit, Kind
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import unit
from harness.gating import StateGate
from harness.residual_read import Where
from harness.states import kept_states
from harness.steering import valid_layers
from harness.strength import AUTO, given

if TYPE_CHECKING:
    from torch import Tensor


class OmniGuard(StateGate):
    """Blocks prompts that a small classifier calls harmful, at the layer where the modalities agree best.

    The U-score of a layer is the mean cosine of the mean-pooled states of one request as text and with media. A network
    of layers 512, 256, 1 on the pooled states of the best layer gives the log-odds of harm (arXiv 2505.23856; not the
    fine-tuned guard of the same name, arXiv 2512.02306).

    threshold         blocks at or above it, in log-odds: 0 is a probability of one half; "auto": at most
                      `max_over_refusal` of benign validation prompts
    layer             the layer of the classifier; None: by U-score
    minus_mismatched  takes the mean cosine of pairs of different requests off the U-score
    hidden            widths of the hidden layers
    l2, epochs, seed  of the training (Adam, standardised states)
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2505.23856; zhrli324/omni-safety-research OMNIGUARD (port)",
        (
            "training settings of the classifier are not public: Adam with weight decay on standardised states",
            "trained on the calibration set of this run, text and media (source: a multilingual, multimodal set)",
            "the threshold is calibrated on benign prompts (source: the classifier's own decision)",
            "the prompt is read in a pass of its own before it is answered (source: the prefill of the answer)",
        ),
    )
    knob_values: ClassVar[tuple[float, ...]] = (16.0, 8.0, 4.0, 2.0, 0.0, -2.0, -4.0)
    positions: Where = "mean_prompt"

    def __init__(
        self,
        threshold: float | str = AUTO,
        layer: int | None = None,
        minus_mismatched: bool = False,
        hidden: tuple[int, ...] = (512, 256),
        l2: float = 1e-3,
        epochs: int = 200,
        seed: int = 0,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("threshold", threshold)
        self.threshold = threshold
        self.layer = layer
        self.minus_mismatched = minus_mismatched
        self.hidden = hidden
        self.l2 = l2
        self.epochs = epochs
        self.seed = seed
        self.max_over_refusal = max_over_refusal

    layer_: int
    mean_: Tensor
    spread_: Tensor
    weights_: Tensor
    """Of the classifier: layer by layer its weights [outputs, inputs], then its biases, in one row."""

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Raises `PluginError` without pairs to compare modalities on, or without prompts of both kinds."""
        import torch

        train = calibration.train
        calibration.require(self.plugin_name or type(self).__name__, pairs=self.layer is None)
        kinds: tuple[Kind, ...] = ("harmful", "benign")
        harmful, benign = (kept_states(model, train.text(k) + train.media(k), self.positions) for k in kinds)
        depth = harmful.shape[1]
        if self.layer is None:
            self.layer_ = int(self._scores(model, train).argmax())
        else:
            self.layer_ = valid_layers("layer", [self.layer], depth)[0]
        states = torch.cat([harmful, benign])[:, self.layer_].double()
        self.mean_, self.spread_ = states.mean(0).float(), states.std(0).clamp_min(1e-6).float()
        labels = torch.cat([torch.ones(len(harmful)), torch.zeros(len(benign))])
        self.weights_ = self._trained(self._scaled(states), labels)
        self.draw_line(model, calibration)
        return self

    def harm(self, model: Model, states: Tensor) -> Tensor:
        # In float64: the rounding of a batch must not show in a score far from zero.
        return self._log_odds(self.weights_.double(), self._scaled(states[:, self.layer_]))

    def _scores(self, model: Model, train: CalibrationSplit) -> Tensor:
        pairs = train.pairs("harmful") + train.pairs("benign")
        text, media = (
            kept_states(model, [getattr(p, form) for p in pairs], self.positions) for form in ("text", "media")
        )
        return u_score(text, media, [p.text.id for p in pairs], minus_mismatched=self.minus_mismatched)

    def _scaled(self, states: Tensor) -> Tensor:
        return (states.double() - self.mean_) / self.spread_

    def _log_odds(self, weights: Tensor, x: Tensor) -> Tensor:
        """The network [n] on standardised states [n, d]."""
        at = 0
        for taken, made in self._sizes(x.shape[1]):
            x = x.relu() if at else x
            end = at + made * taken
            x = x @ weights[at:end].view(made, taken).T + weights[end : end + made]
            at = end + made
        return x[:, 0]

    def _sizes(self, width: int) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        widths = [width, *self.hidden, 1]
        return list(zip(widths, widths[1:], strict=False))

    def _trained(self, states: Tensor, labels: Tensor) -> Tensor:
        """Weights of the classifier after full-batch training, harmful and benign weighing the same."""
        import torch

        chance = torch.Generator().manual_seed(self.seed)
        first = [
            (2 * torch.rand(made * (taken + 1), generator=chance) - 1) / taken**0.5
            for taken, made in self._sizes(states.shape[1])
        ]
        with torch.enable_grad():
            weights = torch.cat(first).requires_grad_()
            optimiser = torch.optim.AdamW([weights], lr=1e-3, weight_decay=self.l2)
            loss = torch.nn.BCEWithLogitsLoss(torch.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels).mean()))
            for _ in range(self.epochs):
                optimiser.zero_grad()
                loss(self._log_odds(weights, states.float()), labels).backward()
                optimiser.step()
        return weights.detach()


def u_score(text: Tensor, media: Tensor, questions: list[str], *, minus_mismatched: bool) -> Tensor:
    """Mean cosine [layers] of matched states [n, layers, d], less that of the pairs of different questions if asked."""
    import torch

    a, b = unit(text), unit(media)
    matched = (a * b).sum(-1).mean(0)
    if not minus_mismatched:
        return matched
    other = torch.tensor([[one != two for two in questions] for one in questions])
    if not other.any():
        raise PluginError("minus_mismatched compares different requests, but all calibration pairs are of one request")
    cosines = torch.einsum("nld,mld->lnm", a, b)
    return matched - cosines[:, other].mean(1)
