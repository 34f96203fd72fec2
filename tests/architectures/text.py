"""Text-only families."""

from __future__ import annotations

from pathlib import Path

from tests.tiny_parts import (
    HEADS,
    HIDDEN,
    LAYERS,
    SIZES,
    library,
    save,
    tokenizer,
)


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
