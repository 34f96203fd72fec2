"""Families that take sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.architectures.qwen import mrope, qwen_sizes
from tests.tiny_parts import HEADS, HIDDEN, LAYERS, PATCH, SIZES, TOWER, library, save, tokenizer


def qwen2_audio(folder: Path) -> Path:
    """Text and sound."""
    t = library()

    tok = tokenizer(
        "", "<|audio_bos|>", "<|audio_eos|>", audio="<|audio_bos|><|AUDIO|><|audio_eos|>", audio_token="<|AUDIO|>"
    )
    encoder = t.Qwen2AudioEncoderConfig(
        num_mel_bins=8,
        encoder_layers=1,
        encoder_attention_heads=1,
        encoder_ffn_dim=16,
        d_model=16,
        initializer_range=0.25,
    )
    config = t.Qwen2AudioConfig(
        audio_config=encoder,
        text_config=t.Qwen2Config(vocab_size=len(tok), **SIZES),
        audio_token_index=tok.convert_tokens_to_ids("<|AUDIO|>"),
    )
    sound = t.WhisperFeatureExtractor(feature_size=8)
    settings = {"processor_class": "Qwen2AudioProcessor"}
    return save(folder, t.Qwen2AudioForConditionalGeneration, config, tok, sound, processor=settings)


def qwen2_5_omni(folder: Path) -> Path:
    """Saved as the whole model that also speaks, of which only the part that writes is to be loaded."""
    t = library()

    tok, ids = _omni_tokens()
    text = t.Qwen2_5OmniTextConfig(vocab_size=len(tok), rope_parameters=mrope(), **SIZES)
    thinker = {
        "text_config": text.to_dict(),
        "vision_config": {
            "depth": LAYERS,
            "hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_heads": HEADS,
            "out_hidden_size": HIDDEN,
            "patch_size": WIDE,
            "window_size": 4 * WIDE,
            "fullatt_block_indexes": [1, 3],
            "initializer_range": 0.25,
        },
        "audio_config": {**ENCODER, "n_window": 10, "output_dim": HIDDEN},
        **{name.replace("_token_id", "_token_index"): i for name, i in ids.items() if name in PLACEHOLDERS},
        **{name: i for name, i in ids.items() if name not in PLACEHOLDERS},
    }
    config = t.Qwen2_5OmniConfig(thinker_config=thinker, enable_audio_output=False)
    return _omni(folder, t.Qwen2_5OmniForConditionalGeneration, config, tok, "Qwen2_5OmniProcessor")


def qwen3_omni(folder: Path) -> Path:
    """Experts in the decoder, pictures fed into several of its layers; saved with the part that speaks left out."""
    t = library()

    tok, ids = _omni_tokens()
    text = t.Qwen3OmniMoeTextConfig(
        vocab_size=len(tok),
        rope_parameters=mrope(),
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        head_dim=HIDDEN // HEADS,
        **SIZES,
    )
    thinker = {
        "text_config": text.to_dict(),
        "vision_config": {
            "depth": LAYERS,
            "hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_heads": HEADS,
            "out_hidden_size": HIDDEN,
            "patch_size": WIDE,
            "deepstack_visual_indexes": [0, 2],
            "num_position_embeddings": 64,
            "initializer_range": 0.25,
        },
        "audio_config": {**ENCODER, "output_dim": HIDDEN, "downsample_hidden_size": 8},
        "initializer_range": 0.25,
        **ids,
    }
    config = t.Qwen3OmniMoeConfig(thinker_config=thinker, enable_audio_output=False)
    return _omni(folder, t.Qwen3OmniMoeForConditionalGeneration, config, tok, "Qwen3OmniMoeProcessor")


ENCODER: dict[str, Any] = {
    "num_mel_bins": 8,
    "encoder_layers": LAYERS,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "d_model": 16,
    "initializer_range": 0.25,
}
WIDE = 56
"""Pixels: the processors of Qwen-Omni make frames large whatever their settings say, so the patches are large too."""

PLACEHOLDERS = ("image_token_id", "video_token_id", "audio_token_id")


def _omni_tokens() -> tuple[Any, dict[str, int]]:
    named = {
        "image_token": "<|IMAGE|>",
        "video_token": "<|VIDEO|>",
        "audio_token": "<|AUDIO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    }
    tok = tokenizer(
        "<|vision_bos|><|IMAGE|><|vision_eos|>",
        video="<|vision_bos|><|VIDEO|><|vision_eos|>",
        audio="<|audio_bos|><|AUDIO|><|audio_eos|>",
        **named,
    )
    ids = {f"{name}_id": tok.convert_tokens_to_ids(token) for name, token in named.items()}
    return tok, {name.replace("bos", "start").replace("eos", "end"): i for name, i in ids.items()}


def _omni(folder: Path, model: Any, config: Any, tok: Any, processor: str) -> Path:
    t = library()
    return save(
        folder,
        model,
        config,
        tok,
        t.Qwen2VLImageProcessorPil(**qwen_sizes(patch=WIDE)),
        t.WhisperFeatureExtractor(feature_size=8),
        processor={"processor_class": processor},
        video=qwen_sizes("Qwen2VL", WIDE),
    )


def phi4_multimodal(folder: Path) -> Path:
    """Pictures are always 448 pixels wide, in patches of 14: the one tiny model with some hundred tokens a picture."""
    t = library()

    tok = tokenizer("<|image|>", audio="<|audio|>", image_token="<|image|>", audio_token="<|audio|>")
    config = t.Phi4MultimodalConfig(
        vocab_size=len(tok),
        vision_config={**TOWER, "patch_size": 14, "image_size": 448, "image_token_id": tok.image_token_id},
        audio_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_blocks": LAYERS,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 16,
            "depthwise_separable_out_channel": 16,
            "input_size": 16,
            "nemo_conv_channels": 8,
            "initializer_range": 0.25,
            "audio_token_id": tok.audio_token_id,
        },
        original_max_position_embeddings=2048,
        **SIZES,
    )
    images = {"image_processor_type": "Phi4MultimodalImageProcessor", "dynamic_hd": 4}
    sound = t.Phi4MultimodalFeatureExtractor(feature_size=16)
    settings = {"processor_class": "Phi4MultimodalProcessor"}
    return save(folder, t.Phi4MultimodalForCausalLM, config, tok, images, sound, processor=settings)


def gemma4(folder: Path) -> Path:
    """Pictures, videos and sound; sliding layers, an embedding for each layer, layers that share keys and values."""
    t = library()

    named = {
        "image_token": "<|image|>",
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "audio_token": "<|audio|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
    }
    tok = tokenizer("<|image|>", "<|video|>", video="<|video|>", audio="<|audio|>", **named)
    text = t.Gemma4TextConfig(
        vocab_size=len(tok),
        vocab_size_per_layer_input=len(tok),
        hidden_size_per_layer_input=8,
        head_dim=HIDDEN // HEADS,
        global_head_dim=HIDDEN // HEADS,
        num_kv_shared_layers=2,
        # A window shorter than the prompts, so that the sliding cache and its positions are met.
        sliding_window=24,
        layer_types=["sliding_attention", "full_attention"] * (LAYERS // 2),
        **SIZES,
    )
    vision = t.Gemma4VisionConfig(
        num_key_value_heads=HEADS, head_dim=HIDDEN // HEADS, pooling_kernel_size=3, position_embedding_size=128,
        **{k: v for k, v in TOWER.items() if k != "image_size"},
    )  # fmt: skip
    sound = t.Gemma4AudioConfig(
        hidden_size=16,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        subsampling_conv_channels=[16, 4],
        output_proj_dims=16,
        initializer_range=0.25,
    )
    ids = {f"{name}_id": tok.convert_tokens_to_ids(token) for name, token in named.items()}
    config = t.Gemma4Config(
        text_config=text,
        vision_config=vision,
        audio_config=sound,
        video_token_id=tok.convert_tokens_to_ids("<|video|>"),
        eoa_token_index=ids.pop("eoa_token_id"),
        tie_word_embeddings=False,
        **ids,
    )
    patches = {"patch_size": PATCH, "max_soft_tokens": 70, "pooling_kernel_size": 3}
    return save(
        folder,
        t.Gemma4ForConditionalGeneration,
        config,
        tok,
        t.Gemma4ImageProcessorPil(**patches),
        t.Gemma4AudioFeatureExtractor(feature_size=16),
        processor={"processor_class": "Gemma4Processor"},
        video={"video_processor_type": "Gemma4VideoProcessor", **patches},
    )
