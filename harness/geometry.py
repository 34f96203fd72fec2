"""The geometry of the safety gap: refusal direction, modality drift, separability, and whether harm is still readable.

Definitions: refusal direction and drift as in `harness.directions`; d' along the refusal direction under a condition is
the conditional refusal separability of ReGap (arXiv 2605.18104); the shrinkage of a medium's own refusal vector is the
mid-layer dissolution of OmniSteer (arXiv 2602.10161). Directions are fitted on the training split and everything is
measured on the validation split; drift is measured on validation pairs, so that it shares no sample with the refusal
direction that it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.calibration import MEDIA, Calibration, CalibrationSplit, Kind
from harness.contracts import Model, PluginError
from harness.directions import (
    auroc,
    band,
    cosine,
    dprime,
    orthogonal,
    paired_drift,
    projection,
    refusal_direction,
    unit,
)
from harness.states import last_token_states
from harness.types import Sample

if TYPE_CHECKING:
    from torch import Tensor

SOURCES = {
    "refusal_direction": "difference of means, arXiv 2406.11717",
    "drift": "mean paired drift, arXiv 2605.18104 (reconstruction)",
    "dprime": "conditional refusal separability, arXiv 2605.18104 (reconstruction)",
    "shrinkage": "mid-layer dissolution, arXiv 2602.10161",
    "probe": "logistic regression on the states of the modality itself",
}
KINDS: tuple[Kind, ...] = ("harmful", "benign")
BINS = 24
DRIFT_BINS = 3


def geometry(model: Model, data: Calibration | Iterable[Sample], *, layer: int | None = None) -> dict[str, Any]:
    """A JSON-ready description, layer by layer and, for `layer` (default: where text separates best in the middle half
    of the depth), in detail. Samples that are not split yet are split in halves by base question.

    Raises `PluginError` when a split lacks harmful or benign prompts, as text or with media.
    """
    data = data if isinstance(data, Calibration) else Calibration.from_samples(data, validation=0.5)
    for name, half in (("training", data.train), ("validation", data.validation)):
        for kind in KINDS:
            if len(half.text(kind)) < 2 or len(half.pairs(kind)) < 2:
                raise PluginError(
                    f"geometry needs two {kind} requests or more both as text and with media in its {name} half: "
                    "name more or larger paired tasks"
                )
    fit = {kind: last_token_states(model, data.train.text(kind)) for kind in KINDS}
    refusal = refusal_direction(fit["harmful"], fit["benign"])
    groups = _groups(model, data.validation)
    drift = {kind: paired_drift(model, data.validation, kind) for kind in KINDS}
    drifts: dict[str, Tensor] = {"harmful": drift["harmful"], "benign": drift["benign"]}
    drifts["balanced"] = (drift["harmful"] + drift["benign"]) / 2
    text = _separation(groups["text"], refusal)
    if layer is None:
        layer = max(band(len(refusal), (0.25, 0.75)), key=lambda i: text[i]["dprime"])
    measured = {name: _separation(states, refusal) for name, states in groups.items()}
    shrunk = {name: _shrinkage(states, groups["text"]) for name, states in groups.items()}
    probes = {name: _probe(_group(model, data.train, name), states) for name, states in groups.items()}
    sizes = {name: _drift_sizes(vector, refusal, groups["text"]) for name, vector in drifts.items()}
    layers = [
        {
            "layer": i,
            "refusal_norm": _round(refusal[i].norm()),
            "along_refusal": {name: rows[i] for name, rows in measured.items()},
            "own_refusal": {name: rows[i] for name, rows in shrunk.items()},
            "probe_auroc": {name: rows[i] for name, rows in probes.items()},
            "drift": {name: rows[i] for name, rows in sizes.items()},
        }
        for i in range(len(refusal))
    ]
    return {
        "model": model.name,
        "n_layers": len(refusal),
        "width": refusal.shape[1],
        "variants": list(groups),
        "n": {name: {kind: len(states[kind]) for kind in KINDS} for name, states in groups.items()},
        "layers": layers,
        "layer": layer,
        "histogram": _histogram(groups, refusal, layer),
        "by_drift": _by_drift(model, data.train, groups["media"], refusal, layer),
        "sources": SOURCES,
    }


def _groups(model: Model, split: CalibrationSplit) -> dict[str, dict[Kind, Tensor]]:
    """States by text, media, and every media variant that has both kinds."""
    variants = dict.fromkeys(s.variant for s in split.samples if s.prompt.modalities & MEDIA)
    names = ["text", "media", *(variants if len(variants) > 1 else ())]
    groups = {name: _group(model, split, name) for name in names}
    return {name: states for name, states in groups.items() if all(len(states[kind]) > 1 for kind in KINDS)}


def _group(model: Model, split: CalibrationSplit, name: str) -> dict[Kind, Tensor]:
    import torch

    found: dict[Kind, Tensor] = {}
    for kind in KINDS:
        if name in ("text", "media"):
            chosen = split.text(kind) if name == "text" else split.media(kind)
        else:
            chosen = [
                s.prompt for s in split.samples if (s.kind, s.variant) == (kind, name) and s.prompt.modalities & MEDIA
            ]
        found[kind] = last_token_states(model, chosen) if chosen else torch.empty(0)
    return found


def _separation(states: dict[Kind, Tensor], refusal: Tensor) -> list[dict[str, float]]:
    high, low = (projection(states[kind], refusal) for kind in KINDS)
    rows = zip(dprime(high, low), auroc(high, low), strict=True)
    return [{"dprime": _round(gap), "auroc": _round(area)} for gap, area in rows]


def _shrinkage(states: dict[Kind, Tensor], text: dict[Kind, Tensor]) -> list[dict[str, float]]:
    """Norm of the group's own harmful - benign vector relative to that of text, and their cosine."""
    own, reference = (refusal_direction(g["harmful"], g["benign"]) for g in (states, text))
    ratio, angle = own.norm(dim=-1) / reference.norm(dim=-1).clamp_min(1e-12), cosine(own, reference)
    return [{"relative_norm": _round(r), "cos_text": _round(c)} for r, c in zip(ratio, angle, strict=True)]


