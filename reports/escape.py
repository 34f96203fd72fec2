"""Text that a model wrote, made fit for a page: nothing runs, nothing hides, nothing reorders its surroundings."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

_KEPT = frozenset("\n\t\u200c\u200d")  # joiners are part of ordinary Persian, Hindi and emoji
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def visible(text: object) -> str:
    """`text` with control, bidirectional and zero-width characters, and lone surrogates, written out as `<U+202E>`.

    The result is still plain text: it has to be escaped for HTML by whoever prints it.
    """
    plain = str(text).replace("\r\n", "\n")
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(_shown(char) for char in plain)


def _shown(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in _HIDDEN:
        return char
    return f"<U+{ord(char):04X}>"


def clipped(text: object, limit: int) -> str:
    """`visible` text of at most `limit` characters; what is left out is counted at its end."""
    plain = str(text)
    if len(plain) <= limit:
        return visible(plain)
    return f"{visible(plain[:limit])} … [{len(plain) - limit} more characters in the run directory]"


def script_json(value: Any) -> str:
    """JSON for a `<script type="application/json">` block: it cannot close the block, and holds no NaN."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return "".join(_IN_SCRIPT.get(char, char) for char in text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
