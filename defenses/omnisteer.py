from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

from harness.adapters import Adapters, Recipe, strengths, trained
from harness.calibration import Calibration, Kind
from harness.contracts import Fidelity, Model, PluginError
from harness.directions import band, dprime, projection, unit
from harness.golden import Combine, Norm, golden_vector, refusal_vectors, with_system
from harness.states import last_token_states
from harness.steering import Dose, Inputs, SteeringDefense, checked, on, valid_layers
from harness.strength import given, strength_of

if TYPE_CHECKING:
    from torch import Tensor

    from harness.residual_edit import Fn

log = logging.getLogger("gapbench")
TrainOn = Literal["plain", "steered"]


class OmniSteer(SteeringDefense):
    """Pushes states along a refusal direction that all modalities share, as far as a small trained adapter says.

    h' = h + gain k(h) g/|g| with k = up ReLU(down h + down_bias) + up_bias, an adapter a layer (arXiv 2602.10161).

    gain        multiplies k: 1 is the published method, 0 nothing, "auto" chooses on validation
    layers      steered layers; None: the `n_layers` neighbours in the band `depth` (two fractions of the depth) that
                tell harmful from benign validation text best along g
    combine     g by svd (uncentred), mean, or text alone (`harness.golden`), over `modalities` (None: all there are)
    norm        R = |g|: mean is the mean norm of the modalities' vectors, unit is 1 (a and b are then in plain units)
    max_text, max_media   prompts of each kind that a modality's vector is read on, at most
    system      put in front of the system turn while states are read; None leaves prompts as they are
    bottleneck  width of the adapters
    a, b        harmful states are trained to p >= a R, safe ones to p <= -b R, p the steered projection on g/|g|
    l1_harmful, l1_safe   weights of |k|; a hinge is stronger than its L1 term only while R < 1/weight
    lr, batch, epochs, steps, balance   AdamW; `steps` None trains all epochs; the rarer kind is repeated to balance
    train_on    plain: states of the unsteered model, as published; steered: each layer sees what earlier adapters do
    positions   last: the last position of every forward pass, so each new token too;  phase: prefill, decode or both
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "formula",
        "arXiv 2602.10161; zhrli324/omni-safety-research omnisteer/train_safety_adapter_*.py, safe_eval/*",
        (
            "golden vector and adapters are learned on the same calibration set (source: AdvBench-Omni for the vector, "
            "a mixture of five sets for the adapters)",
            "modalities are told apart by the media in a prompt, whether or not text stands beside them",
            "layers are chosen by the separation of text (source: fixed by hand for each model)",
            "the rarer of harmful and safe prompts is repeated (source: always the safe ones)",
        ),
    )
    knob: ClassVar[str | None] = "gain"
    knob_values: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)

    def __init__(
        self,
        gain: float | str = 1.0,
        layers: list[int] | None = None,
        n_layers: int = 3,
        depth: tuple[float, float] = (0.4, 0.75),
        modalities: list[str] | None = None,
        combine: Combine = "svd",
        norm: Norm = "mean",
        max_text: int | None = 520,
        max_media: int | None = 200,
        system: str | None = None,
        bottleneck: int = 128,
        a: float = 0.3,
        b: float = 0.5,
        l1_harmful: float = 0.01,
        l1_safe: float = 0.05,
        lr: float = 1e-3,
        batch: int = 4,
        epochs: int = 3,
        steps: int | None = 300,
        balance: bool = True,
        train_on: TrainOn = "plain",
        seed: int = 0,
        positions: str = "last",
        phase: str = "both",
        inputs: Inputs = "all",
        sign: int = 1,
        max_over_refusal: float = 0.05,
    ) -> None:
        given("gain", gain)
        checked("combine", combine, get_args(Combine))
        checked("norm", norm, get_args(Norm))
        checked("train_on", train_on, get_args(TrainOn))
        counts = {"n_layers": n_layers, "bottleneck": bottleneck, "batch": batch, "epochs": epochs, "steps": steps}
        if wrong := next((n for n, v in counts.items() if v is not None and v < 1), None):
            raise PluginError(f"omnisteer: {wrong}={counts[wrong]} must be at least 1")
        self.gain = gain
        self.layers = layers
        self.n_layers = n_layers
        self.depth = depth
        self.modalities = modalities
        self.combine = combine
        self.norm = norm
        self.max_text = max_text
        self.max_media = max_media
        self.system = system
        self.bottleneck = bottleneck
        self.a = a
        self.b = b
        self.l1_harmful = l1_harmful
        self.l1_safe = l1_safe
        self.lr = lr
        self.batch = batch
        self.epochs = epochs
        self.steps = steps
        self.balance = balance
        self.train_on = train_on
        self.seed = seed
        self._keep(positions=positions, phase=phase, inputs=inputs, sign=sign, max_over_refusal=max_over_refusal)

    golden_: Tensor
    down_: Tensor
    down_bias_: Tensor
    up_: Tensor
    up_bias_: Tensor
    notes_: list[str]

    def fit(self, model: Model, calibration: Calibration) -> Self:
        """Learns g [layers, d] and the adapters (float32) on the training split. `notes_` says which L1 weights are too
        large for a layer's R to leave the hinge any effect."""
        import torch

        calibration.require(self.plugin_name or type(self).__name__)
        limits: dict[str, Any] = {"max_text": self.max_text, "max_media": self.max_media, "system": self.system}
        vectors = refusal_vectors(model, calibration.train, modalities=self.modalities, **limits)
        self.golden_ = golden_vector(vectors, self.combine, self.norm)
        depth = len(self.golden_)
        chosen = self._best(model, calibration) if self.layers is None else valid_layers("layers", self.layers, depth)
        self.layers_ = torch.tensor(chosen)
        self.notes_ = self._outweighed()
        if self.notes_:
            log.warning("omnisteer: %s", "; ".join(self.notes_))
        self._train(model, calibration)
        self.strength_ = strength_of(self, self.gain, model, calibration, max_over_refusal=self.max_over_refusal)
        return self

    def change(self, states: Tensor, site: Any) -> Tensor:
        return self._pushed(states, site, self.strengths(states, site.layer))

    def _pushed(self, states: Tensor, site: Any, k: Tensor) -> Tensor:
        return (states.float() + site.strength * k * on(unit(self.golden_[site.layer]), states)).to(states.dtype)

    def strengths(self, states: Tensor, layer: int) -> Tensor:
        """k [n, 1] of states [n, d] at a steered layer, float32."""
        i = self.layers_.tolist().index(layer)
        weights = (self.down_, self.down_bias_, self.up_, self.up_bias_)
        return strengths(Adapters(*(on(w[i : i + 1], states) for w in weights)), states[:, None])

    @contextmanager
    def steer(self, model: Model, doses: Mapping[str, Dose]) -> Iterator[None]:
        """As in the base class; the mean k at the last prompt token, where that is steered, is a prompt's score."""
        heard: dict[str, dict[int, float]] = {}

        def noted(states: Tensor, site: Any) -> Tensor:
            k = self.strengths(states, site.layer)
            for row, value in zip(site.rows.tolist(), k[:, 0].tolist(), strict=True):
                key = site.prompt_ids[row]
                heard.setdefault(key, {})[site.layer] = value
                doses[key].score = sum(heard[key].values()) / len(heard[key])
                doses[key].signals = {"k": doses[key].score or 0.0}
            return self._pushed(states, site, k)

        amounts = {key: self.sign * dose.strength for key, dose in doses.items()}
        with self._edits(model, amounts, noted if self.positions == "last" else self.change):
            yield

    @contextmanager
    def _edits(self, model: Model, amounts: float | Mapping[str, float], first: Fn) -> Iterator[None]:
        """The last position of every pass is the last prompt token and, one by one, each token after it."""
        from harness.residual import edit

        layers = self.layers_.tolist()
        how: Any = {"phase": self.phase, "strength": amounts}
        with ExitStack() as stack:
            stack.enter_context(edit(model, layers, first, positions=self.positions, **how))  # type: ignore[arg-type]
            if self.positions == "last":
                stack.enter_context(edit(model, layers, self.change, positions="generated", **how))
            yield

    def _train(self, model: Model, calibration: Calibration) -> None:
        """Sets the adapters, [L, ...] each, from the states of prompts that will be steered."""
        import torch

        from harness.residual import read

        kinds: tuple[Kind, ...] = ("harmful", "benign")
        prompts = [
            with_system(
                [p for p in calibration.train.text(k) + calibration.train.media(k) if self.acts_on(p)], self.system
            )
            for k in kinds
        ]
        if not all(prompts):
            raise PluginError(f"omnisteer has no harmful or no benign prompts to train on with inputs={self.inputs}")
        layers = self.layers_.tolist()
        if self.train_on == "plain":
            states = [last_token_states(model, p)[:, layers] for p in prompts]
            self._keep_adapters([self._trained(states, layers)])
            return
        parts: list[Adapters] = []
        for i, layer in enumerate(layers):
            self.layers_ = torch.tensor(layers[:i], dtype=torch.long)
            with self._edits(model.root, float(self.sign), self.change):
                states = [read(model.root, p, layers=[layer]) for p in prompts]
            parts.append(self._trained(states, [layer]))
            self._keep_adapters(parts)
        self.layers_ = torch.tensor(layers)

    def _trained(self, states: Sequence[Tensor], layers: list[int]) -> Adapters:
        names = ("a", "b", "l1_harmful", "l1_safe", "lr", "batch", "epochs", "steps", "balance", "seed")
        recipe = Recipe(**{name: getattr(self, name) for name in names})
        what = f"training adapters of layers {', '.join(map(str, layers))}"
        return trained(states[0], states[1], self.golden_[layers], self.bottleneck, recipe, what)

    def _keep_adapters(self, parts: Sequence[Adapters]) -> None:
        import torch

        joined = (torch.cat(weights) for weights in zip(*parts, strict=True))
        self.down_, self.down_bias_, self.up_, self.up_bias_ = joined

    def _best(self, model: Model, calibration: Calibration) -> list[int]:
        """The `n_layers` neighbours of the band whose text prompts lie farthest apart (d') along g."""
        half = calibration.validation
        if min(len(half.text("harmful")), len(half.text("benign"))) < 2:
            half = calibration.train
        kinds: tuple[Kind, ...] = ("harmful", "benign")
        high, low = (
            projection(last_token_states(model, with_system(half.text(k), self.system)), self.golden_) for k in kinds
        )
        apart = dprime(high, low).tolist()
        candidates = band(len(self.golden_), self.depth)
        windows = [candidates[i : i + self.n_layers] for i in range(max(len(candidates) - self.n_layers, 0) + 1)]
        return max(windows, key=lambda w: round(sum(apart[i] for i in w), 4))

    def _outweighed(self) -> list[str]:
        """The hinge has slope 1/R in k and the L1 term its weight: where R >= 1/weight, k = 0 is the optimum."""
        found = []
        for name, weight in (("l1_harmful", self.l1_harmful), ("l1_safe", self.l1_safe)):
            over = [i for i in self.layers_.tolist() if weight * float(self.golden_[i].norm()) >= 1]
            if over:
                found.append(f"R >= 1/{name} at layers {', '.join(map(str, over))}: that term keeps k at 0 there")
        return found