def _drift_sizes(drift: Tensor, refusal: Tensor, text: dict[Kind, Tensor]) -> list[dict[str, float]]:
    """Norm, norm relative to the mean norm of text states, cosine with the refusal direction."""
    import torch

    scale = torch.cat(list(text.values())).norm(dim=-1).mean(0).clamp_min(1e-12)
    rows = zip(drift.norm(dim=-1), drift.norm(dim=-1) / scale, cosine(drift, refusal), strict=True)
    return [{"norm": _round(n), "relative": _round(r), "cos_refusal": _round(c)} for n, r, c in rows]


def _probe(train: dict[Kind, Tensor], test: dict[Kind, Tensor]) -> list[float | None]:
    """Held-out AUROC of a linear probe; None where the training split has too few rows of the group."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    n_layers = test["harmful"].shape[1]
    if any(len(train[kind]) < 2 for kind in KINDS):
        return [None] * n_layers
    labels = np.repeat([1, 0], [len(train[kind]) for kind in KINDS])
    found: list[float | None] = []
    for i in range(n_layers):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))
        probe.fit(np.concatenate([train[kind][:, i].numpy() for kind in KINDS]), labels)
        high, low = (torch.from_numpy(probe.decision_function(test[kind][:, i].numpy())) for kind in KINDS)
        found.append(_round(auroc(high, low)))
    return found


def _histogram(groups: dict[str, dict[Kind, Tensor]], refusal: Tensor, layer: int) -> dict[str, Any]:
    """Counts over shared bins of the coordinates along the refusal direction of one layer."""
    import numpy as np

    values = {
        f"{name} {kind}": projection(groups[name][kind], refusal)[:, layer].numpy()
        for name in ("text", "media")
        for kind in KINDS
    }
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins=BINS)
    counts = {name: np.histogram(rows, bins=edges)[0].tolist() for name, rows in values.items()}
    return {"layer": layer, "edges": [_round(e) for e in edges], "counts": counts}


def _by_drift(
    model: Model, train: CalibrationSplit, media: dict[Kind, Tensor], refusal: Tensor, layer: int
) -> list[dict[str, float | int | None]]:
    """Separability by size of the drift. The drift axis is orthogonal to the refusal direction, since along one shared
    axis stronger drift would mean weaker separability by construction."""
    import torch

    axis = unit(
        orthogonal((paired_drift(model, train, "harmful") + paired_drift(model, train, "benign")) / 2, refusal)[layer]
    )
    size = {kind: media[kind][:, layer] @ axis for kind in KINDS}
    coordinate = {kind: projection(media[kind], refusal)[:, layer] for kind in KINDS}
    cuts = torch.cat(list(size.values())).quantile(torch.linspace(0, 1, DRIFT_BINS + 1)[1:-1])
    rows: list[dict[str, float | int | None]] = []
    for b in range(DRIFT_BINS):
        high, low = (coordinate[kind][torch.bucketize(size[kind], cuts) == b] for kind in KINDS)
        enough = len(high) > 1 and len(low) > 1
        rows.append({"bin": b, "n": len(high) + len(low), "dprime": _round(dprime(high, low)) if enough else None})
    return rows


def _round(value: Any) -> float:
    return round(float(value), 4)
