"""The refusal direction that modalities share: OmniSteer's golden refusal vector (arXiv 2602.10161)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from harness.calibration import CalibrationSplit, media_of
from harness.contracts import Model, PluginError
from harness.directions import refusal_direction, unit
from harness.states import last_token_states
from harness.types import Prompt

if TYPE_CHECKING:
    from torch import Tensor

Combine = Literal["svd", "mean", "text"]
Norm = Literal["mean", "unit"]


def refusal_vectors(
    model: Model,
    split: CalibrationSplit,
    *,
    modalities: Sequence[str] | None = None,
    max_text: int | None = None,
    max_media: int | None = None,
    system: str | None = None,
) -> dict[str, Tensor]:
    """v_m = mean(h | harmful) - mean(h | benign) at the last prompt token, [layers, d], by modality (text first; then
    what media a prompt holds, such as "image" or "audio+image").

    `modalities` None is all that have prompts of both kinds. At most `max_text` text prompts and `max_media` prompts
    of another modality are read of each kind, evenly spaced. `system` is put in front of each prompt's system turn.
    Raises `PluginError` when a modality that was named, or every one, lacks harmful or benign prompts.
    """
    found: dict[str, dict[str, list[Prompt]]] = {}
    for sample in split.samples:
        kinds = found.setdefault(media_of(sample.prompt) or "text", {"harmful": [], "benign": []})
        if sample.kind in kinds:
            kinds[sample.kind].append(sample.prompt)
    whole = [m for m, kinds in found.items() if all(kinds.values())]
    named = list(modalities) if modalities is not None else sorted(whole, key=lambda m: (m != "text", m))
    if missing := [m for m in named if m not in whole]:
        raise PluginError(
            f"there are no harmful and benign calibration prompts of modality {missing[0]}: name tasks that have both "
            f"with --calibration, or choose modalities among {', '.join(whole) or 'none'}"
        )
    if not named:
        raise PluginError("no modality has both harmful and benign calibration prompts: name tasks with --calibration")
    vectors = {}
    for name in named:
        most = max_text if name == "text" else max_media
        states = [
            last_token_states(model, with_system(spaced(found[name][kind], most), system))
            for kind in ("harmful", "benign")
        ]
        vectors[name] = refusal_direction(*states)
    return vectors


def golden_vector(vectors: Mapping[str, Tensor], combine: Combine = "svd", norm: Norm = "mean") -> Tensor:
    """One direction [layers, d] for all modalities.

    svd   the first right singular vector of the UNCENTRED rows v_m, turned towards their mean: the direction that holds
          most of their energy. Centred, it would be the direction in which the modalities differ
    mean  their plain mean;  text  v_text alone
    norm  mean: of length mean_m |v_m|, layer by layer (over the vectors that took part);  unit: of length 1

    Raises `PluginError` when text alone is wanted and not there.
    """
    import torch

    if combine == "text":
        if "text" not in vectors:
            raise PluginError("combine=text needs the modality text among `modalities`")
        vectors = {"text": vectors["text"]}
    rows = torch.stack(list(vectors.values()), dim=1).double()
    mean = rows.mean(1)
    direction = torch.linalg.svd(rows, full_matrices=False).Vh[:, 0] if combine == "svd" else mean
    # A singular vector has no sign of its own.
    direction = torch.where((direction * mean).sum(-1, keepdim=True) < 0, -direction, direction)
    length = rows.norm(dim=-1).mean(1) if norm == "mean" else torch.ones(len(rows), dtype=rows.dtype)
    return (unit(direction) * length[:, None]).float()


def spaced(prompts: Sequence[Prompt], most: int | None) -> list[Prompt]:
    """At most `most` of the prompts, evenly spaced, so that every variant keeps its share."""
    n = len(prompts) if most is None else min(most, len(prompts))
    return [prompts[i * len(prompts) // n] for i in range(n)]


def with_system(prompts: Sequence[Prompt], system: str | None) -> list[Prompt]:
    """The prompts with `system` in front of their system turn; as they are where it is None."""
    return list(prompts) if system is None else [p.with_system(system) for p in prompts]
