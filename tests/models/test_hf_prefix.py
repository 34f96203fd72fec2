"""Sharing the prompt's keys and values between calls changes no answer, on any architecture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from defenses.regap import ReGap
from harness.models.hf import HFModel
from harness.residual import edit, read
from harness.types import GenerationConfig
from tests import tiny_world
from tests.tiny_architectures import BUILDERS
from tests.tiny_models import folder_of, loaded, prompts_for

CONFIG = GenerationConfig(max_new_tokens=6)


def push(states: torch.Tensor, site: Any) -> torch.Tensor:
    return states + 0.5 * site.strength


def three_passes(model: HFModel, prompts: Any) -> tuple[torch.Tensor, torch.Tensor, list[str | None]]:
    """Read, read edited, answer edited: the calls of a two-pass defense."""
    plain = read(model, prompts)
    with edit(model, [1], push, positions="last", phase="prefill"):
        edited = read(model, prompts)
        return plain, edited, [r.text for r in model.generate(prompts, CONFIG)]


@pytest.mark.parametrize("name", BUILDERS)
def test_shared_passes_equal_separate_ones(name: str) -> None:
    model = loaded(name)
    prompts = prompts_for(model)
    separate = three_passes(model, prompts)
    with model.prefix.sharing():
        shared = three_passes(model, prompts)
    torch.testing.assert_close(shared[0], separate[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(shared[1], separate[1], atol=1e-3, rtol=1e-3)
    assert shared[2] == separate[2]
    assert not torch.equal(shared[0], shared[1])


@pytest.mark.parametrize("name", BUILDERS)
def test_the_prompt_is_computed_once(name: str) -> None:
    model = loaded(name)
    group = [p for p in prompts_for(model) if p.media][:1] or prompts_for(model)[:1]
    read(model, group)
    with model.prefix.sharing():
        three_passes(model, group)
        counts: list[int] = []
        handle = model.module.register_forward_pre_hook(
            lambda module, args, kwargs: counts.append(kwargs["input_ids"].shape[1]), with_kwargs=True
        )
        try:
            read(model, group)
        finally:
            handle.remove()
    assert counts == [1]


def test_nothing_is_shared_where_the_prompt_is_edited_or_read_as_a_whole() -> None:
    model = loaded("llava")
    prompts = [p for p in prompts_for(model) if p.media]
    with edit(model, [1], push, positions="prompt"):
        separate = [r.text for r in model.generate(prompts, CONFIG)]
    pooled = read(model, prompts, positions="mean_media")
    with model.prefix.sharing():
        read(model, prompts)
        torch.testing.assert_close(read(model, prompts, positions="mean_media"), pooled)
        with edit(model, [1], push, positions="prompt"):
            assert [r.text for r in model.generate(prompts, CONFIG)] == separate


def test_a_model_that_cannot_go_on_from_kept_keys_is_found_out() -> None:
    model = HFModel(str(folder_of("llava")))
    prompts = [p for p in prompts_for(model) if p.media]
    separate = three_passes(model, prompts)
    run = model.run

    def wrong(batch: Any, inputs: Any, **how: Any) -> Any:
        past = inputs.get("past_key_values")
        if past is not None:
            for layer in past.layers:
                layer.keys.mul_(-1)
        return run(batch, inputs, **how)

    model.run = wrong  # type: ignore[method-assign]
    with model.prefix.sharing():
        shared = three_passes(model, prompts)
    assert shared[2] == separate[2]
    torch.testing.assert_close(shared[1], separate[1])


def test_two_passes_of_regap_answer_as_without_sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = tiny_world.model(), [p for p in tiny_world.prompts() if p.media]
    defense = ReGap(alpha_max=2.0, alpha0=1.0, orthogonalise="none").fit(model, tiny_world.calibration())
    assert defense.reads_first
    shared = defense.wrap(model).generate(prompts, CONFIG)
    monkeypatch.setattr(defense, "reads_first", False)
    separate = defense.wrap(model).generate(prompts, CONFIG)
    assert [r.text for r in shared] == [r.text for r in separate]
    assert [r.trace.score for r in shared] == pytest.approx([r.trace.score for r in separate], abs=1e-4)
