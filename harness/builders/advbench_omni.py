"""AdvBench-Omni from any set of texts: each request in up to eleven combinations of modalities (arXiv 2602.10161).

The folder holds `items.jsonl` (a line an item, in the published fields and a few more), `build.json` (how it was made)
and `media/` (files named by their content). Building goes on where it was stopped and makes again only what differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.builders.combinations import COMBINATIONS, MEDIA_PARTS, Combination
from harness.builders.drawing import default_font, film, picture
from harness.builders.questions import Question, distinct, read_questions
from harness.builders.speech import Speech
from harness.builders.splitting import ModelSplitter, Parts, RuleSplitter, Split, Splitter
from harness.contracts import PluginError
from harness.journal import Journal
from harness.names import chosen, positive
from harness.progress import Progress, Quiet
from harness.sources import file_identity
from harness.types import Media, MediaError, digest

ITEMS, RECORD, UNFINISHED = "items.jsonl", "build.json", "unfinished.jsonl"
CHUNK = 16
"""Base questions between two writes to the disk."""
FORMAT = 1
"""Raised when the same settings would make other media."""
ENDINGS = {"image": ".png", "audio": ".wav", "video": ".avi"}

Item = dict[str, Any]


@dataclass(frozen=True)
class Built:
    """What came of a build. `errors`: reason and number of the items that could not be made; `unlisted`: items of an
    earlier build that this one does not ask for and `items.jsonl` no longer names."""

    folder: Path
    items: int
    made: int
    errors: dict[str, int]
    unlisted: int = 0


def build(
    source: Path,
    out: Path,
    *,
    benign: Path | None = None,
    modalities: Sequence[str] | str | None = None,
    splitter: str = "rule",
    base_url: str | None = None,
    limit: int | None = None,
    voice: str = "en",
    font: str | None = None,
    column: str | None = None,
    progress: Progress | None = None,
) -> Built:
    """Build the set of `source` (harmful unless its rows say otherwise) and `benign` into `out`.

    `modalities`: names of `COMBINATIONS` (None: all eleven). `splitter`: "rule", or a model such as "endpoint:NAME".
    `limit`: base questions of each label, at most. Items that cannot be made are kept with their reason, and tried
    again by the next build. Raises `PluginError`.
    """
    codes = chosen(modalities or tuple(COMBINATIONS), tuple(COMBINATIONS), "--modalities")
    files = [source, benign] if benign else [source]
    questions = read_questions(source, column=column)
    questions += read_questions(benign, label="safe", column=column) if benign else []
    questions = _first_of_each(distinct(questions), positive(limit, "--limit"))
    maker = Maker(out, font or default_font(), voice, needs_speech=any("audio" in COMBINATIONS[c].parts for c in codes))
    progress = progress or Quiet()
    journal = Journal(out / UNFINISHED)
    wanted = [(q, code) for q in questions for code in codes]
    with _splitter(splitter, base_url) as split:
        keys = {(q.id, code): maker.key(q, COMBINATIONS[code], split.identity) for q, code in wanted}
        earlier = _earlier(out)
        items = {at: item for at, item in earlier.items() if maker.stands(item) and item["key"] == keys.get(at)}
        kept = len(items)
        progress.expect(len(wanted) - kept)
        for start in range(0, len(questions), CHUNK):
            todo = [(q, c) for q in questions[start : start + CHUNK] for c in codes if (q.id, c) not in items]
            if not todo:
                continue
            progress.start(f"questions {start + 1} to {min(start + CHUNK, len(questions))} of {len(questions)}")
            fresh = _made(todo, keys, maker, split, progress)
            journal.append(
                {"sample": f"{base}:{code}", "key": item["key"], "item": item} for (base, code), item in fresh.items()
            )
            items.update(fresh)
    ordered = [items[q.id, code] for q, code in wanted]
    _write(out / ITEMS, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ordered))
    _write(out / RECORD, json.dumps(_record(ordered, files, maker, split), indent=1, ensure_ascii=False) + "\n")
    journal.path.unlink(missing_ok=True)
    errors = Counter(item["error"] for item in ordered if item["error"])
    return Built(out, len(ordered), len(ordered) - kept, dict(errors.most_common()), len(earlier.keys() - keys.keys()))


class Maker:
    """Makes the media of an item, each file once and under the hash of its content."""

    def __init__(self, out: Path, font: str, voice: str, *, needs_speech: bool) -> None:
        self.out = out
        self.font = font
        self.speech = Speech(voice) if needs_speech else None
        try:
            self.font_hash = hashlib.sha256(Path(font).read_bytes()).hexdigest()
        except OSError as error:
            raise PluginError(f"the font {font} cannot be read: name a TrueType file with --font") from error

    def key(self, question: Question, combination: Combination, splitter: str) -> str:
        """All that decides an item."""
        decided: list[Any] = [FORMAT, question.text, question.label, combination.modality]
        if combination.instruction:
            decided.append(splitter)
        if "audio" in combination.parts and self.speech:
            decided.append(self.speech.identity)
        if {"image", "video"} & set(combination.parts):
            decided.append(self.font_hash)
        return digest(decided)

    def item(self, question: Question, code: str, key: str, split: Split | str | None) -> Item:
        combination = COMBINATIONS[code]
        item: Item = {
            "id": f"{question.id}:{code}",
            "base": question.id,
            "question": question.text,
            "row": question.row,
            "combination": code,
            "modality": combination.modality,
            "label": question.label,
            "text_instruction": question.text,
            **{f"{part}_path": None for part in MEDIA_PARTS},
            "font_size": None,
            "key": key,
            "error": None,
        }
        contents = dict.fromkeys(combination.payload, question.text)
        if isinstance(split, str):
            return item | {"text_instruction": None, "error": split}
        if split is not None and combination.instruction:
            contents = dict(zip(combination.payload, split.payload, strict=True))
            contents[combination.instruction] = item["text_instruction"] = split.instruction
        try:
            for part in MEDIA_PARTS:
                if part in contents:
                    item[f"{part}_path"] = self._file(part, contents[part], item)
        except MediaError as error:
            item["error"] = str(error)
        return item

    def stands(self, item: Item) -> bool:
        """Whether an earlier item was made and its files are still what they were."""
        names = [item.get(f"{part}_path") for part in MEDIA_PARTS]
        return not item.get("error") and all(self._whole(name) for name in names if name)

    def _whole(self, name: str) -> bool:
        try:
            data = (self.out / "media" / Path(name).name).read_bytes()
        except OSError:
            return False
        return hashlib.sha256(data).hexdigest() == Path(name).stem

    def _file(self, part: str, text: str, item: Item) -> str:
        medium: Media
        if part == "audio":
            assert self.speech is not None
            medium = self.speech(text)
        else:
            draw: Callable[[str, str], tuple[Media, int]] = picture if part == "image" else film
            medium, item["font_size"] = draw(text, self.font)
        name = f"media/{medium.digest}{ENDINGS[part]}"
        if not self._whole(name):
            _write(self.out / name, medium.data)
        return name


def _made(
    todo: Sequence[tuple[Question, str]],
    keys: dict[tuple[str, str], str],
    maker: Maker,
    splitter: Splitter,
    progress: Progress,
) -> dict[tuple[str, str], Item]:
    # Combinations with the same payload share one split, so that t2i and a2i ask the same thing.
    pieces: dict[tuple[str, Parts], None] = {
        (q.text, COMBINATIONS[code].payload): None for q, code in todo if COMBINATIONS[code].instruction
    }
    splits = dict(zip(pieces, splitter(list(pieces)), strict=True)) if pieces else {}
    found = {}
    for question, code in todo:
        split = splits.get((question.text, COMBINATIONS[code].payload)) if COMBINATIONS[code].instruction else None
        found[question.id, code] = maker.item(question, code, keys[question.id, code], split)
        progress.advance(1)
    return found


@contextmanager
def _splitter(name: str, base_url: str | None) -> Iterator[Splitter]:
    if name == "rule":
        yield RuleSplitter()
        return
    from harness import plugins

    model = plugins.create("models", name, base_url=base_url)
    try:
        yield ModelSplitter(model)
    finally:
        model.close()


def _first_of_each(questions: list[Question], limit: int | None) -> list[Question]:
    if limit is None:
        return questions
    return [q for label in ("harmful", "safe") for q in [q for q in questions if q.label == label][:limit]]


def _earlier(out: Path) -> dict[tuple[str, str], Item]:
    """Items of a finished build, and over them those of one that was stopped. A line that cannot be read is made
    again."""
    found = []
    if (out / ITEMS).exists():
        for line in (out / ITEMS).read_text("utf-8", "replace").split("\n"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    found += [row.get("item") for row in Journal(out / UNFINISHED).rows.values()]
    whole = [i for i in found if isinstance(i, dict) and {"base", "combination", "key"} <= set(i)]
    return {(i["base"], i["combination"]): i for i in whole}


def _record(items: list[Item], files: Sequence[Path], maker: Maker, splitter: Splitter) -> dict[str, Any]:
    counts = Counter((item["label"], item["combination"]) for item in items)
    return {
        "format": FORMAT,
        "sources": [file_identity(path) for path in files],
        "items": {label: {c: n for (name, c), n in counts.items() if name == label} for label in ("harmful", "safe")},
        "errors": sum(bool(item["error"]) for item in items),
        "splitter": splitter.identity,
        "speech": maker.speech.identity if maker.speech else None,
        "font": {"name": Path(maker.font).name, "sha256": maker.font_hash},
    }


def _write(path: Path, content: str | bytes) -> None:
    """All of it or nothing, whenever the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(partial, path)
