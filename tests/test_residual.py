"""Reading and editing the residual stream: what is read is what is computed, and an edit touches nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import residual
from harness.contracts import Defense, Model, PluginError
from harness.models.hf import HFModel
from harness.residual import Site
from harness.types import GenerationConfig, Image, Prompt
from tests.tiny_models import folder_of, loaded, noise, prepared, prompts_for
from tests.tiny_parts import HIDDEN, LAYERS

CONFIG = GenerationConfig(max_new_tokens=5)
ALL_POSITIONS = ("last", "prompt", "media", "generated", "all")
ALL_PHASES = ("prefill", "decode", "both")


@pytest.fixture
def llava() -> HFModel:
    return loaded("llava")  # type: ignore[no-any-return]


@pytest.fixture
def prompts(llava: HFModel) -> list[Prompt]:
    return prompts_for(llava)


def shift(states: torch.Tensor, site: Site) -> torch.Tensor:
    """Adds a direction that no layer is blind to."""
    return states + 3 * site.strength * torch.linspace(-1, 1, states.shape[-1]).to(states)


def texts(model: HFModel, prompts: list[Prompt]) -> list[str | None]:
    responses = model.generate(prompts, CONFIG)
    assert [r.error for r in responses] == [None] * len(prompts)
    return [r.text for r in responses]


def hooks(model: HFModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules())


@contextmanager
def no_cache(model: HFModel) -> Iterator[None]:
    model._use_cache = False
    try:
        yield
    finally:
        model._use_cache = True


class TestRead:
    @pytest.mark.parametrize("name", ["llava", "qwen3_vl", "gemma3", "gemma4", "qwen3_omni", "gpt2_text"])
    def test_states_are_the_hidden_states_of_the_model(self, name: str) -> None:
        """Against `output_hidden_states`, whose entry l + 1 is the output of layer l (the last one there is normed)."""
        model = loaded(name)
        prompts = prompts_for(model)[-1:]
        ((_, batch),) = model.batches(prompts)
        with torch.no_grad():
            hidden = model.forward(batch, output_hidden_states=True).hidden_states
        states = residual.read(model, prompts)[0]
        means = residual.read(model, prompts, positions="mean_prompt")[0]
        for layer in range(LAYERS - 1):
            torch.testing.assert_close(states[layer], hidden[layer + 1][0, -1], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(means[layer], hidden[layer + 1][0].mean(0), atol=1e-4, rtol=1e-4)

    def test_the_last_layer_leads_to_the_logits(self, llava: HFModel, prompts: list[Prompt]) -> None:
        states = residual.read(llava, prompts, [-1])[:, 0]
        decoder = llava.module.model.language_model
        torch.testing.assert_close(
            llava.module.lm_head(decoder.norm(states)), llava.logits(prompts), atol=1e-4, rtol=1e-4
        )

    def test_media_means(self, llava: HFModel) -> None:
        prompt = Prompt.user("what?", noise(16, 16, 1))
        ((_, batch),) = llava.batches([prompt])
        with torch.no_grad():
            hidden = llava.forward(batch, output_hidden_states=True).hidden_states[2][0]
        expected = hidden[batch.media[0]].mean(0)
        torch.testing.assert_close(
            residual.read(llava, [prompt], [1], positions="mean_media")[0, 0], expected, atol=1e-4, rtol=1e-4
        )

    def test_layers_are_chosen_in_any_order(self, llava: HFModel, prompts: list[Prompt]) -> None:
        whole = residual.read(llava, prompts)
        assert torch.equal(residual.read(llava, prompts, [3, 0, -2]), whole[:, [3, 0, 2]])
        assert whole.dtype == torch.float32 and whole.device.type == "cpu"
        assert residual.read(llava, [], [0, 1]).shape == (0, 2, HIDDEN)

    def test_what_cannot_be_read_is_said_or_marked(self, llava: HFModel) -> None:
        prompts = [Prompt.user("hi"), Prompt.user("what?", Image(b"junk")), Prompt.user("x", noise(16, 16, 1))]
        with pytest.raises(PluginError, match="1 of 3 prompts cannot be read: image cannot be decoded"):
            residual.read(llava, prompts)
        states = residual.read(llava, prompts, on_error="nan")
        assert states.isnan().all(-1).all(-1).tolist() == [False, True, False]
        with pytest.raises(PluginError, match="no image"):
            residual.read(llava, prompts[:1], positions="mean_media")
        marked = residual.read(llava, prompts, positions="mean_media", on_error="nan")
        assert marked.isnan().any(-1).any(-1).tolist() == [True, True, False]

    def test_wrong_arguments_are_said(self, llava: HFModel, prompts: list[Prompt]) -> None:
        with pytest.raises(PluginError, match="no layer 4: its layers are 0 to 3"):
            residual.read(llava, prompts, [4])
        with pytest.raises(PluginError, match="no positions 'middle'"):
            residual.read(llava, prompts, positions="middle")  # type: ignore[arg-type]

    def test_wrappers_are_looked_through(self, llava: HFModel, prompts: list[Prompt]) -> None:
        assert torch.equal(residual.read(Defense().wrap(llava), prompts), residual.read(llava, prompts))

    def test_a_model_without_activations_is_refused(self, prompts: list[Prompt]) -> None:
        class Remote(Model):
            name = "remote"

            def fingerprint(self) -> dict[str, Any]:
                return {}

            def generate(self, prompts: Any, config: Any) -> Any:
                return []

        with pytest.raises(PluginError, match="remote has no activations"):
            residual.read(Remote(), prompts)


class TestDiskCache:
    def test_other_layers_hit_and_nothing_is_computed(self, tmp_path: Path, prompts: list[Prompt]) -> None:
        model = HFModel(str(folder_of("llava")))
        first = residual.read(model, prompts, [1], cache=tmp_path)
        again = HFModel(str(folder_of("llava")))
        assert torch.equal(residual.read(again, prompts, [1], cache=tmp_path), first)
        assert torch.equal(residual.read(again, prompts, cache=tmp_path), residual.read(model, prompts))
        assert again._module is None, "a full hit needs no weights"

    def test_positions_edits_and_damage_miss(self, tmp_path: Path, llava: HFModel, prompts: list[Prompt]) -> None:
        last = residual.read(llava, prompts, cache=tmp_path)
        mean = residual.read(llava, prompts, positions="mean_prompt", cache=tmp_path)
        assert not torch.allclose(last, mean)
        with residual.edit(llava, [0], shift):
            assert not torch.allclose(residual.read(llava, prompts, cache=tmp_path), last)
        for file in tmp_path.rglob("*.safetensors"):
            file.write_bytes(file.read_bytes()[:20])
        assert torch.equal(residual.read(llava, prompts, cache=tmp_path), last)


class TestEdit:
    def test_strength_zero_is_bit_equal(self, llava: HFModel, prompts: list[Prompt]) -> None:
        before = llava.logits(prompts)
        zeros = {p.id: 0.0 for p in prompts}
        for strength in (0.0, zeros):
            with residual.edit(llava, range(LAYERS), lambda s, site: s + 1, positions="all", strength=strength):
                assert torch.equal(llava.logits(prompts), before)
        assert torch.equal(llava.logits(prompts), before)

    def test_rows_are_edited_one_by_one(self, llava: HFModel) -> None:
        """Same batch, one row edited: the others stay bit-identical."""
        prompts = [Prompt.user(f"number {i} of many"[: 8 + i]) for i in range(6)]
        before = llava.logits(prompts)
        strength = {p.id: float(i == 2) for i, p in enumerate(prompts)}
        with residual.edit(llava, [0, 2], shift, strength=strength):
            after = llava.logits(prompts)
        assert [torch.equal(a, b) for a, b in zip(after, before, strict=True)] == [i != 2 for i in range(6)]

    def test_the_site_says_where_states_come_from(self, llava: HFModel) -> None:
        prompts = [Prompt.user("a"), Prompt.user("four"), Prompt.user("three")]
        strength = {p.id: float(i) for i, p in enumerate(prompts)}
        seen: list[tuple[Site, torch.Tensor]] = []

        def fn(states: torch.Tensor, site: Site) -> torch.Tensor:
            seen.append((site, states))
            return states

        with residual.edit(llava, [1], fn, positions="all", strength=strength):
            llava.generate(prompts, GenerationConfig(max_new_tokens=3))
        first, later = seen[0][0], seen[1][0]
        lengths = {p.id: prepared(llava, p).length for p in prompts}
        assert {i for i in first.prompt_ids} == set(lengths)
        for row, prompt_id in enumerate(first.prompt_ids):
            mine = first.rows == row
            assert int(mine.sum()) == (lengths[prompt_id] if strength[prompt_id] else 0), "padding is left out"
            assert (first.strength[mine] == strength[prompt_id]).all()
        assert (first.layer, first.phase, later.phase) == (1, "prefill", "decode")
        assert first.strength.shape == (len(first.rows), 1) and first.strength.dtype == seen[0][1].dtype
        assert seen[0][1].shape == (len(first.rows), HIDDEN) and len(later.rows) == 2

    def test_media_edits_take_exactly_the_placeholders(self, llava: HFModel, prompts: list[Prompt]) -> None:
        counts: dict[str, int] = {}

        def fn(states: torch.Tensor, site: Site) -> torch.Tensor:
            for row in site.rows.tolist():
                counts[site.prompt_ids[row]] = counts.get(site.prompt_ids[row], 0) + 1
            return states

        with residual.edit(llava, [0], fn, positions="media"):
            llava.logits(prompts)
        expected = {p.id: int(prepared(llava, p).media.sum()) for p in prompts}
        assert counts == {i: n for i, n in expected.items() if n}

    def test_an_edit_of_the_last_token_changes_only_what_follows(self, llava: HFModel, prompts: list[Prompt]) -> None:
        before, mean = residual.read(llava, prompts), residual.read(llava, prompts, positions="mean_prompt")
        with residual.edit(llava, [1], shift, positions="last"):
            after, mean_after = residual.read(llava, prompts), residual.read(llava, prompts, positions="mean_prompt")
        added = 3 * torch.linspace(-1, 1, HIDDEN)
        lengths = torch.tensor([[float(prepared(llava, p).length)] for p in prompts])
        assert torch.equal(after[:, 0], before[:, 0])
        torch.testing.assert_close(after[:, 1], before[:, 1] + added)
        torch.testing.assert_close(mean_after[:, 1], mean[:, 1] + added / lengths, atol=1e-4, rtol=1e-4)
        assert (after[:, 2:] - before[:, 2:]).abs().amax((1, 2)).min() > 0.1

    @pytest.mark.parametrize("layer", [0, LAYERS - 1])
    def test_first_and_last_layer(self, llava: HFModel, prompts: list[Prompt], layer: int) -> None:
        before = llava.logits(prompts)
        with residual.edit(llava, [layer], shift, positions="last"):
            read, after = residual.read(llava, prompts, [-1])[:, 0], llava.logits(prompts)
        norm, head = llava.module.model.language_model.norm, llava.module.lm_head
        assert (after - before).abs().amax(1).min() > 0.01
        torch.testing.assert_close(after, head(norm(read)), atol=1e-4, rtol=1e-4)

    def test_nested_edits_act_in_order(self, llava: HFModel, prompts: list[Prompt]) -> None:
        before = residual.read(llava, prompts, [1])
        with (
            residual.edit(llava, [1], lambda s, site: 2 * s, positions="last"),
            residual.edit(llava, [1], lambda s, site: s + 1, positions="last"),
        ):
            torch.testing.assert_close(residual.read(llava, prompts, [1]), 2 * before + 1)
        assert torch.equal(residual.read(llava, prompts, [1]), before)

    def test_signals_are_read_while_earlier_layers_are_corrected(self, llava: HFModel, prompts: list[Prompt]) -> None:
        plain = residual.read(llava, prompts, [2])
        with residual.edit(llava, [0], shift):
            corrected = residual.read(llava, prompts, [2])
            assert not torch.allclose(corrected, plain)
            with residual.edit(llava, [1], shift):
                assert not torch.allclose(residual.read(llava, prompts, [2]), corrected)

    def test_hooks_are_gone_whatever_happens(self, llava: HFModel, prompts: list[Prompt]) -> None:
        count, before = hooks(llava), llava.logits(prompts)

        def broken(states: torch.Tensor, site: Site) -> torch.Tensor:
            raise ZeroDivisionError("oh")

        cases: list[tuple[Any, dict[str, Any], str]] = [
            (broken, {}, "The edit of layer 1 failed: ZeroDivisionError: oh"),
            (lambda s, site: s[:1], {}, "returned shape"),
            (shift, {"strength": {prompts[0].id: 1.0}}, "no strength for prompt"),
            (shift, {"strength": {p.id: float("nan") for p in prompts}}, "no finite number"),
            (shift, {"positions": "somewhere"}, "no positions 'somewhere'"),
            (shift, {"phase": "sometime"}, "no phase 'sometime'"),
        ]
        for fn, how, says in cases:
            with pytest.raises(PluginError, match=says), residual.edit(llava, [1], fn, **how):
                llava.generate(prompts, CONFIG)
        with pytest.raises(KeyboardInterrupt), residual.edit(llava, [0, 1], shift):
            raise KeyboardInterrupt
        with pytest.raises(PluginError, match="no layer 9"), residual.edit(llava, [0, 9], shift):
            pass
        assert hooks(llava) == count and not llava.edits and llava.current is None
        assert torch.equal(llava.logits(prompts), before)

    def test_memory_running_out_in_an_edit_halves_the_batch(self, llava: HFModel) -> None:
        prompts = [Prompt.user(f"number {i}") for i in range(6)]

        def greedy(states: torch.Tensor, site: Site) -> torch.Tensor:
            if len(site.prompt_ids) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return shift(states, site)

        with residual.edit(llava, [1], shift):
            expected = texts(llava, prompts)
        with residual.edit(llava, [1], greedy):
            assert texts(llava, prompts) == expected

    def test_the_bare_module_is_refused(self, llava: HFModel) -> None:
        ids = prepared(llava, Prompt.user("hi")).inputs["input_ids"]
        with pytest.raises(PluginError, match="through the model"), residual.edit(llava, [1], shift):
            llava.module(input_ids=ids)

    def test_gradients_flow_through(self, llava: HFModel, prompts: list[Prompt]) -> None:
        direction = torch.zeros(HIDDEN, requires_grad=True)
        with residual.edit(llava, [1], lambda s, site: s + direction):
            for _, batch in llava.batches(prompts[:1]):
                llava.forward(batch).logits[:, -1].logsumexp(-1).sum().backward()
        assert direction.grad is not None and direction.grad.abs().sum() > 0


class TestAbsolutePositions:
    """With and without the KV cache an edit acts on the same tokens, so the answers agree."""

    @pytest.mark.parametrize("phase", ALL_PHASES)
    @pytest.mark.parametrize("positions", ALL_POSITIONS)
    @pytest.mark.parametrize("name", ["llava", "gemma3", "qwen2_5_vl"])
    def test_cached_equals_uncached(self, name: str, positions: Any, phase: Any) -> None:
        self._check(loaded(name), positions, phase)

    @staticmethod
    def _check(model: HFModel, positions: Any, phase: Any) -> None:
        long, short, seen = prompts_for(model)[1], prompts_for(model)[0], prompts_for(model)[3]
        prompts = [long, short, seen]
        plain = texts(model, prompts)
        with residual.edit(model, [0, 2], shift, positions=positions, phase=phase):
            cached = texts(model, prompts)
            with no_cache(model):
                assert texts(model, prompts) == cached
            assert [texts(model, [p])[0] for p in prompts] == cached
        inside, after = phase != "decode", phase != "prefill"
        touched = {"last": inside, "prompt": inside, "media": inside, "generated": after, "all": True}[positions]
        if not touched:
            assert cached == plain
        elif positions == "media":
            assert cached[:2] == plain[:2]
        else:
            assert cached != plain


class TestFindingLayers:
    def test_it_says_plainly_when_it_cannot(self) -> None:
        from harness.residual_layers import find_layers

        class Odd(torch.nn.Module):
            def __init__(self, lists: int) -> None:
                super().__init__()
                self.embed = torch.nn.Embedding(3, 4)
                for i in range(lists):
                    self.add_module(f"blocks{i}", torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(2)))

            def get_input_embeddings(self) -> torch.nn.Module:
                return self.embed

        assert len(find_layers(Odd(1), 2)) == 2
        for lists in (0, 2):
            with pytest.raises(PluginError, match="The decoder layers of odd .Odd. cannot be found"):
                find_layers(Odd(lists), 2, "odd")
