"""The data of the sample browser: samples once, answers by arm, verdicts by judge, and where each line is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.runstore import Run, line_key, verdict_key
from reports.escape import clipped, visible
from reports.lookup import Group
from reports.thumbnails import Thumbnails

TEXT_LIMIT = 2000
MAX_ANSWERS = 6000
TEXT_BUDGET = 24_000_000


def browser_data(groups: list[Group], thumbnails: Thumbnails | None = None) -> dict[str, Any]:
    """What the page's script shows: bounded, with `left_out` counting the answers that only the run directory holds.

    Where there are more answers than fit, the first samples of every task are kept, the same ones for every defense.
    """
    pictures = thumbnails or Thumbnails()
    cells = [(g, c) for g in groups for c in g.cells if c["status"] != "not_applicable"]
    keep = max(1, MAX_ANSWERS // max(1, len(cells)))
    builder = _Builder(pictures, keep)
    for group, cell in cells:
        builder.add_cell(group, cell)
    return {
        "samples": builder.samples,
        "answers": builder.answers,
        "pictures": pictures.urls,
        "missing": {k: visible(v) for k, v in pictures.missing.items()},
        "left_out": builder.left_out,
    }


class _Builder:
    def __init__(self, pictures: Thumbnails, keep: int) -> None:
        self.pictures = pictures
        self.keep = keep
        self.samples: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.left_out = 0
        self._room = TEXT_BUDGET
        self._places: dict[tuple[Path, str, str], int] = {}
        self._stored: dict[tuple[Path, str], list[dict[str, Any]]] = {}

    def add_cell(self, group: Group, cell: dict[str, Any]) -> None:
        run, where = group.run, (cell["model"], cell["defense"], cell["task"])
        responses = run.responses(*where)
        lines = line_numbers(responses.path)
        judges = {j: run.verdicts(*where, j) for j in cell["judges"]}
        verdict_lines = {j: line_numbers(journal.path) for j, journal in judges.items()}
        known = (run.path, cell["task"])
        if known not in self._stored:
            self._stored[known] = run.samples(cell["task"])
        for number, sample in enumerate(self._stored[known]):
            if number >= self.keep or self._room <= 0:
                self.left_out += 1
                continue
            key = line_key(cell["arm"], sample["prompt_id"])
            answer = responses.get(sample["id"], key)
            row = _answer(answer) | {
                "s": self._place(run, cell["task"], sample),
                "m": visible(group.title),
                "d": visible(cell["defense"]),
                "file": _inside(run, responses.path),
                "line": lines.get((sample["id"], key)),
                "key": key,
                "v": {},
            }
            for judge, journal in judges.items():
                verdict_at = verdict_key(cell["judges"][judge], sample, answer) if answer else ""
                verdict = _verdict(journal.get(sample["id"], verdict_at))
                line = verdict_lines[judge].get((sample["id"], verdict_at))
                row["v"][visible(judge)] = verdict | {"file": _inside(run, journal.path), "line": line}
            self.answers.append(row)
            self._room -= sum(len(str(row.get(name) or "")) for name in ("text", "undefended", "error"))

    def _place(self, run: Run, task: str, sample: dict[str, Any]) -> int:
        known = (run.path, task, sample["id"])
        if known not in self._places:
            self._places[known] = len(self.samples)
            self.samples.append(self._sample(run, task, sample))
        return self._places[known]

    def _sample(self, run: Run, task: str, sample: dict[str, Any]) -> dict[str, Any]:
        parts = []
        for message in sample["messages"]:
            for part in message["parts"]:
                if part["type"] == "image":
                    self.pictures.add(run, part["media"])
                shown = {"media": part["media"]} if "media" in part else {"text": clipped(part["text"], TEXT_LIMIT)}
                parts.append({"role": visible(message["role"]), "type": visible(part["type"])} | shown)
        self._room -= sum(len(p.get("text", "")) for p in parts)
        plain = {name: visible(sample[name]) for name in ("id", "kind", "category", "cluster", "variant")}
        return plain | {
            "task": visible(task),
            "behavior": clipped(sample["behavior"], TEXT_LIMIT),
            "reference": [clipped(r, TEXT_LIMIT) for r in sample.get("reference") or []][:20],
            "options": [clipped(o, TEXT_LIMIT) for o in sample.get("options") or []][:20],
            "error": _text(sample.get("error")),
            "parts": parts,
        }


def _answer(answer: dict[str, Any] | None) -> dict[str, Any]:
    if answer is None:
        return {"error": "no answer yet"}
    trace = answer.get("trace") or {}
    cost = {k: v for k, v in (trace.get("cost") or {}).items() if v}
    return {
        "text": _text(answer.get("text")),
        "error": _text(answer.get("error")),
        "finish": visible(answer["finish"]),
        "triggered": trace.get("triggered"),
        "gate": trace.get("score"),
        "undefended": _text(trace.get("undefended")),
        "cost": {visible(k): v for k, v in cost.items()},
    }


def _verdict(verdict: dict[str, Any] | None) -> dict[str, Any]:
    if verdict is None:
        return {"outcome": "unscored", "why": "no verdict yet"}
    why = _text(verdict.get("rationale"))
    return {"outcome": visible(verdict["outcome"]), "score": verdict.get("score"), "why": why}


def _text(value: object) -> str | None:
    return None if value is None else clipped(value, TEXT_LIMIT)


def _inside(run: Run, path: Path) -> str:
    return visible(path.relative_to(run.path))


def line_numbers(path: Path) -> dict[tuple[str, str], int]:
    """Line (from 1) of each (sample, key) of a journal; the last line wins, as it does when the journal is read."""
    found: dict[tuple[str, str], int] = {}
    if not path.exists():
        return found
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            row = json.loads(line)
            found[row["sample"], row["key"]] = number
        except (ValueError, KeyError, TypeError):
            continue
    return found
