"""Edits of the residual stream on every architecture: they change what they should, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from harness import residual
from harness.contracts import PluginError
from harness.models.hf import HFModel
from harness.models.hf_batch import Batch, signature
from harness.residual import Site, output_of
from harness.types import GenerationConfig, Prompt
from tests.tiny_architectures import BUILDERS, MULTIMODAL, families
from tests.tiny_models import loaded, media_of, prepared, prompts_for
from tests.tiny_parts import LAYERS

SHORT = GenerationConfig(max_new_tokens=4)
MIDDLE = 2
every_architecture = pytest.mark.parametrize("name", families(BUILDERS))


def pairs(model: HFModel) -> list[tuple[Prompt, Prompt]]:
    """Two prompts of different lengths that go into one batch: of text alone, and with each kind of media."""
    texts = ("what is there?", "and this, now?")
    return [tuple(Prompt.user(t, *media) for t in texts) for media in [(), *((m,) for m in media_of(model))]]


def shift(states: torch.Tensor, site: Site) -> torch.Tensor:
    return states + 3 * site.strength * torch.linspace(-1, 1, states.shape[-1]).to(states)


@contextmanager
def kept_states(model: HFModel) -> Iterator[list[dict[int, torch.Tensor]]]:
    """States [rows, columns, d] of all layers, one dict a forward pass; hooks of edits entered before act first."""
    passes: list[dict[int, torch.Tensor]] = []

    def keep(layer: int) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            passes[-1][layer] = output_of(output).detach().clone()

        return hook

    handles = [m.register_forward_hook(keep(i)) for i, m in enumerate(residual.layers(model))]
    handles.append(model.module.register_forward_pre_hook(lambda module, args: passes.append({})))
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def states_of(model: HFModel, batch: Batch) -> dict[int, torch.Tensor]:
    with kept_states(model) as passes:
        model.prefill(batch, whole=True)
    return passes[0]


@every_architecture
def test_an_edit_reaches_its_token_its_row_and_what_follows_and_nothing_else(name: str) -> None:
    model = loaded(name)
    for prompts in pairs(model):
        assert len({signature(prepared(model, p)) for p in prompts}) == 1
        ((_, batch),) = model.batches(prompts)
        before = states_of(model, batch)
        row = batch.prompt_ids.index(prompts[0].id)
        strength = {prompts[0].id: 1.0, prompts[1].id: 0.0}
        with residual.edit(model, [MIDDLE], shift, positions="last", strength=strength):
            after = states_of(model, batch)
        assert before.keys() == after.keys() and MIDDLE in before
        for layer, states in before.items():
            change = (after[layer] - states).abs().amax(-1)
            if layer < MIDDLE:
                assert torch.equal(after[layer], states), "layers below the edit are left alone"
                continue
            # Experts see the tokens of all rows at once, so that other rows may differ by rounding.
            assert change[1 - row].max() < 1e-4, "the other row is left alone"
            assert change[row, :-1].max() < 1e-4, "tokens before the edited one are left alone"
            assert change[row, -1] > 0.1
        expected = before[MIDDLE][row, -1] + 3 * torch.linspace(-1, 1, states.shape[-1])
        torch.testing.assert_close(after[MIDDLE][row, -1], expected)


@every_architecture
def test_media_tokens_and_no_others_are_edited(name: str) -> None:
    model = loaded(name)
    for prompts in pairs(model):
        ((_, batch),) = model.batches(prompts)
        before = states_of(model, batch)
        with residual.edit(model, [MIDDLE], shift, positions="media"):
            after = states_of(model, batch)
        assert torch.equal((after[MIDDLE] != before[MIDDLE]).any(-1), batch.media)
        assert bool(batch.media.any(1).all()) == bool(prompts[0].media)


@pytest.mark.parametrize("name", families(MULTIMODAL))
def test_edits_of_media_reach_the_answer_of_prompts_with_media_only(name: str) -> None:
    model = loaded(name)
    prompts = [one for one, _ in pairs(model)]
    before = model.logits(prompts)
    with residual.edit(model, [0], shift, positions="media"):
        change = (model.logits(prompts) - before).abs().amax(1)
    assert change[0] == 0 and change[1:].min() > 1e-3


@every_architecture
def test_no_strength_and_no_change_are_bit_equal(name: str) -> None:
    model = loaded(name)
    prompts = prompts_for(model)
    before = model.logits(prompts)
    everywhere: dict[str, Any] = {"positions": "all", "phase": "both"}
    with residual.edit(model, range(LAYERS), shift, strength=0.0, **everywhere):
        assert torch.equal(model.logits(prompts), before)
    with residual.edit(model, range(LAYERS), lambda states, site: states, **everywhere):
        assert torch.equal(model.logits(prompts), before)


@pytest.mark.parametrize(
    ("positions", "phase"), [("prompt", "prefill"), ("generated", "decode"), ("all", "both")], ids=lambda value: value
)
@every_architecture
def test_answers_under_an_edit_do_not_depend_on_the_cache_or_on_company(name: str, positions: Any, phase: Any) -> None:
    model = loaded(name)
    prompts = [p for two in pairs(model) for p in two]
    plain = _texts(model, prompts)
    with residual.edit(model, [0, MIDDLE], shift, positions=positions, phase=phase):
        edited = _texts(model, prompts)
        model._use_cache = False
        try:
            assert _texts(model, prompts) == edited
        finally:
            model._use_cache = True
        assert [_texts(model, [p])[0] for p in prompts] == edited
    assert edited != plain
    assert _texts(model, prompts) == plain


def _texts(model: HFModel, prompts: list[Prompt]) -> list[str | None]:
    responses = model.generate(prompts, SHORT)
    assert [r.error for r in responses] == [None] * len(prompts)
    return [r.text for r in responses]


@every_architecture
def test_nothing_is_left_behind_even_by_an_edit_that_breaks(name: str) -> None:
    model = loaded(name)
    prompts = prompts_for(model)

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules())

    def broken(states: torch.Tensor, site: Site) -> torch.Tensor:
        raise ZeroDivisionError("oh")

    count, before = hooks(), model.logits(prompts)
    with pytest.raises(PluginError, match="The edit of layer 1 failed"), residual.edit(model, [1], broken):
        model.generate(prompts, SHORT)
    with residual.edit(model, [1], shift):
        assert hooks() > count
    assert hooks() == count and not model.edits and model.current is None
    assert torch.equal(model.logits(prompts), before)
