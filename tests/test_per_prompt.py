"""Vectors of a prompt's own: found before anything is edited, whatever else steers, and charged for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from defenses.drift_correction import DriftCorrection
from harness.contracts import Model, PluginError
from harness.per_prompt import PromptDose, PromptSteering, dose_of, unsteered
from harness.residual import edit, read
from harness.types import Cost, Prompt
from tests import tiny_world as tiny


class OwnVector(PromptSteering):
    """Takes off a vector that grows with the number of the prompt, and asks the model about another prompt first."""

    inputs = "all"
    plugin_name = "own_vector"

    def __init__(self) -> None:
        self.layers_ = torch.tensor([1, 2])
        self.strength_ = 2.0

    def found(self, model: Model, prompts: Sequence[Prompt]) -> dict[str, PromptDose]:
        model.generate([Prompt.user("another prompt")], tiny.SHORT)
        sizes = {p.id: float(len(p.text)) for p in prompts}
        width = read(model.root, prompts[:1]).shape[-1]
        return {
            key: PromptDose(vectors=torch.full((2, width), size), extra_passes=1, cost=Cost(target_calls=3))
            for key, size in sizes.items()
        }


def texts() -> list[Prompt]:
    return [Prompt.user("a"), Prompt.user("longer"), Prompt.user("the longest of them")]


def test_each_row_gets_its_own_vector_whatever_the_batch() -> None:
    defense, model = OwnVector(), tiny.model()
    with defense.steer(model, defense.doses(model, texts())):
        moved = (read(model, texts()) - read_plain(texts()))[:, 1]
    for row, prompt in zip(moved, texts(), strict=True):
        torch.testing.assert_close(row, torch.full_like(row, -2.0 * len(prompt.text)), atol=1e-3, rtol=0)


def read_plain(prompts: list[Prompt]) -> torch.Tensor:
    with unsteered(tiny.model()):
        return read(tiny.model(), prompts)


def test_costs_of_finding_are_charged_to_every_row() -> None:
    prompts = [*texts(), texts()[0]]
    for response in OwnVector().wrap(tiny.model()).generate(prompts, tiny.SHORT):
        assert response.cost.target_calls == 4 and response.cost.extra_forward_passes == 1


def test_nothing_is_remembered_between_calls() -> None:
    defense = OwnVector()
    defense.wrap(tiny.model()).generate(texts(), tiny.SHORT)
    assert defense._learnt is None


def test_unsteered_silences_active_edits_and_puts_them_back() -> None:
    model, plain = tiny.model(), read(tiny.model(), texts())

    def add(states: torch.Tensor, site: Any) -> torch.Tensor:
        return states + 1

    known = {p.id: 1.0 for p in texts()}
    with edit(model, [0], add, strength=known):
        with unsteered(model):
            assert torch.equal(read(model, texts()), plain)
            read(model, [Prompt.user("a prompt that the edit has no strength for")])
        assert not torch.equal(read(model, texts()), plain)
        with pytest.raises(PluginError, match="no strength"):
            read(model, [Prompt.user("a prompt that the edit has no strength for")])
    assert torch.equal(read(model, texts()), plain)


def test_composes_with_steering_in_both_orders() -> None:
    drift = DriftCorrection(alpha=1.0, inputs="all").fit(tiny.model(), tiny.calibration())
    inside = drift.wrap(OwnVector().wrap(tiny.model())).generate(texts(), tiny.SHORT)
    outside = OwnVector().wrap(drift.wrap(tiny.model())).generate(texts(), tiny.SHORT)
    assert [r.error for r in (*inside, *outside)] == [None] * 6
    assert [r.text for r in inside] == [r.text for r in outside]


def test_a_state_that_could_not_be_read_is_a_failure_that_keeps_its_cost() -> None:
    dose = dose_of(torch.tensor([[1.0, torch.nan]]), "who", cost=Cost(target_calls=1), extra_passes=2)
    assert dose.error is not None and dose.error.startswith("who could not read")
    assert dose.cost.target_calls == 1 and dose.vectors is None
