"""Families that take pictures."""

from __future__ import annotations

from pathlib import Path

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


def mistral3(folder: Path) -> Path:
    """A Pixtral tower: the pictures keep their sizes, and each row of patches ends with a token of its own."""
    t = library()

    tok = tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]", image_token="[IMG]")
    config = t.Mistral3Config(
        vision_config=t.PixtralVisionConfig(**TOWER),
        text_config=t.MistralConfig(vocab_size=len(tok), head_dim=HIDDEN // HEADS, **SIZES),
        image_token_index=tok.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    images = t.PixtralImageProcessorPil(
        size={"longest_edge": 2 * SIDE}, patch_size={"height": PATCH, "width": PATCH}, **MEAN
    )
    settings = {"processor_class": "PixtralProcessor", "patch_size": PATCH, "spatial_merge_size": 2}
    return save(folder, t.Mistral3ForConditionalGeneration, config, tok, images, processor=settings)
