"""Which patches of a picture make a model say what it says: random ablations and a sparse linear surrogate.

The procedure of ContextCite (arXiv 2409.00729), which ASTRA (arXiv 2411.16721) applies to the patches of a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from harness.contracts import PluginError
from harness.types import Image, Prompt

if TYPE_CHECKING:
    import numpy as np

    from harness.models.hf import HFModel
    from harness.models.hf_batch import Batch

Fill = Literal["mean", "grey"]
PIXELS_A_PATCH = 14
"""336 pixels in 24 patches, as published."""


def patch_grid(picture: Image, largest: int) -> int:
    """Patches a side: one every 14 pixels of the shorter side, from 2 to `largest`. Raises `MediaError`."""
    return max(min(min(picture.size) // PIXELS_A_PATCH, largest), 2)


def without_patches(picture: Image, kept: np.ndarray, fill: Fill) -> Image:
    """The picture with the patches where `kept` [grid, grid] is False painted over. Raises `MediaError`."""
    import numpy as np
    import PIL.Image

    pixels = np.array(picture.pil())
    paint = pixels.mean((0, 1)).round().astype(np.uint8) if fill == "mean" else np.uint8(128)
    rows, columns = (np.arange(n) * len(kept) // n for n in pixels.shape[:2])
    mask = kept[rows][:, columns]
    return Image.from_pil(PIL.Image.fromarray(np.where(mask[..., None], pixels, paint).astype(np.uint8)))


def attributed(
    score: Callable[[Sequence[Image]], Sequence[float]],
    picture: Image,
    *,
    grid: int,
    ablations: int,
    keep: float,
    fill: Fill,
    penalty: float,
    seed: int,
) -> np.ndarray:
    """Weight of every patch, [grid, grid]: how much its presence adds to `score`, by a Lasso on standardised masks.

    `keep` is the share of patches that an ablation keeps, `penalty` the weight of the L1 term.
    """
    import numpy as np
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    masks = np.random.default_rng(seed).random((ablations, grid, grid)) < keep
    scores = np.asarray(score([without_patches(picture, mask, fill) for mask in masks]))
    scaler = StandardScaler()
    seen = scaler.fit_transform(masks.reshape(ablations, -1).astype(float))
    surrogate = Lasso(alpha=penalty, max_iter=10_000).fit(seen, scores)
    return np.asarray(surrogate.coef_ / scaler.scale_).reshape(grid, grid)


def most_important(weights: np.ndarray, most: int, above: float = 1e-4) -> np.ndarray:
    """[grid, grid] bool: the at most `most` patches of largest weight, of those with a weight over `above`."""
    import numpy as np

    ranked = np.argsort(-weights, axis=None, kind="stable")[:most]
    chosen = np.zeros(weights.size, dtype=bool)
    chosen[ranked] = weights.reshape(-1)[ranked] > above
    return chosen.reshape(weights.shape)


def opening_logits(model: HFModel, prompts: Sequence[Prompt], opening: str) -> list[float]:
    """Of each prompt, the mean logit of the tokens of `opening` as the beginning of the answer.

    The prompts differ in their media alone. Raises `PluginError` when one cannot be used.
    """
    import inspect

    import torch

    begun = [p.with_prefix(opening) for p in prompts]
    tokens = _tokens_more(model, prompts[0], begun[0])
    wanted = inspect.signature(model.module.forward).parameters
    # Logits of all tokens of a large batch would be the largest tensor of all.
    fewer = {"logits_to_keep": tokens + 1} if "logits_to_keep" in wanted else {}

    def work(batch: Batch) -> list[float]:
        with torch.no_grad():
            logits = model.forward(batch, **fewer).logits[:, -tokens - 1 : -1].float()
        ids = batch.inputs["input_ids"][:, -tokens:]
        return logits.gather(-1, ids[..., None]).mean((1, 2)).tolist()  # type: ignore[no-any-return]

    scores = model.map_batches(begun, work)
    if bad := next((s for s in scores if not isinstance(s, float)), None):
        raise PluginError(f"{model.name} cannot begin its answer to a calibration prompt by {opening!r}: {bad.reason}")
    return [s for s in scores if isinstance(s, float)]


def _tokens_more(model: HFModel, plain: Prompt, begun: Prompt) -> int:
    """How many tokens at the end `begun` has that `plain` does not begin with."""
    from harness.models.hf_prepare import Unprepared

    ids = []
    for made in model.prepare([plain, begun]):
        if isinstance(made, Unprepared):
            raise PluginError(f"a calibration prompt cannot be used: {made.reason}")
        ids.append(made.inputs["input_ids"][0].tolist())
    same = next((i for i, (a, b) in enumerate(zip(*ids, strict=False)) if a != b), min(map(len, ids)))
    if same == len(ids[1]):
        raise PluginError(f"{model.name} has no token for the opening of an answer {begun.prefix!r}: set target")
    return len(ids[1]) - same
