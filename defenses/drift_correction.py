from __future__ import annotations

from typing import ClassVar

from harness.contracts import Fidelity
from harness.drift import DriftSteering


class DriftCorrection(DriftSteering):
    """Takes the mean modality drift off the states of prompts with media, at fixed strength.

    The fixed-strength intervention of ReGap (arXiv 2605.18104), with d the mean of media state minus text state of the
    same request at the last prompt token.

    alpha         strength; 1 undoes the mean drift; "auto" chooses on validation (`harness.strength`)
    layers        edited decoder layers; by default all in the band `depth`, two fractions of the depth
    orthogonalise none; d_perp_r: drift without its refusal part; r_perp_d: refusal direction without its drift part
    drift_class   pairs that the drift is measured on: benign, harmful or balanced
    pooling       modality: each medium (image, audio+image, ...) has a drift of its own; pooled: one for all
    variants      media variants of the calibration set that drift is measured on; None: all
    questions     base questions of each kind that directions are fitted on, at most; None: all
    refusal_from  each: every layer its own refusal direction; best: that of the layer which tells text best
    read_tokens   states are means over the last so many prompt tokens
    form          shift: h - alpha d;  unit: h - alpha m d/|d|, m the mean norm of d over the edited layers;
                  projection: h - alpha <h - mu_text, d/|d|> d/|d|
    sign          -1 is the sign-flipped control, at the strength of the method itself
    inputs        media: prompts with media alone; all: text too
    positions     last, prompt, media, generated or all tokens;  phase: prefill, decode or both
    """

    fidelity: ClassVar[Fidelity] = Fidelity(
        "reconstruction",
        "arXiv 2605.18104, the fixed-strength intervention, from its abstract and third-party notes",
        (
            "layers, positions, strength and calibration data are not public: all are parameters",
            "the default drift is that of benign pairs, not orthogonalised: h - alpha mean(h_media - h_text); "
            "orthogonalise=d_perp_r is the form that the paper is read to use",
        ),
    )
