"""The architecture: a LLaVA of some two million parameters (Llama language model, CLIP vision tower, projector)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.organism import page
from harness.organism.tokenizer import END, IMAGE, PAD, vocabulary

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

HIDDEN = 128
LAYERS = 8
HEADS = 4
MLP = 256
VISION_LAYERS = 3
MAX_POSITIONS = 1024


def build_model() -> LlavaForConditionalGeneration:
    """An untrained organism. Weights come from the global torch generator: seed it first."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    ids = {token: i for i, token in enumerate(vocabulary())}
    special: dict[str, Any] = {"bos_token_id": None, "eos_token_id": ids[END], "pad_token_id": ids[PAD]}
    text = LlamaConfig(
        vocab_size=len(ids),
        hidden_size=HIDDEN,
        intermediate_size=MLP,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        **special,
    )
    vision = CLIPVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=MLP,
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=HEADS,
        image_size=page.SIDE,
        patch_size=page.CELL,
        projection_dim=HIDDEN,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ids[IMAGE],
        image_seq_length=page.GRID**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
        **special,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids[END]
    model.generation_config.pad_token_id = ids[PAD]
    model.generation_config.max_new_tokens = 24
    return model
