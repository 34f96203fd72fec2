"""The Qwen-VL families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_parts import (
    HEADS,
    HIDDEN,
    LAYERS,
    MEAN,
    PATCH,
    SIZES,
    library,
    save,
    tokenizer,
)


def qwen2_vl(folder: Path) -> Path:
    t = library()

    tok, common = _qwen_tokens()
    text = t.Qwen2VLTextConfig(vocab_size=len(tok), rope_parameters=mrope(), **SIZES)
    vision = {
        "depth": LAYERS,
        "embed_dim": HIDDEN,
        "hidden_size": HIDDEN,
        "mlp_ratio": 2,
        "num_heads": HEADS,
        "patch_size": PATCH,
        "initializer_range": 0.25,
    }
    config = t.Qwen2VLConfig(text_config=text.to_dict(), vision_config=vision, **common)
    return save(
        folder,
        t.Qwen2VLForConditionalGeneration,
        config,
        tok,
        t.Qwen2VLImageProcessorPil(**qwen_sizes()),
        processor={"processor_class": "Qwen2VLProcessor"},
        video=qwen_sizes("Qwen2VL"),
    )


def qwen2_5_vl(folder: Path) -> Path:
    t = library()

    tok, common = _qwen_tokens()
    text = t.Qwen2_5_VLTextConfig(vocab_size=len(tok), rope_parameters=mrope(), **SIZES)
    vision = {
        "depth": LAYERS,
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_heads": HEADS,
        "out_hidden_size": HIDDEN,
        "patch_size": PATCH,
        "window_size": 16,
        "fullatt_block_indexes": [1, 3],
        "initializer_range": 0.25,
    }
    config = t.Qwen2_5_VLConfig(text_config=text.to_dict(), vision_config=vision, **common)
    return save(
        folder,
        t.Qwen2_5_VLForConditionalGeneration,
        config,
        tok,
        t.Qwen2VLImageProcessorPil(**qwen_sizes()),
        processor={"processor_class": "Qwen2_5_VLProcessor"},
        video=qwen_sizes("Qwen2VL"),
    )


def qwen3_vl(folder: Path) -> Path:
    t = library()

    tok, common = _qwen_tokens()
    text = t.Qwen3VLTextConfig(vocab_size=len(tok), rope_parameters=mrope(), head_dim=HIDDEN // HEADS, **SIZES)
    vision = {
        "depth": LAYERS,
        "hidden_size": HIDDEN,
        "intermediate_size": 48,
        "num_heads": HEADS,
        "out_hidden_size": HIDDEN,
        "patch_size": PATCH,
        "deepstack_visual_indexes": [0, 2],
        "num_position_embeddings": 64,
        "initializer_range": 0.25,
    }
    config = t.Qwen3VLConfig(text_config=text.to_dict(), vision_config=vision, **common)
    return save(
        folder,
        t.Qwen3VLForConditionalGeneration,
        config,
        tok,
        t.Qwen2VLImageProcessorPil(**qwen_sizes()),
        processor={"processor_class": "Qwen3VLProcessor"},
        video=qwen_sizes("Qwen3VL"),
    )


def mrope() -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}


def _qwen_tokens() -> tuple[Any, dict[str, int]]:
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_start_token": "<|vision_start|>"}
    tok = tokenizer(
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|vision_end|>",
        video="<|vision_start|><|video_pad|><|vision_end|>",
        vision_end_token="<|vision_end|>",
        **named,
    )
    return tok, {
        f"{k}_id": tok.convert_tokens_to_ids(v) for k, v in {**named, "vision_end_token": "<|vision_end|>"}.items()
    }


def qwen_sizes(kind: str = "", patch: int = PATCH) -> dict[str, Any]:
    """Settings of an image processor, or of the video processor of a `kind` (`Qwen2VL`): pictures of 4 to 16 tokens."""
    sides = {"shortest_edge": (4 * patch) ** 2, "longest_edge": (8 * patch) ** 2}
    common = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2, **MEAN}
    if not kind:
        return {"size": sides, **common}
    # Qwen3-VL counts the pixels of all frames.
    longest = sides["longest_edge"] * (16 if kind == "Qwen3VL" else 1)
    return {
        "video_processor_type": f"{kind}VideoProcessor",
        "size": {**sides, "longest_edge": longest},
        "cap_pixels_per_frame": False,
        **common,
    }
