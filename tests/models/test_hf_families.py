"""What single families ask of loading and preparing, beyond what all of them prove."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import residual
from harness.contracts import PluginError
from harness.models.hf import HFModel
from harness.models.hf_batch import grouped
from harness.models.hf_load import load_config, writing_part
from harness.models.hf_prepare import Prepared, placeholder_ids
from harness.types import GenerationConfig, Prompt
from tests import tiny_torchvision
from tests.tiny_architectures import BUILDERS
from tests.tiny_models import clip, folder_of, loaded, noise, prepared, prompts_for, tone
from tests.tiny_parts import LAYERS

SHORT = GenerationConfig(max_new_tokens=4)
OMNI = ("qwen2_5_omni", "qwen3_omni")
with_torchvision = pytest.mark.skipif(not tiny_torchvision.AVAILABLE, reason=tiny_torchvision.SKIPPED)
without_torchvision = pytest.mark.skipif(tiny_torchvision.AVAILABLE, reason="is about machines without torchvision")


def edited(name: str, folder: Path, file: str, **changes: Any) -> Path:
    """A copy of a saved model with other settings."""
    shutil.copytree(folder_of(name), folder)
    settings = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**settings, **changes}))
    return folder


class TestOmni:
    @pytest.mark.parametrize("name", OMNI)
    def test_of_a_model_that_speaks_the_part_that_writes_is_loaded(self, name: str, tmp_path: Path) -> None:
        """The whole would miss the weights of its talker here."""
        speaks = HFModel(str(edited(name, tmp_path / name, "config.json", enable_audio_output=True)))
        assert "Thinker" in type(speaks.module).__name__
        assert not any("talker" in path for path, _ in speaks.module.named_modules())
        prompts = prompts_for(speaks)
        answers, expected = ([r.text for r in m.generate(prompts, SHORT)] for m in (speaks, loaded(name)))
        assert answers == expected and None not in answers

    @pytest.mark.parametrize("name", OMNI)
    def test_the_placeholders_are_those_of_the_part_that_writes(self, name: str) -> None:
        model = loaded(name)
        tokens = model.tokenizer.convert_ids_to_tokens(sorted(model.prepare.placeholders))
        assert sorted(tokens) == ["<|AUDIO|>", "<|IMAGE|>", "<|VIDEO|>"]
        assert placeholder_ids(model.module.config, model.processor) == model.prepare.placeholders

    @pytest.mark.parametrize("name", [n for n in BUILDERS if n not in OMNI])
    def test_all_others_are_loaded_as_they_are(self, name: str) -> None:
        config = load_config(str(folder_of(name)), None, False)
        assert writing_part(config) is config

    @pytest.mark.torchvision
    @with_torchvision
    @pytest.mark.parametrize(("count", "rate"), [(4, 4.0), (40, 16 * 4 / 40)])
    @pytest.mark.parametrize("name", OMNI)
    def test_the_time_between_frames_is_that_of_the_frames_taken(self, name: str, count: int, rate: float) -> None:
        seconds = prepared(loaded(name), Prompt.user("on", clip(count, 1))).inputs["video_second_per_grid"]
        torch.testing.assert_close(seconds, torch.tensor([2 / rate]))


class TestProcessors:
    def test_a_template_that_the_processor_drops_is_found(self) -> None:
        ids = prepared(loaded("phi4_multimodal"), Prompt.user("hi", tone(0.4, 440))).inputs["input_ids"][0]
        assert loaded("phi4_multimodal").tokenizer.decode(ids).endswith("hi<|end|><|assistant|>")

    @pytest.mark.parametrize(
        "template",
        ["{{ messages[0].role + messages[0].content }}", "{% for m in messages %}{{ m.content }}{% endfor %}"],
        ids=["raises", "writes a list"],
    )
    def test_a_template_for_text_alone_is_no_template_for_media(self, template: str, tmp_path: Path) -> None:
        folder = edited("phi4_multimodal", tmp_path / "phi", "tokenizer_config.json")
        (folder / "chat_template.jinja").write_text(template)
        with pytest.raises(PluginError, match="has no chat template"):
            HFModel(str(folder)).processor  # noqa: B018

    @without_torchvision
    def test_without_torchvision_a_model_takes_what_it_can(self) -> None:
        model = loaded("phi4_multimodal")
        assert model.modalities == {"text", "audio"}
        (response,) = model.generate([Prompt.user("see", noise(16, 16, 1))], SHORT)
        assert response.error == "images need the package torchvision with this model: install gapbench[video]"

    @without_torchvision
    def test_without_torchvision_a_processor_that_needs_it_is_said(self) -> None:
        with pytest.raises(PluginError, match=r"needs the package torchvision: install gapbench\[video\]") as caught:
            HFModel(str(folder_of("mistral3"))).processor  # noqa: B018
        assert "\n" not in str(caught.value)

    @without_torchvision
    @pytest.mark.parametrize("nested", [True, False])
    def test_settings_of_absent_parts_are_kept_wherever_they_lie(self, nested: bool, tmp_path: Path) -> None:
        inside = {"video_processor": {"merge_size": 3}} if nested else {}
        folder = edited("qwen2_vl", tmp_path / "qwen", "processor_config.json", **inside)
        part = HFModel(str(folder)).processor.video_processor
        assert part.merge_size == (3 if nested else 2) and part.num_frames is None

    @pytest.mark.torchvision
    @with_torchvision
    @pytest.mark.parametrize("name", ["llava_onevision", "video_llava", "internvl"])
    def test_videos_that_do_not_go_together_fail_alone(self, name: str) -> None:
        prompts = [Prompt.user("both", clip(4, 1), clip(6, 2)), Prompt.user("one", clip(4, 1))]
        errors = [r.error for r in loaded(name).generate(prompts, SHORT)]
        assert "cannot be prepared" in (errors[0] or "") and errors[1] is None


def test_masks_that_hide_something_and_masks_that_do_not_are_not_mixed() -> None:
    """Phi-4-multimodal attends otherwise where it is given no mask, which is where a batch has nothing to hide."""

    def one(name: str, hidden: int) -> Prepared:
        mask = torch.ones(1, 8, 8, dtype=torch.bool)
        mask[:, :, 8 - hidden :] = False
        inputs = {"input_ids": torch.ones(1, 3, dtype=torch.long), "image_attention_mask": mask}
        return Prepared(name, inputs, 3, torch.zeros(3, dtype=torch.bool), False, 0.0)

    rows = [one("a", 0), one("b", 2), one("c", 0), one("d", 3)]
    assert sorted(sorted(group) for group in grouped(rows, 8)) == [[0, 2], [1, 3]]


def test_layers_that_compute_the_last_token_alone_are_read_and_edited_as_if_whole() -> None:
    """Gemma 4: what the upper layers leave out where nothing depends on it, and what an edit does to what they keep."""
    model = loaded("gemma4")
    prompt = Prompt.user("what is heard?", tone(0.4, 440))
    ((_, batch),) = model.batches([prompt])
    widths: list[int] = []
    handle = residual.layers(model)[-1].register_forward_hook(lambda m, a, out: widths.append(out.shape[1]))
    try:
        model.prefill(batch)
        model.prefill(batch, whole=True)
    finally:
        handle.remove()
    assert widths == [1, batch.width], "else this test says nothing"

    with torch.no_grad():
        hidden = model.forward(batch, output_hidden_states=True).hidden_states
    mean, media = (residual.read(model, [prompt], positions=p)[0] for p in ("mean_prompt", "mean_media"))
    for layer in range(LAYERS - 1):
        torch.testing.assert_close(mean[layer], hidden[layer + 1][0].mean(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(media[layer], hidden[layer + 1][0][batch.media[0]].mean(0), atol=1e-4, rtol=1e-4)

    plain = residual.read(model, [prompt])
    with residual.edit(model, [LAYERS - 1], lambda states, site: states + 1, positions="last"):
        torch.testing.assert_close(residual.read(model, [prompt])[:, -1], plain[:, -1] + 1)
    with residual.edit(model, [LAYERS - 1], lambda states, site: states + 1, positions="media"):
        assert torch.equal(residual.read(model, [prompt]), plain)


@pytest.mark.torchvision
@with_torchvision
def test_the_page_of_architectures_is_current() -> None:
    from docs import architectures

    assert set(architectures.NAMES) == set(BUILDERS)
    assert architectures.PAGE.read_text(encoding="utf-8") == architectures.page()
