"""One cache serves all defenses: however many are fitted, a calibration prompt goes through the model once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness import residual
from harness.composition import create_defense
from harness.models.hf import HFModel
from harness.residual_read import states_of
from tests import tiny_world as tiny

# Strengths as numbers: choosing one asks the steered model, and such answers cannot be shared.
TEN = (
    "drift_correction(alpha=1)",
    "random_direction(alpha=1)",
    "benign_direction(alpha=1)",
    "actadd(scale=0.5)",
    "mars(kappa=1,n_neutral=0)",
    "omnisteer",
    "static_steer(coef=0.1)",
    "cmrm(alpha=1,variant=dataset)",
    "vlm_guard(strength=1)",
    "shiftdc(alpha=1,texts=plain)",
    "sign_flipped(of='drift_correction(alpha=1)')",
)


def test_fitting_ten_activation_defenses_reads_each_calibration_prompt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = HFModel(tiny.model().path, batch_size=64)
    read: Counter[tuple[str, str]] = Counter()

    def counting(target: HFModel, prompts: Any, where: Any) -> Any:
        read.update((where, p.id) for p in prompts)
        return states_of(target, prompts, where)

    monkeypatch.setattr(residual, "states_of", counting)
    for spec in TEN:
        create_defense(spec)[1].fit(model, tiny.calibration())
    known = {s.prompt.id for s in tiny.calibration().samples}
    assert {key for where, key in read if where == "last"} >= {s.prompt.id for s in tiny.calibration().train.samples}
    assert max(count for (where, key), count in read.items() if key in known) == 1
