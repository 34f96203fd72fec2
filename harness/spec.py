"""How a plugin is named on the command line and in YAML: `name`, `name(param=value)`, `hf:repo@revision`, `a+b`."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.contracts import PluginError


@dataclass(frozen=True)
class Spec:
    """`argument` is what stands after a colon: the repository of `hf:...`, the model of `endpoint:...`."""

    name: str
    argument: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.argument}" if self.argument else self.name

    @property
    def label(self) -> str:
        inside = ",".join(f"{k}={_written(v)}" for k, v in self.params.items())
        return f"{self.reference}({inside})" if inside else self.reference


def parse(value: str | Spec | Mapping[str, Any]) -> Spec:
    """Raises `PluginError` with the text that could not be read."""
    if isinstance(value, Spec):
        return value
    if isinstance(value, Mapping):
        unknown = set(value) - {"name", "params"}
        if "name" not in value or unknown:
            raise PluginError(f"{dict(value)!r} must have `name` and may have `params`, nothing else")
        head = parse(str(value["name"]))
        return Spec(head.name, head.argument, {**head.params, **(value.get("params") or {})})
    text = value.strip()
    start, bracket, inside = text.partition("(") if text.endswith(")") else (text, "", "")
    params = _keywords(text, inside[:-1]) if bracket else {}
    name, _, argument = start.partition(":")
    if not name.replace("_", "").replace("-", "").isalnum():
        raise PluginError(f"{value!r} is not a plugin name; write name, name(param=value) or scheme:reference")
    return Spec(name, argument, params)


def _keywords(text: str, inside: str) -> dict[str, Any]:
    try:
        call = ast.parse(f"f({inside})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError
        return {str(k.arg): _literal(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PluginError(
            f"{text!r} cannot be read; write name(param=1, other='text'), with quotes around dots and slashes"
        ) from error


def _written(value: object) -> str:
    """As `_literal` reads it: without quotes where none are needed."""
    bare = isinstance(value, str) and value.isascii() and value.isidentifier() and not keyword.iskeyword(value)
    return str(value) if bare else repr(value)


def _literal(node: ast.expr) -> Any:
    """A bare word is its own text, so that `xstest(source=organism)` needs no quotes."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def split(text: str) -> list[str]:
    """`a+b(x='+')` is `["a", "b(x='+')"]`: a plus inside brackets or quotes does not divide."""
    parts, depth, quote, start = [], 0, "", 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "+" and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]
