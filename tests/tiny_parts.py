"""What tiny models of all architectures share: sizes, a tokenizer, a chat template, and how they are saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HIDDEN, LAYERS, HEADS, SIDE, PATCH = 32, 4, 2, 16, 4
END, PAD = "<|end|>", "<|pad|>"
SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "max_position_embeddings": 2048,
    "initializer_range": 0.25,
    "tie_word_embeddings": False,
}
TOWER: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    # As many layers as the language model, so that only structure tells the two apart.
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "image_size": SIDE,
    "patch_size": PATCH,
    "initializer_range": 0.25,
}
MEAN = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
SQUARE = {"height": SIDE, "width": SIDE}


def library() -> Any:
    """transformers, untyped: its processors take settings that their signatures leave out."""
    import transformers

    return transformers


def template(image: str, video: str = "", audio: str = "") -> str:
    """A chat template that puts `image`, `video` or `audio` where a picture, a video or a sound stands."""
    parts = {"image": image, "video": video, "audio": audio, "text": "{{ p.text }}"}
    cases = "".join(f"{{% if p.type == {name!r} %}}{text}{{% endif %}}" for name, text in parts.items())
    return (
        "{% for m in messages %}<|{{ m.role }}|>"
        "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
        + cases
        + "{% endfor %}{% endif %}"
        + END
        + "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )


def tokenizer(image: str, *special: str, video: str = "", audio: str = "", **named: str) -> Any:
    """One token a character: every difference shows in the text. `named` ones become attributes (`image_token`)."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    alphabet = ["\n", *map(chr, range(32, 127)), *map(chr, range(0x3B1, 0x3CA))]
    extra = dict.fromkeys([PAD, END, "<|user|>", "<|assistant|>", "<|system|>", *special, *named.values()])
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate([*extra, *alphabet])}, merges=[]))
    core.decoder = decoders.Fuse()
    core.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in extra])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        chat_template=template(image, video, audio),
        extra_special_tokens=named,
    )


def save(
    folder: Path,
    model_class: Any,
    config: Any,
    *parts: Any,
    processor: dict[str, Any] | None = None,
    video: dict[str, Any] | None = None,
) -> Path:
    """A model of random weights, its tokenizer (first of `parts`), its processors (or their settings, for those that
    cannot be made without torchvision)."""
    import torch

    torch.manual_seed(0)
    ids = parts[0]
    config.eos_token_id = config.get_text_config().eos_token_id = ids.eos_token_id
    config.pad_token_id = config.get_text_config().pad_token_id = ids.pad_token_id
    config.get_text_config().bos_token_id = ids.eos_token_id
    model = model_class(config)
    # Defaults that a fair comparison must not inherit.
    model.generation_config.update(
        repetition_penalty=1.7, do_sample=True, temperature=2.0, eos_token_id=ids.eos_token_id
    )
    for part in (model, ids):
        part.save_pretrained(folder)
    settings = {
        # In one file, as in the real repositories.
        "preprocessor_config.json": {k: v for part in parts[1:] for k, v in _settings(part).items()},
        "processor_config.json": processor,
        "video_preprocessor_config.json": video,
    }
    for name, content in settings.items():
        if content:
            (folder / name).write_text(json.dumps(content))
    return folder


def _settings(part: Any) -> dict[str, Any]:
    return dict(part if isinstance(part, dict) else json.loads(part.to_json_string()))
