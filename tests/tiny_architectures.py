"""Random-weight models of real architectures, a few hundred kB each, saved as folders that load in the ordinary way.

No hub and no torchvision: tokenizers, image processors and settings files are made here; where a checkpoint comes with
a video processor, its settings file is written too, as in the real repositories.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tiny_parts import (
    HEADS,
    HIDDEN,
    LAYERS,
    MEAN,
    PATCH,
    SIDE,
    SIZES,
    SQUARE,
    TOWER,
    library,
    save,
    template,
    tokenizer,
)


def llava(folder: Path) -> Path:
    t = library()

    tok = tokenizer("<image>", image_token="<image>")
    text = t.LlamaConfig(vocab_size=len(tok), **SIZES)
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(projection_dim=HIDDEN, **TOWER),
        text_config=text,
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    images = t.CLIPImageProcessorPil(size=SQUARE, crop_size=SQUARE, do_center_crop=False, **MEAN)
    settings = {
        "processor_class": "LlavaProcessor",
        "patch_size": PATCH,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    return save(folder, t.LlavaForConditionalGeneration, config, tok, images, processor=settings)


def qwen2_5_vl(folder: Path) -> Path:
    t = library()

    tok, common = _qwen_tokens()
    text = t.Qwen2_5_VLTextConfig(vocab_size=len(tok), rope_parameters=_mrope(), **SIZES)
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
        _qwen_images(),
        processor={"processor_class": "Qwen2_5_VLProcessor"},
        video="Qwen2VLVideoProcessor",
    )


def qwen3_vl(folder: Path) -> Path:
    t = library()

    tok, common = _qwen_tokens()
    text = t.Qwen3VLTextConfig(vocab_size=len(tok), rope_parameters=_mrope(), head_dim=HIDDEN // HEADS, **SIZES)
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
        _qwen_images(),
        processor={"processor_class": "Qwen3VLProcessor"},
        video="Qwen3VLVideoProcessor",
    )


def _mrope() -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}


def _qwen_tokens() -> tuple[Any, dict[str, int]]:
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_start_token": "<|vision_start|>"}
    tok = tokenizer(
        "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_end|>", vision_end_token="<|vision_end|>", **named
    )
    return tok, {
        f"{k}_id": tok.convert_tokens_to_ids(v) for k, v in {**named, "vision_end_token": "<|vision_end|>"}.items()
    }


def _qwen_images() -> Any:
    return library().Qwen2VLImageProcessorPil(
        patch_size=PATCH, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 32 * 32}, **MEAN
    )


def gemma3(folder: Path) -> Path:
    t = library()

    tok = tokenizer("<boi>", image_token="<soft>", boi_token="<boi>", eoi_token="<eoi>")
    ids = {name: tok.convert_tokens_to_ids(name) for name in ("<soft>", "<boi>", "<eoi>")}
    text = t.Gemma3TextConfig(
        # A window shorter than the prompts, so that the sliding cache and its positions are met.
        vocab_size=len(tok),
        head_dim=HIDDEN // HEADS,
        query_pre_attn_scalar=16,
        sliding_window=24,
        layer_types=["sliding_attention", "full_attention"] * (LAYERS // 2),
        **SIZES,
    )
    config = t.Gemma3Config(
        text_config=text,
        vision_config=t.SiglipVisionConfig(vision_use_head=False, **TOWER),
        mm_tokens_per_image=4,
        image_token_id=ids["<soft>"],
        image_token_index=ids["<soft>"],
        boi_token_index=ids["<boi>"],
        eoi_token_index=ids["<eoi>"],
        initializer_range=0.25,
    )
    images = t.Gemma3ImageProcessorPil(size=SQUARE, image_seq_length=4, do_pan_and_scan=False, **MEAN)
    settings = {"processor_class": "Gemma3Processor", "image_seq_length": 4}
    return save(folder, t.Gemma3ForConditionalGeneration, config, tok, images, processor=settings)


def idefics3(folder: Path) -> Path:
    t = library()

    tags = [f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4)]
    special = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *tags)
    tok = tokenizer("<image>", *special, image_token="<image>")
    text = t.LlamaConfig(vocab_size=len(tok), **SIZES)
    config = t.Idefics3Config(
        text_config=text,
        vision_config=t.Idefics3VisionConfig(**TOWER).to_dict(),
        scale_factor=2,
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        pad_token_id=tok.pad_token_id,
    )
    images = t.Idefics3ImageProcessorPil(
        size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=True, **MEAN
    )
    settings = {"processor_class": "Idefics3Processor", "image_seq_len": 4}
    return save(folder, t.Idefics3ForConditionalGeneration, config, tok, images, processor=settings)


def internvl(folder: Path) -> Path:
    t = library()

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tok = tokenizer("<IMG_CONTEXT>", **named)
    vision = {**TOWER, "image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]}
    config = t.InternVLConfig(
        vision_config=t.InternVLVisionConfig(**vision),
        text_config=t.Qwen2Config(vocab_size=len(tok), **SIZES),
        image_token_id=tok.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    images = t.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4, **MEAN)
    settings = {"processor_class": "InternVLProcessor", "image_seq_length": 4}
    return save(
        folder,
        t.InternVLForConditionalGeneration,
        config,
        tok,
        images,
        processor=settings,
        video="InternVLVideoProcessor",
    )


def llava_next(folder: Path) -> Path:
    t = library()

    tok = tokenizer("<image>", image_token="<image>")
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    config = t.LlavaNextConfig(
        vision_config=t.CLIPVisionConfig(projection_dim=HIDDEN, **TOWER),
        text_config=t.LlamaConfig(vocab_size=len(tok), **SIZES),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
        image_grid_pinpoints=grid,
    )
    images = t.LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=grid, **MEAN
    )
    settings = {
        "processor_class": "LlavaNextProcessor",
        "patch_size": PATCH,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    return save(folder, t.LlavaNextForConditionalGeneration, config, tok, images, processor=settings)


def llava_onevision(folder: Path) -> Path:
    t = library()

    tok = tokenizer("<image>", image_token="<image>", video_token="<video>")
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(vision_use_head=False, **TOWER),
        text_config=t.Qwen2Config(vocab_size=len(tok), **SIZES),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        video_token_id=tok.convert_tokens_to_ids("<video>"),
        video_token_index=tok.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        image_grid_pinpoints=grid,
    )
    images = t.LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=grid, **MEAN)
    settings = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": 16,
        "vision_feature_select_strategy": "full",
    }
    return save(
        folder,
        t.LlavaOnevisionForConditionalGeneration,
        config,
        tok,
        images,
        processor=settings,
        video="LlavaOnevisionVideoProcessor",
    )


def mllama(folder: Path) -> Path:
    """Cross-attention layers instead of image tokens; they are skipped where there is no picture."""
    t = library()

    tok = tokenizer("<|image|>", "<|python_tag|>", "<|bos|>", image_token="<|image|>")
    tok.bos_token = "<|bos|>"
    text = t.MllamaTextConfig(
        vocab_size=len(tok),
        cross_attention_layers=[1, 3],
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        **SIZES,
    )
    tiles = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
    vision = t.MllamaVisionConfig(
        num_global_layers=1,
        attention_heads=HEADS,
        max_num_tiles=4,
        intermediate_layers_indices=[0, 1],
        vision_output_dim=HIDDEN * 3,
        supported_aspect_ratios=tiles,
        **TOWER,
    )
    config = t.MllamaConfig(
        vision_config=vision, text_config=text, image_token_index=tok.convert_tokens_to_ids("<|image|>")
    )
    images = t.MllamaImageProcessorPil(size=SQUARE, max_image_tiles=4, **MEAN)
    settings = {"processor_class": "MllamaProcessor"}
    return save(folder, t.MllamaForConditionalGeneration, config, tok, images, processor=settings)


def qwen2_audio(folder: Path) -> Path:
    """Text and sound."""
    t = library()

    tok = tokenizer("", "<|audio_bos|>", "<|audio_eos|>", audio_token="<|AUDIO|>")
    tok.chat_template = template("<|audio_bos|><|AUDIO|><|audio_eos|>").replace("'image'", "'audio'")
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


def llama_text(folder: Path) -> Path:
    """Text only."""
    t = library()

    tok = tokenizer("")
    return save(folder, t.LlamaForCausalLM, t.LlamaConfig(vocab_size=len(tok), **SIZES), tok)


def gpt2_text(folder: Path) -> Path:
    """Text only, with learned absolute positions, which padding on the left would shift."""
    t = library()

    tok = tokenizer("")
    config = t.GPT2Config(
        vocab_size=len(tok),
        n_embd=HIDDEN,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=512,
        initializer_range=0.25,
        tie_word_embeddings=False,
    )
    return save(folder, t.GPT2LMHeadModel, config, tok)


VISION: dict[str, Callable[[Path], Path]] = {
    f.__name__: f
    for f in (llava, qwen2_5_vl, qwen3_vl, gemma3, idefics3, internvl, llava_next, llava_onevision, mllama)
}
BUILDERS = {**VISION, **{f.__name__: f for f in (qwen2_audio, llama_text, gpt2_text)}}
