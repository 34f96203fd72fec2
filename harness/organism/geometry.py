"""Where harm is readable in the residual stream, layer by layer, in text and in images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import cosine_similarity

from harness.organism.drift import VISUAL, directions
from harness.organism.evaluate import sample
from harness.organism.states import image_inputs, last_states, layout_inputs

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor


def _states(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, split: str, n: int, variant: str, kind: str
) -> tuple[Tensor, Tensor]:
    """States (2n, layers, hidden) and labels (2n), harmful first; `kind` is "image" or "layout text"."""
    inputs_of = image_inputs if kind == "image" else layout_inputs
    found = [last_states(model, inputs_of(processor, sample(split, h, n), variant)) for h in (True, False)]
    return torch.cat(found), torch.cat([torch.ones(n), torch.zeros(n)])


def d_prime(harmful: Tensor, harmless: Tensor) -> float:
    """Difference of means over the root mean variance, of scalar projections."""
    spread = ((harmful.var() + harmless.var()) / 2).sqrt()
    return float((harmful.mean() - harmless.mean()) / spread)


def geometry(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, *, n_fit: int = 200, n_test: int = 84
) -> dict[str, Any]:
    """Separation of harmful from benign requests by layer.

    The refusal direction comes from training combinations in layout text, the probes from training and dev
    combinations of their own variant (no harmful image was ever trained on); all figures are of test combinations.
    """
    model.eval()
    found = directions(model, processor)
    refusal = found.refusal
    result: dict[str, Any] = {
        "cos_refusal_harmless_drift": cosine_similarity(refusal, found.harmless, dim=-1).tolist(),
        "cos_refusal_harmful_drift": cosine_similarity(refusal, found.harmful, dim=-1).tolist(),
        "drift_norm": found.harmless.norm(dim=-1).tolist(),
        "refusal_norm": refusal.norm(dim=-1).tolist(),
        "cells": [],
    }
    for kind, variant in [("layout text", v) for v in VISUAL] + [("image", v) for v in VISUAL]:
        halves = [_states(model, processor, split, n_fit, variant, kind) for split in ("train", "dev")]
        fit, fit_labels = (torch.cat(part) for part in zip(*halves, strict=True))
        test, labels = _states(model, processor, "test", n_test, variant, kind)
        projections = (test * refusal).sum(-1)  # (rows, layers)
        row: dict[str, Any] = {"kind": kind, "variant": variant, "d_prime": [], "auroc_refusal": [], "auroc_probe": []}
        for layer in range(test.shape[1]):
            row["d_prime"].append(d_prime(projections[labels == 1, layer], projections[labels == 0, layer]))
            row["auroc_refusal"].append(float(roc_auc_score(labels.numpy(), projections[:, layer].numpy())))
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
            probe.fit(fit[:, layer].numpy(), fit_labels.numpy())
            scores = probe.decision_function(test[:, layer].numpy())
            row["auroc_probe"].append(float(roc_auc_score(labels.numpy(), scores)))
        result["cells"].append(row)
    return result
