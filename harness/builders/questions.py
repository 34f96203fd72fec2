"""The requests that a benchmark is built from: any file of texts, with labels or without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.contracts import PluginError
from harness.names import suggestion
from harness.tables import brief, read_json, read_rows, read_text
from harness.types import digest

Label = Literal["harmful", "safe"]
LABELS: dict[str, Label] = {
    "harmful": "harmful",
    "unsafe": "harmful",
    "benign": "safe",
    "safe": "safe",
    "harmless": "safe",
}
TEXT_COLUMNS = ("text", "goal", "question", "behavior", "prompt", "instruction", "text_instruction")
LABEL_COLUMNS = ("label", "type", "kind")


@dataclass(frozen=True)
class Question:
    """A base question. `row` is where it stands in its file, from 1."""

    text: str
    label: Label
    row: int

    @property
    def id(self) -> str:
        """From its words alone, so that it stays the same when the file grows or is put in another order."""
        return digest(" ".join(self.text.lower().split()))[:12]


def read_questions(path: Path, *, label: Label = "harmful", column: str | None = None) -> list[Question]:
    """All rows of a CSV, TSV, JSON, JSON Lines, parquet, YAML or plain text file (a request a line).

    `column` holds the text (None: the first of `TEXT_COLUMNS`). A column label, type or kind says harmful, unsafe,
    benign, safe or harmless; rows without one get `label`. Raises `PluginError` that names the file and the row, never
    the text.
    """
    rows = _rows(path)
    if not rows:
        raise PluginError(f"{path} has no rows: give a file with at least one request")
    have = list(dict.fromkeys(name for row in rows for name in row))
    name = column or next((c for c in TEXT_COLUMNS if c in have), None)
    if name is None or name not in have:
        hint = suggestion(column, have) if column else ""
        asked = repr(column) if column else f"of text ({', '.join(TEXT_COLUMNS)})"
        raise PluginError(
            f"{path} has no column {asked}{hint}: it has {', '.join(map(str, have))}; name one with --column"
        )
    return [_question(row, number, name, label, path) for number, row in enumerate(rows, start=1)]


def distinct(questions: list[Question]) -> list[Question]:
    """Each request once. Raises `PluginError` when one is both harmful and safe."""
    seen: dict[str, Question] = {}
    for question in questions:
        first = seen.setdefault(question.id, question)
        if first.label != question.label:
            raise PluginError(
                f"the request of row {first.row} is labelled {first.label}, and again {question.label} in row "
                f"{question.row}: keep one of them"
            )
    return list(seen.values())


def _question(row: dict[str, Any], number: int, column: str, label: Label, path: Path) -> Question:
    text = row.get(column)
    if not isinstance(text, str) or not text.strip():
        raise PluginError(f"{path} row {number} has no text in the column {column!r}: fill or remove the row")
    said = next((row[c] for c in LABEL_COLUMNS if row.get(c) not in (None, "")), label)
    known = LABELS.get(str(said).strip().lower())
    if known is None:
        raise PluginError(f"{path} row {number} has the label {said!r}: write one of {', '.join(LABELS)}")
    return Question(" ".join(text.split()), known, number)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Lists of bare texts are rows with the one column `text`."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return [{"text": line} for line in read_text(path).splitlines() if line.strip()]
    found: Any = None
    if suffix in (".yaml", ".yml"):
        found = _yaml(path)
    elif suffix == ".json" and path.is_file() and read_text(path).lstrip().startswith("["):
        found = read_json(path)
    if found is None:
        return read_rows(path)
    if not isinstance(found, list) or not all(isinstance(row, str | dict) for row in found):
        raise PluginError(f"{path} must hold a list of texts, or of rows with named columns")
    return [{"text": row} if isinstance(row, str) else row for row in found]


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(read_text(path)) or []
    except yaml.YAMLError as error:
        raise PluginError(f"{path} is not valid YAML: {brief(error)}") from error
