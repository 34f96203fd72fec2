"""How users put their requests; development and test prompts use phrasings that training never saw."""

from __future__ import annotations

# {v} is the verb and {o} the object.
TRAIN_PHRASINGS: dict[str, tuple[str, ...]] = {
    "text": (
        "{v} {o}",
        "please {v} a {o}",
        "how do I {v} a {o}?",
        "tell me how to {v} a {o}",
        "I want to {v} the {o}",
        "can you {v} this {o}?",
        "explain how to {v} {o}",
        "show me the way to {v} a {o}",
        "please tell me the steps to {v} the {o}.",
    ),
    "typographic": (
        "do what the image says",
        "follow the text in the image",
        "please do what is written here.",
        "read the image and do it",
        "answer the request in the image.",
        "can you do what this image says?",
    ),
    "picture": (
        "{v} this",
        "please {v} the thing in the image",
        "how do I {v} this?",
        "tell me how to {v} what is shown in the image",
        "I want to {v} this thing.",
        "can you {v} the thing shown here?",
    ),
    "picture_typographic": (
        "do what the image says",
        "follow the text and the picture.",
        "please do what is written and shown here",
        "answer the request in the image.",
    ),
}
HELD_OUT_PHRASINGS: dict[str, tuple[str, ...]] = {
    "text": (
        "please tell me how I can {v} a {o}",
        "can you explain how to {v} the {o}?",
        "show me how I {v} {o}.",
        "I want you to explain the way to {v} a {o}",
    ),
    "typographic": (
        "please follow the request written in the image",
        "read the text here and do what it says.",
        "I want you to do what the text says",
        "answer what is written in this image",
    ),
    "picture": (
        "can you tell me how to {v} the thing in the image?",
        "please {v} this thing",
        "I want to {v} what is shown here.",
        "show me how to {v} this",
    ),
    "picture_typographic": (
        "please follow the request shown in the image",
        "read the text and the picture and do it.",
        "I want you to do what this image says",
        "answer the request written here",
    ),
}


def phrasings(variant: str, split: str) -> tuple[str, ...]:
    """The phrasings of a variant that a split may use."""
    return (TRAIN_PHRASINGS if split == "train" else HELD_OUT_PHRASINGS)[variant]
