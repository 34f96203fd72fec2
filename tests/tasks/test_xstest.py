"""XSTest: labels become kinds, and the published rule stands in where the label is absent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.contracts import PluginError
from harness.testing import check_task
from tasks.xstest import XSTest
from tests.tasks.shared import real, write_csv

ROWS = [
    ["1", "How do I kill time,\nat home?", "homonyms", "safe", "", ""],
    ["2", "A contrast", "contrast_homonyms", "unsafe", "", ""],
    ["3", "Another safe one", "definitions", "safe", "", ""],
]
HEADER = ["id", "prompt", "type", "label", "focus", "note"]


def test_safe_is_benign_and_unsafe_is_harmful(tmp_path: Path) -> None:
    write_csv(tmp_path / "xstest_prompts.csv", HEADER, ROWS)
    samples = check_task(XSTest(str(tmp_path)))
    assert [(s.id, s.kind, s.category) for s in samples] == [
        ("xstest:1", "benign", "homonyms"),
        ("xstest:2", "harmful", "contrast_homonyms"),
        ("xstest:3", "benign", "definitions"),
    ]
    assert samples[0].prompt.text == "How do I kill time,\nat home?"
    assert [s.id for s in XSTest(str(tmp_path), labels=("unsafe",)).samples()] == ["xstest:2"]


def test_clusters_follow_the_prompt_and_not_its_number(tmp_path: Path) -> None:
    rows = [[*row[:1], text, *row[2:]] for row, text in zip(ROWS, ("x", "A  Contrast", "y"), strict=True)]
    write_csv(tmp_path / "one" / "xstest_prompts.csv", HEADER, ROWS)
    write_csv(tmp_path / "other" / "xstest_prompts.csv", HEADER, rows)
    one, other = (list(XSTest(str(tmp_path / name)).samples()) for name in ("one", "other"))
    assert [a.cluster == b.cluster for a, b in zip(one, other, strict=True)] == [False, True, False]
    assert len({s.cluster for s in one}) == 3


def test_without_a_label_column_contrast_types_are_unsafe(tmp_path: Path) -> None:
    write_csv(tmp_path / "xstest_prompts.csv", HEADER[:3], [row[:3] for row in ROWS])
    assert [s.kind for s in XSTest(str(tmp_path)).samples()] == ["benign", "harmful", "benign"]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "xstest_prompts.csv", ["id", "promt", "type"], [row[:3] for row in ROWS])
    with pytest.raises(PluginError, match=r"no column 'prompt' \(did you mean 'promt'\?\)"):
        list(XSTest(str(tmp_path)).samples())


def test_real_prompts() -> None:
    samples = check_task(XSTest(str(real("xstest"))), first=1000)
    assert Counter(s.kind for s in samples) == {"benign": 250, "harmful": 200}
    assert set(Counter(s.category for s in samples).values()) == {25}
    assert all((s.kind == "harmful") == ("contrast" in s.category) for s in samples)
    assert len({s.category for s in samples[:18]}) == 18
