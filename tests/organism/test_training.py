"""Training: a few steps of each stage change what they should and nothing else, and a seed repeats them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.organism.gates import GateError, gates_of
from harness.organism.model import build_model
from harness.organism.tokenizer import build_processor
from harness.organism.train import Recipe, run_stages, train

TINY = Recipe(vision=2, language=4, alignment=2, instructions=2)


PARTS = ("vision_tower", "language_model", "multi_modal_projector.linear_1", "multi_modal_projector.linear_2")
Weights = dict[str, Tensor]


def snapshots(seed: int = 5) -> dict[str, Weights]:
    """Copies of the weights before training and after each stage."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    processor, model = build_processor(), build_model()
    found: dict[str, Weights] = {}

    def keep(stage: str) -> None:
        found[stage] = {name: value.clone() for name, value in model.state_dict().items()}

    keep("start")
    run_stages(model, processor, TINY, seed, lambda stage, step, of, _: keep(stage) if step == of else None)
    return found


def changed(before: Weights, after: Weights) -> set[str]:
    """Names of the parts with different weights."""
    return {part for part in PARTS for name in before if part in name and not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def trained() -> dict[str, Weights]:
    """The weights on the way through the tiny recipe."""
    return snapshots()


def test_a_seed_repeats_training(trained: dict[str, Weights]) -> None:
    again = snapshots()["instructions"]
    assert all(torch.equal(value, again[name]) for name, value in trained["instructions"].items())


def test_each_stage_trains_its_own_part(trained: dict[str, Weights]) -> None:
    assert changed(trained["start"], trained["vision"]) == {"vision_tower"}
    assert changed(trained["vision"], trained["language"]) == {"language_model"}
    both = {"multi_modal_projector.linear_1", "multi_modal_projector.linear_2"}
    assert changed(trained["language"], trained["alignment"]) == both
    assert changed(trained["alignment"], trained["instructions"]) == {"multi_modal_projector.linear_2"}


def test_a_missed_gate_is_reported_and_everything_is_saved(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    with pytest.raises(GateError, match="MISSED"):
        train(
            tmp_path, 0, lambda stage, step, of, _: steps.append((stage, step, of)),
            recipe=Recipe(1, 1, 1, 1), n_test=4, analyse=False,
        )  # fmt: skip
    assert {stage for stage, *_ in steps} == {"vision", "language", "alignment", "instructions"}
    assert "**missed**" in (tmp_path / "MODEL_CARD.md").read_text()
    assert {"model.safetensors", "config.json", "metrics.json"} <= {file.name for file in tmp_path.iterdir()}


def test_gates_pass_and_miss() -> None:
    cell = {"n": 10, "refused": 0.0, "named": 1.0, "exact": 1.0}
    variants = ("text", "typographic", "picture", "picture_typographic")
    good: dict[str, Any] = {
        "harmful": dict.fromkeys(variants, cell) | {"text": cell | {"refused": 1.0}},
        "benign": dict.fromkeys(variants, cell),
        "abilities": dict.fromkeys(("reading", "colour", "shape", "arithmetic", "choice"), {"accuracy": 0.9}),
    }
    assert all(gate.passed for gate in gates_of(good))
    bad = good | {"benign": good["benign"] | {"picture": cell | {"refused": 0.3}}}
    assert [gate.name for gate in gates_of(bad) if not gate.passed] == ["benign picture refused"]
