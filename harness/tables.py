"""Reading data files: CSV, TSV, JSON, JSON Lines and parquet. Every failure is one sentence that names file and row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.contracts import PluginError
from harness.names import suggestion


def read_text(path: Path) -> str:
    """UTF-8 text (a byte-order mark is dropped)."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PluginError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise PluginError(f"{path} cannot be read: {error.strerror or error}") from error


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, PluginError):
            raise
        raise PluginError(f"{path} is not valid JSON ({brief(error)}): it may be truncated, get it again") from error


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """Rows of a CSV file with a header; quoted cells may hold line breaks. Errors name file and row (1: the first)."""
    text = read_text(path)
    rows: list[dict[str, str]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = next(reader, None)
        if not header:
            raise PluginError(f"{path} is empty: a header row is expected")
        if len(set(header)) != len(header):
            raise PluginError(f"{path} has two columns of the same name in its header: rename one")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise PluginError(
                    f"{path} row {len(rows) + 1} has {len(cells)} cells where the header has {len(header)}: "
                    "quote cells that hold the separator"
                )
            rows.append(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise PluginError(f"{path} row {len(rows) + 1} is not valid CSV ({error}): it may be truncated") from error
    return rows


def require_columns(rows: Sequence[dict[str, Any]], columns: Iterable[str], path: Path) -> None:
    """Raises `PluginError` that names the file and the first missing column."""
    have = list(rows[0]) if rows else []
    for column in columns:
        if rows and column not in have:
            raise PluginError(
                f"{path} has no column {column!r}{suggestion(column, have)}: it has {', '.join(map(str, have))}"
            )


def read_jsonl(path: Path) -> list[Any]:
    """One JSON value a line; empty lines are skipped."""
    rows = []
    # Not str.splitlines: JSON strings may hold U+2028 and its like.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        try:
            if line.strip():
                rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise PluginError(
                f"{path} line {number} is not valid JSON ({brief(error)}): it may be truncated"
            ) from error
    return rows


def read_parquet(path: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path, columns=columns).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise PluginError(
            f"{path} is not readable parquet ({brief(error)}): it may be truncated, get it again"
        ) from error
    return rows


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of any of the formats, chosen by the file's ending. A JSON object of objects is rows by `id`."""
    if not path.is_file():
        raise PluginError(
            f"the table {path} does not exist: give the path of a CSV, TSV, JSON, JSON Lines or parquet file"
        )
    match path.suffix.lower():
        case ".csv":
            rows: Any = read_csv(path)
        case ".tsv":
            rows = read_csv(path, "\t")
        case ".json":
            rows = read_jsonl(path) if _is_jsonl(path) else read_json(path)
        case ".jsonl" | ".ndjson":
            rows = read_jsonl(path)
        case ".parquet":
            rows = read_parquet(path)
        case other:
            raise PluginError(f"{path} ends in {other!r}: a table ends in .csv, .tsv, .json, .jsonl or .parquet")
    if isinstance(rows, dict) and all(isinstance(v, dict) for v in rows.values()):
        rows = [{"id": key, **value} for key, value in rows.items()]
    if not isinstance(rows, list):
        raise PluginError(f"{path} holds a JSON {type(rows).__name__}: a list of objects is expected")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise PluginError(f"{path} row {number} is a JSON {type(row).__name__}: an object is expected")
    return rows


def _is_jsonl(path: Path) -> bool:
    """Some published .json files hold an object a line: the first of several lines is then complete by itself."""
    first, _, rest = read_text(path).partition("\n")
    try:
        return bool(rest.strip()) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def brief(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
