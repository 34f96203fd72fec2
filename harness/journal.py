"""An append-only JSON Lines file that survives `kill -9`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

log = logging.getLogger("gapbench")


class Journal:
    """Rows are looked up by (sample, key); the last line wins, so that a retried failure replaces its old line.

    A batch of rows is handed to the kernel in one write, so a killed process leaves at most one torn line, at the end.
    Opening the file for writing cuts that line off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[tuple[str, str], dict[str, Any]] | None = None

    @property
    def rows(self) -> dict[tuple[str, str], dict[str, Any]]:
        if self._rows is None:
            self._rows = {(row["sample"], row["key"]): row for row in self._read()}
        return self._rows

    def get(self, sample: str, key: str) -> dict[str, Any] | None:
        return self.rows.get((sample, key))

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        rows = list(rows)
        if not rows:
            return
        known = self.rows
        text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._cut_torn_line(descriptor)
            data = text.encode("ascii")
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)
        known.update({(row["sample"], row["key"]): row for row in rows})

    def _read(self) -> Iterable[dict[str, Any]]:
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            if not line.strip():
                continue
            row = _row(line)
            if row is None:
                log.warning("%s line %d is not a whole row; it is left out and will be made again", self.path, number)
            else:
                yield row

    def _cut_torn_line(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size == 0:
            return
        with self.path.open("rb") as file:
            file.seek(size - 1)
            if file.read(1) == b"\n":
                return
            file.seek(0)
            data = file.read()
        kept = data.rfind(b"\n") + 1
        if _row(data[kept:]) is not None:  # whole but for its end: it was read as a row, so it must stay one
            os.write(descriptor, b"\n")
        else:
            os.ftruncate(descriptor, kept)


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and isinstance(row.get("sample"), str) and isinstance(row.get("key"), str)
    return row if whole else None
