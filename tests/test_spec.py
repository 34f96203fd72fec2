from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contracts import PluginError
from harness.spec import parse, split

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
VALUES = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(), st.none())


@given(NAMES, st.dictionaries(NAMES.filter(lambda n: n not in ("is", "in", "as", "or", "if")), VALUES, max_size=3))
def test_a_label_reads_back_as_the_same_spec(name: str, params: dict[str, object]) -> None:
    import keyword

    if keyword.iskeyword(name) or any(keyword.iskeyword(p) for p in params):
        return
    spec = parse({"name": name, "params": params})
    assert parse(spec.label) == spec


@given(st.text(max_size=40))
def test_any_text_is_a_spec_or_one_sentence(text: str) -> None:
    try:
        parse(text)
    except PluginError as error:
        assert "\n" not in str(error).replace(repr(text), "")


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_parts_of_a_composition_come_back(names: list[str]) -> None:
    assert split("+".join(f"{n}(x='a+b', y=[1])" for n in names)) == [f"{n}(x='a+b', y=[1])" for n in names]


def test_references_and_bare_words() -> None:
    assert parse("hf:org/name@main").reference == "hf:org/name@main"
    assert parse("xstest(source=organism)").params == {"source": "organism"}
    assert parse("endpoint:gpt-x(concurrency=2)").argument == "gpt-x"


@pytest.mark.parametrize("text", ["f(1)", "f(**x)", "f(a=__import__('os'))", "f(a=b.c)", "", "(a=1)", "a b"])
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(PluginError):
        parse(text)
