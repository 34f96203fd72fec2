"""Samples and responses in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.contracts import Judge
from harness.types import Kind, Outcome, Prompt, Response, Sample, Verdict

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def real(name: str) -> Path:
    """A folder of real benchmark files; skips the test where it is absent."""
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"real files of {name} are not at {path}")
    return path


def sample(kind: Kind = "harmful", **fields: Any) -> Sample:
    return Sample(
        fields.pop("id", "s"), Prompt.user("the prompt"), kind, fields.pop("behavior", "paint a gun"), **fields
    )


def verdict(judge: Judge, text: str, kind: Kind = "harmful", **fields: Any) -> Verdict:
    return judge.judge([sample(kind, **fields)], [Response(text)])[0]


def outcome(judge: Judge, text: str, kind: Kind = "harmful", **fields: Any) -> Outcome:
    return verdict(judge, text, kind, **fields).outcome
