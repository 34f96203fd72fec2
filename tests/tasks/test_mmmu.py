"""MMMU: options as a Python repr, interleaved pictures, the official templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contracts import PluginError
from harness.testing import check_task
from harness.types import Image, Text
from tasks.mmmu import MMMU, listed
from tests.tasks.shared import png

RED, BLUE = png((255, 0, 0)), png((0, 0, 255))


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "validation_Art_Theory_1",
        "question": "<image 1> Compare with <image 2>: which {x} is it?",
        "options": "['left', \"the artist's <image 1>\"]",
        "answer": "B",
        "question_type": "multiple-choice",
        "image_1": {"bytes": RED, "path": None},
        "image_2": {"bytes": BLUE, "path": None},
        **changes,
    }


def as_parquet(folder: Path, rows: list[dict[str, Any]]) -> MMMU:
    import pyarrow
    import pyarrow.parquet

    path = folder / "Art_Theory" / "validation-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return MMMU(str(folder))


def test_pictures_stand_where_their_tags_stood(tmp_path: Path) -> None:
    sample = check_task(as_parquet(tmp_path, [row()]))[0]
    parts = sample.prompt.messages[0].parts
    shown = [p.text if isinstance(p, Text) else p.data for p in parts if isinstance(p, (Text, Image))]
    assert shown == [
        RED,
        " Compare with ",
        BLUE,
        ": which {x} is it?\n\n(A) left\n(B) the artist's ",
        RED,
        "\n\nAnswer with the option's letter from the given choices directly.",
    ]
    assert (sample.options[0], sample.reference, sample.category) == ("left", ("B",), "Art_Theory")


def test_open_questions_take_lists_of_answers(tmp_path: Path) -> None:
    rows = [row(options="[]", answer="['1', 'one']", question="<image 1> How many?", question_type="open")]
    sample = check_task(as_parquet(tmp_path, rows))[0]
    assert sample.reference == ("1", "one") and sample.options == ()
    assert sample.prompt.text.endswith("Answer the question using a single word or phrase.")


def test_json_rows_name_picture_files_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "red.png").write_bytes(RED)
    (tmp_path / "outside.png").write_bytes(RED)
    rows = [
        row(id=f"validation_Art_{i}", question="<image 1> ?", options="['a', 'b']", image_1=name, image_2=None)
        for i, name in enumerate(("red.png", "../outside.png", "gone.png", None, "a\0b.png"))
    ]
    (tmp_path / "set" / "validation.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    samples = list(MMMU(str(tmp_path / "set")).samples())
    assert [s.error is None for s in samples] == [True, False, False, False, False]
    assert samples[0].prompt.images[0].data == RED


def test_rows_of_the_test_split_have_no_reference(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps([row(answer="?", image_1=None, image_2=None)]), "utf-8")
    assert next(iter(MMMU(str(tmp_path), "test").samples())).reference == ()


def test_a_truncated_file_gets_one_sentence(tmp_path: Path) -> None:
    task = as_parquet(tmp_path, [row()])
    path = next(tmp_path.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(PluginError, match="not readable parquet"):
        list(task.samples())
    with pytest.raises(PluginError, match=r"expects dev\*\.parquet"):
        list(MMMU(str(tmp_path), "dev").samples())


@given(st.lists(st.text()))
def test_a_repr_of_a_list_is_that_list(options: list[str]) -> None:
    assert listed(repr(options)) == options


@given(st.text().filter(lambda t: not t.strip().startswith("[")))
def test_a_plain_answer_is_a_list_of_one(answer: str) -> None:
    assert listed(answer) == [answer]
