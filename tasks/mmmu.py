"""MMMU: college-level multimodal questions (arXiv 2311.16502)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.contracts import PluginError, Task
from harness.microworld import question_samples, utility_questions
from harness.names import interleaved, one_of, positive
from harness.sources import file_identity, folder, hub_snapshot, inside
from harness.tables import read_rows
from harness.types import Image, MediaError, Message, Part, Prompt, Sample, Text

HUB = "MMMU/MMMU"
REMEDY = f"run `hf download --repo-type dataset {HUB} --local-dir <folder>` and name that folder with source="
TAG = re.compile(r"<image (\d+)>")
# Templates: MMMU-Benchmark/MMMU mmmu/configs/llava1.5.yaml.
MULTIPLE_CHOICE = "{question}\n\n{options}\n\nAnswer with the option's letter from the given choices directly."
OPEN = "{question}\n\nAnswer the question using a single word or phrase."


class MMMU(Task):
    """MMMU: multiple-choice and open questions on pictures, from 30 college subjects.

    source: "hub", a local folder of parquet, JSON or JSON Lines rows in the official columns, or "organism" (four-way
    choice questions of the micro-world). split: dev or validation (test has no public answers: its rows stay unscored).
    n, seed: rows and seed of source="organism".
    """

    kind = "utility"
    default_judge = "choice"
    source_note = "MMMU/MMMU on the hub, official templates; rows ordered round-robin over subjects"
    licence = "Apache-2.0"
    citation = (
        "Yue et al., MMMU: A Massive Multi-discipline Multimodal Understanding and Reasoning Benchmark, "
        "arXiv 2311.16502"
    )

    def __init__(self, source: str = "hub", split: str = "validation", n: int | None = 96, seed: int = 0) -> None:
        self.source = source
        self.split = one_of(split, ("dev", "validation", "test"), "mmmu split")
        self.n = positive(n, "mmmu n")
        self.seed = seed

    def samples(self) -> Iterator[Sample]:
        if self.source == "organism":
            split = "dev" if self.split == "dev" else "test"
            yield from question_samples("mmmu", utility_questions("choice", split, self.n or 96, self.seed))
            return
        root, files = self._files()
        found = [row for path in files for row in _rows(path)]
        for row in interleaved(found, lambda r: _subject(r["id"])):
            yield _sample(row, root)

    def revision(self) -> dict[str, Any]:
        if self.source == "organism":
            return {"world": "organism"}
        root, files = self._files()
        return {"sha256": {str(p.relative_to(root)): file_identity(p)[p.name] for p in files}}

    def _files(self) -> tuple[Path, list[Path]]:
        if self.source == "hub":
            root = hub_snapshot(HUB, [f"*/{self.split}-*.parquet"], "mmmu")
        else:
            root = folder(self.source, "mmmu", REMEDY)
        files = sorted(p for e in ("parquet", "jsonl", "json") for p in root.rglob(f"{self.split}*.{e}"))
        if not files:
            raise PluginError(
                f"mmmu expects {self.split}*.parquet (or .jsonl, .json) in {root}, and none is there: {REMEDY}"
            )
        return root, files


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = read_rows(path)
    for number, row in enumerate(rows, start=1):
        for column in ("id", "question", "options", "answer"):
            if column not in row:
                raise PluginError(f"{path} row {number} has no {column!r}: MMMU's official columns are expected")
    return rows


def _sample(row: dict[str, Any], root: Path) -> Sample:
    options = tuple(str(o) for o in listed(row["options"])) if row["options"] else ()
    # str.replace, not str.format: questions hold TeX braces.
    if options:
        block = "\n".join(f"({chr(65 + i)}) {option}" for i, option in enumerate(options))
        text = MULTIPLE_CHOICE.replace("{options}", block).replace("{question}", row["question"])
    else:
        text = OPEN.replace("{question}", row["question"])
    error = None
    try:
        parts = interleave_images(text, row, root)
    except MediaError as problem:
        parts, error = (Text(text),), f"missing media: {problem}"
    answers = tuple(str(a) for a in listed(row["answer"]))
    return Sample(
        id=f"mmmu:{row['id']}",
        prompt=Prompt((Message("user", parts),)),
        kind="utility",
        behavior=row["question"],
        category=_subject(row["id"]),
        variant="multiple-choice" if options else "open",
        reference=() if answers == ("?",) else answers,
        options=options,
        error=error,
    )


def listed(value: Any) -> list[Any]:
    """MMMU stores lists as their Python repr; a plain value is a list of one."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            parsed = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            return [value]
        return list(parsed) if isinstance(parsed, list) else [value]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def interleave_images(text: str, row: dict[str, Any], root: Path) -> tuple[Part, ...]:
    """The text with each `<image i>` replaced by that picture, every time; without any tag, image_1 comes first."""
    parts: list[Part] = []
    pieces = TAG.split(text)
    for i, piece in enumerate(pieces):
        if i % 2:
            parts.append(_image(row.get(f"image_{piece}"), f"image_{piece} of {row['id']}", root))
        elif piece.strip():
            parts.append(Text(piece))
    if len(pieces) == 1 and row.get("image_1"):
        parts.insert(0, _image(row["image_1"], f"image_1 of {row['id']}", root))
    return tuple(parts)


def _image(value: Any, what: str, root: Path) -> Image:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes) and value:
        return Image(value)
    if isinstance(value, str) and value:
        path = inside(root, value)
        if path is None:
            raise MediaError(f"{what} lies outside the data folder")
        return Image.from_file(path)  # type: ignore[no-any-return]
    if hasattr(value, "save"):
        return Image.from_pil(value)
    raise MediaError(f"{what} is not there")


def _subject(row_id: str) -> str:
    """validation_Art_Theory_3 -> Art_Theory."""
    return row_id.partition("_")[2].rpartition("_")[0] or row_id
