from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from reports.escape import clipped, script_json, visible

ANY = st.text(st.characters(codec=None))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda c: st.lists(c) | st.dictionaries(st.text(), c),
)


def test_what_hides_or_reorders_text_is_written_out() -> None:
    assert visible("a\u202eb\x00c\ud800d") == "a<U+202E>b<U+0000>c<U+D800>d"


def test_ordinary_text_of_any_script_stays() -> None:
    for text in ("plain\n\ttext", "می‌خواهم", "👩‍👩‍👧", "naïve 漢字"):
        assert visible(text) == text


@given(ANY)
def test_visible_text_can_be_written_as_utf8_and_is_stable(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown


@given(VALUES)
def test_script_json_is_json_and_cannot_close_its_block(value: object) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_script_json_has_no_nan() -> None:
    assert json.loads(script_json({"a": [float("nan"), float("inf"), 1.5]})) == {"a": [None, None, 1.5]}


def test_long_text_is_cut_and_says_so() -> None:
    assert clipped("x" * 2500, 2000).endswith("… [500 more characters in the run directory]")
    assert clipped("x" * 2000, 2000) == "x" * 2000
