from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.journal import Journal

ROWS = st.lists(
    st.fixed_dictionaries({"sample": st.text(), "key": st.text(max_size=3), "text": st.text()}), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.one_of(st.sampled_from([0, 1, 2]), st.integers(min_value=0, max_value=400)))
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_can_be_appended_to(rows: list[dict[str, str]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a" / "rows.jsonl"
        Journal(path).append(rows)
        assert Journal(path).rows == {(r["sample"], r["key"]): r for r in rows}
        data = path.read_bytes()
        path.write_bytes(data[: max(0, len(data) - cut)])
        left = path.read_bytes()
        whole = left.count(b"\n") + (left[-1:] == b"}")  # a line that lost only its end is still whole
        journal = Journal(path)
        kept = {(r["sample"], r["key"]): r for r in rows[:whole]}
        assert {k: v for k, v in journal.rows.items() if k in kept} == kept
        new = {"sample": "new", "key": "new", "text": "\ud800\u2028\x00"}
        journal.append([new])
        assert Journal(path).rows == {**kept, ("new", "new"): new}


def test_the_last_line_of_a_row_wins(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows.jsonl")
    journal.append([{"sample": "a", "key": "k", "error": "time-out"}])
    journal.append([{"sample": "a", "key": "k", "text": "fine"}])
    row = Journal(tmp_path / "rows.jsonl").get("a", "k")
    assert row is not None and row["text"] == "fine"


def test_a_spoilt_line_in_the_middle_is_left_out_with_a_warning(tmp_path: Path, caplog: object) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path).append([{"sample": "a", "key": "k"}])
    path.write_bytes(b"\xff\xfe{not json\n[1]\n" + path.read_bytes())
    assert list(Journal(path).rows) == [("a", "k")]
