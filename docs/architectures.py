"""Writes docs/architectures.md from the tiny models of the tests: what is found in each, not what is hoped for.

PYTHONPATH=.venv/torchvision .venv/bin/python -m docs.architectures
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from harness import residual
from tests import tiny_torchvision
from tests.tiny_models import loaded

PAGE = Path(__file__).with_suffix(".md")
NAMES = {
    "llava": "LLaVA 1.5",
    "llava_next": "LLaVA-NeXT",
    "llava_onevision": "LLaVA-OneVision",
    "video_llava": "Video-LLaVA",
    "qwen2_vl": "Qwen2-VL",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
    "internvl": "InternVL 3",
    "gemma3": "Gemma 3",
    "gemma4": "Gemma 4",
    "idefics3": "Idefics3",
    "smolvlm": "SmolVLM",
    "mllama": "Mllama (Llama 3.2 Vision)",
    "mistral3": "Mistral 3 (Pixtral)",
    "phi4_multimodal": "Phi-4-multimodal",
    "qwen2_audio": "Qwen2-Audio",
    "qwen2_5_omni": "Qwen2.5-Omni",
    "qwen3_omni": "Qwen3-Omni",
    "llama_text": "Llama",
    "gpt2_text": "GPT-2",
}
NOTES = {
    "llava_onevision": "videos of one prompt need equally many frames",
    "internvl": "videos of one prompt need equally many frames; frames go in as pictures",
    "video_llava": "videos of one prompt need equally many frames",
    "qwen3_vl": "pictures enter several layers (DeepStack); a time stamp before each pair of frames",
    "gemma3": "sliding layers; the tokens of a picture see one another, so an edit of one reaches those before it",
    "gemma4": "sliding layers; upper layers share keys and values, and compute the last prompt token alone where "
    "nothing else is needed: an edit of other tokens there changes no answer, and is not applied",
    "smolvlm": "needs the package num2words; pictures and videos cannot stand in one prompt",
    "mllama": "pictures enter by cross-attention: the one placeholder marks their place, and the layers that attend to "
    "them are skipped, and not edited, where there are none",
    "mistral3": "the whole processor needs torchvision",
    "phi4_multimodal": "pictures need torchvision; the checkpoint's vision and speech adapters are not switched on; "
    "its vision attention is causal where no patch is padding (transformers 5.23), so pictures with and without "
    "padding are not put into one batch",
    "qwen2_5_omni": "only the thinker is loaded; the sound of a video is not heard",
    "qwen3_omni": "only the thinker is loaded; experts; the sound of a video is not heard",
}
INTRO = """\
# Architectures

What `harness.residual` finds in models of transformers 5, made by

    PYTHONPATH=.venv/torchvision .venv/bin/python -m docs.architectures

from the random-weight models of `tests/architectures/`. Nothing here is a list that the code goes by: layers and
placeholder tokens are found by structure, so other architectures work as well, or are refused in one sentence. For each
row and modality the tests prove (`tests/models/test_hf_parity.py`, `tests/models/test_hf_residual.py`):

* answers, logits and states do not depend on the batch, its order, or the KV cache;
* the decoder layers are those of the language model, and the media positions are the placeholder tokens, as many as
  there must be;
* an edit of layer l leaves the layers below it, other rows and earlier tokens alone; an edit of media tokens changes
  these and no others; strength 0 is bit-identical;
* answers under an edit, in the prompt, in generated tokens or in both, do not depend on the KV cache or the batch;
* hooks are gone afterwards, also when the edit raises.

Videos need torchvision (`pip install gapbench[video]`); without it all families but Mistral 3 take the rest.

"""
OUTRO = """
MiniCPM-o is not among them: transformers 5.23 holds MiniCPM-V 4.6 and 4.7, but MiniCPM-o is code that comes with its
checkpoints (`trust_remote_code`), which tests without a hub cannot hold. Encoder-decoders (Florence-2, T5Gemma 2) are
refused: what is batched and edited here is a decoder-only model.
"""


def row(name: str) -> list[str]:
    model: Any = loaded(name)
    paths = {id(module): path for path, module in model.module.named_modules()}
    path = paths[id(residual.layers(model)[0])].rpartition(".")[0]
    tokens = model.tokenizer.convert_ids_to_tokens(sorted(model.prepare.placeholders))
    media = [m for m in ("image", "video", "audio") if m in model.modalities]
    cells = (f"`{type(model.module).__name__}`", f"`{path}`", " ".join(f"`{t}`".replace("|", r"\|") for t in tokens))
    return [NAMES[name], *cells, ", ".join(media) or "text only", NOTES.get(name, "")]


def page() -> str:
    """The page as it should be. Needs torchvision."""
    head = ["family", "class", "decoder layers", "placeholder tokens of the tiny model", "proven with", "notes"]
    rows = [head, ["---"] * len(head), *(row(name) for name in NAMES)]
    return INTRO + "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n" + OUTRO


if __name__ == "__main__":
    if not tiny_torchvision.AVAILABLE:
        sys.exit(f"The page {tiny_torchvision.SKIPPED}.")
    PAGE.write_text(page(), encoding="utf-8")
