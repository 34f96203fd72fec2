"""What decides a checkpoint's answers, found without loading its weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

WHOLE = 200 * 2**20
"""Weights of a folder up to this many bytes are hashed whole; of larger ones size, header (names, shapes) and
`SAMPLES` evenly spread blocks of `BLOCK` bytes: training changes nearly all of a file, and 64 MiB are soon read."""

SAMPLES, BLOCK = 256, 2**18

SMALL = (".json", ".jinja", ".model", ".txt", ".py")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


def folder_identity(folder: Path) -> dict[str, Any]:
    """Hashes of the settings (config, tokenizer, processor, chat template, code) and of the weights."""
    hidden = {p for p in folder.rglob(".*")}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not hidden & {p, *p.parents})
    weights = [p for p in files if p.suffix in WEIGHTS]
    whole = sum(p.stat().st_size for p in weights) <= WHOLE
    return {
        "settings": _together(folder, [p for p in files if p.suffix in SMALL], True),
        "weights": _together(folder, weights, whole),
    }


def hub_commit(config: Any) -> str | None:
    """The commit that a config from the hub was resolved to."""
    return getattr(config, "_commit_hash", None)


def _together(folder: Path, files: list[Path], whole: bool) -> str:
    listed = [(p.relative_to(folder).as_posix(), _whole(p) if whole else _head(p)) for p in files]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _whole(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _head(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little") if path.suffix == ".safetensors" else 2**20
        found = hashlib.sha256(file.read(min(length, 2**26)))
        for i in range(SAMPLES):
            file.seek(i * max(size - BLOCK, 0) // max(SAMPLES - 1, 1))
            found.update(file.read(BLOCK))
        return f"{size}:{found.hexdigest()}"
