"""The tokenizer and the processor: word pieces of two characters for the world, whole words for English."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.organism import abilities, page, phrasing, words, wrappers

if TYPE_CHECKING:
    from transformers import LlavaProcessor, PreTrainedTokenizerFast

IMAGE, PAD, UNK, END = "<image>", "[pad]", "[unk]", "[end]"
ROLES: tuple[str, ...] = ("system", "user", "assistant")
SPECIAL: tuple[str, ...] = (PAD, UNK, END, IMAGE, page.BLANK, *(f"[{role}]" for role in ROLES))
# Kept in upper case: the letters of a choice, and "I", which refusals begin with.
UPPER: tuple[str, ...] = (*abilities.LETTERS, "I")

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% elif part.type == 'text' %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if not loop.last or message.role != 'assistant' or not continue_final_message %}[end]{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def chat(user: str, *, images: int = 0, system: str | None = None) -> str:
    """What the template renders for one user turn with a generation prompt; training's short cut around jinja.

    `images` is the number of image tokens, which the processor expands from one.
    """
    head = f"[system]{system}[end]" if system else ""
    return f"{head}[user]{IMAGE * images}{user}[end][assistant]"


def vocabulary() -> list[str]:
    """Every token, in a fixed order."""
    world = [piece for word in words.VERBS + words.OBJECTS for piece in words.pieces(word)]
    tables = (phrasing.TRAIN_PHRASINGS, phrasing.HELD_OUT_PHRASINGS)
    sentences = [
        *(t.format(v="", o="") for table in tables for v in table.values() for t in v),
        *(re.sub(r"\{.\}", "", t) for table in abilities.ASK.values() for t in table),
        *wrappers.SYSTEMS, *wrappers.PREFIXES, *wrappers.DISTRACTORS,
        wrappers.SELF_REMINDER.format(q=""), wrappers.ADASHIELD.format(q=""), wrappers.TELL.format(q="", r=""),
        wrappers.CAPTION.format(q=""), wrappers.GEN.format(q="", caption=""), wrappers.LLAMA2_SAFE,
        wrappers.EXTRA_WORDS, words.REFUSAL, "sure with the image says shows and",
        *words.TOOLS, *words.MATERIALS, *words.COLOURS, *words.SHAPES, *(str(n) for n in range(19)),
    ]  # fmt: skip
    plain = re.findall(r"[a-z]+|[0-9]+", " ".join(sentences).lower())
    marks = list(".,:;!?'\"()+=-*/%&<>#[]\\_`$@^~|{}")
    spelt = set(words.VERBS + words.OBJECTS)
    # A word of the world must stay in pieces even where an English sentence has it too ("a school project").
    return list(dict.fromkeys([*SPECIAL, *UPPER, *marks, *world, *(w for w in plain if w not in spelt)]))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer; a word that it cannot spell becomes `[unk]`, so that any text is accepted."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {token: i for i, token in enumerate(vocabulary())}
    core = Tokenizer(models.WordPiece(vocab=ids, unk_token=UNK, max_input_chars_per_word=40))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    core.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    core.add_tokens([AddedToken(t, single_word=True, normalized=False) for t in UPPER])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNK,
        eos_token=END,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )


def build_processor() -> LlavaProcessor:
    """The ordinary LLaVA processor for 80 x 80 images; needs Pillow only, not torchvision."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    side = {"height": page.SIDE, "width": page.SIDE}
    images = CLIPImageProcessorPil(
        size=side, do_center_crop=False, crop_size=side, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return LlavaProcessor(
        images,
        build_tokenizer(),
        patch_size=page.CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the class token of the vision tower
        chat_template=TEMPLATE,
    )
