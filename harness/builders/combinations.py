"""The eleven ways in which AdvBench-Omni carries a request (arXiv 2602.10161)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Combination:
    """`payload`: the parts that carry the request, or its two fragments. `instruction`: the part, if any, that says
    what to do with them and is harmless alone. `modality`: the published name."""

    modality: str
    payload: tuple[str, ...]
    instruction: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.instruction, *self.payload) if self.instruction else self.payload

    @property
    def shows_text(self) -> bool:
        """Whether the model is given a text beside, or instead of, the media."""
        return "text" in self.parts


COMBINATIONS = {
    "t": Combination("text", ("text",)),
    "i": Combination("image", ("image",)),
    "a": Combination("audio", ("audio",)),
    "v": Combination("video", ("video",)),
    "t2i": Combination("text+image", ("image",), "text"),
    "t2a": Combination("text+audio", ("audio",), "text"),
    "t2v": Combination("text+video", ("video",), "text"),
    "t2ia": Combination("text+image+audio", ("image", "audio"), "text"),
    "t2va": Combination("text+audio+video", ("video", "audio"), "text"),
    "a2i": Combination("image+audio", ("image",), "audio"),
    "a2v": Combination("audio+video", ("video",), "audio"),
}
BY_MODALITY = {frozenset(c.modality.split("+")): code for code, c in COMBINATIONS.items()}
MEDIA_PARTS = ("image", "audio", "video")
"""In the order in which a prompt holds them."""


def code_of(modality: str) -> str | None:
    """The short name of a published modality such as "text+image", whatever the order of its parts."""
    return BY_MODALITY.get(frozenset(part.strip() for part in modality.lower().split("+")))
