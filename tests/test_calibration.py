from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.calibration import Calibration, CalibrationSplit
from harness.contracts import PluginError
from harness.types import Image, Prompt, Sample


def samples(n: int) -> list[Sample]:
    made = []
    for i in range(n):
        for kind in ("harmful", "benign"):
            for variant in ("text", "image"):
                media = [Image(f"{kind}{i}".encode())] if variant == "image" else []
                prompt = Prompt.user(f"{kind} {i} {variant}", *media)
                made.append(
                    Sample(f"{kind}{i}{variant}", prompt, kind, f"{kind} {i}", "c", f"q:{kind}{i}", variant)  # type: ignore[arg-type]
                )
    return made


@given(st.integers(1, 40), st.integers(0, 3))
def test_all_forms_of_a_question_fall_on_one_side(n: int, seed: int) -> None:
    calibration = Calibration.from_samples(samples(n), seed=seed)
    left = {s.cluster for s in calibration.train.samples}
    right = {s.cluster for s in calibration.validation.samples}
    assert not left & right
    assert len(calibration.samples) == 4 * n


@given(st.integers(2, 20))
def test_a_question_falls_on_the_same_side_whatever_else_is_there(n: int) -> None:
    few, many = Calibration.from_samples(samples(n)), Calibration.from_samples(samples(n + 5))
    assert {s.id for s in few.train.samples} <= {s.id for s in many.train.samples}


def test_pairs_join_the_forms_of_one_question() -> None:
    for pair in Calibration.from_samples(samples(10), validation=0).train.pairs("harmful"):
        assert pair.text.text.replace("text", "") == pair.media.text.replace("image", "")
        assert not pair.text.media and pair.media.media


def test_leaks_are_found_by_content_question_words_and_picture() -> None:
    calibration = Calibration.from_samples(samples(5))
    fresh = Prompt.user("something else")
    assert calibration.leaks([Sample("a", fresh, "harmful", "new", cluster="new")]) == []
    assert calibration.leaks([Sample("a", fresh, "harmful", "new", cluster="q:harmful1")])
    assert calibration.leaks([Sample("a", fresh, "harmful", "Harmful  1", cluster="new")])
    assert calibration.leaks([Sample("a", Prompt.user("harmful 1 text"), "harmful", "new", cluster="new")])
    assert calibration.leaks([Sample("a", Prompt.user("x", Image(b"harmful1")), "harmful", "new", cluster="new")])


def test_a_blank_picture_that_many_questions_share_is_no_leak() -> None:
    blank = Image(b"blank")
    known = [Sample(str(i), Prompt.user(f"q{i}", blank), "harmful", f"b{i}", cluster=f"c{i}") for i in range(3)]
    new = [Sample(str(i), Prompt.user(f"r{i}", blank), "harmful", f"d{i}", cluster=f"e{i}") for i in range(3)]
    assert Calibration.from_samples(known).leaks(new) == []


def test_nothing_to_learn_from_is_one_sentence() -> None:
    with pytest.raises(PluginError, match="regap needs harmful text prompts"):
        Calibration.from_samples([]).require("regap")


def test_a_part_keeps_text_and_counts_base_questions() -> None:
    split = CalibrationSplit(tuple(samples(4)))
    part = split.part(questions=2)
    assert [len(part.pairs(k)) for k in ("harmful", "benign")] == [2, 2]  # type: ignore[arg-type]
    assert len(part.text("benign")) == 2 and split.part() == split
    assert split.part(variants=["image"]) == split
    nothing = split.part(variants=["hologram"])
    assert not nothing.media("harmful") and len(nothing.text("harmful")) == 4


def test_named_validation_samples_are_the_validation_split_and_share_no_question_with_the_other() -> None:
    both = samples(8)
    held = [s for s in both if s.cluster in ("q:harmful0", "q:benign1")]
    found = Calibration.from_samples(both, held)
    assert found.validation.samples == tuple(held)
    assert {s.cluster for s in found.train.samples} == {s.cluster for s in both} - {"q:harmful0", "q:benign1"}
    assert found.leaks(held) == held


def test_training_rows_that_validation_holds_under_another_name_are_left_out_with_all_their_forms() -> None:
    both = samples(8)
    new = Prompt.user("something else")
    held = [
        Sample("a", Prompt.user("harmful 0 text"), "harmful", "w", cluster="w"),
        Sample("b", new, "harmful", "Harmful  1", cluster="x"),
        Sample("c", Prompt.user("see", Image(b"benign2")), "benign", "y", cluster="y"),
        Sample("d", new, "benign", "z", cluster="q:benign3"),
    ]
    found = Calibration.from_samples(both, held)
    gone = {"q:harmful0", "q:harmful1", "q:benign2", "q:benign3"}
    assert {s.cluster for s in found.train.samples} == {s.cluster for s in both} - gone
    assert found.validation.samples == tuple(held)


def test_a_blank_picture_in_both_halves_costs_no_training_row() -> None:
    def rows(name: str) -> list[Sample]:
        questions = [(kind, f"{name} {kind} {i}") for kind in ("harmful", "benign") for i in range(3)]
        return [Sample(q, Prompt.user(q, Image(b"blank")), kind, q, cluster=q) for kind, q in questions]  # type: ignore[arg-type]

    assert len(Calibration.from_samples(rows("one"), rows("other")).train.samples) == 6


@pytest.mark.parametrize("kind", ["harmful", "utility"])
def test_validation_samples_that_cannot_be_used_are_no_reason_to_take_others(kind: str) -> None:
    broken = [Sample("a", Prompt.user("x"), kind, "x", error="gone" if kind == "harmful" else None)]  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="validation tasks hold no harmful or benign prompt"):
        Calibration.from_samples(samples(8), broken)


def test_validation_that_leaves_nothing_to_fit_on_says_so() -> None:
    both = samples(4)
    with pytest.raises(PluginError, match=r"no harmful request is left to fit on: .* hold the same questions"):
        Calibration.from_samples(both, both)
    with pytest.raises(PluginError, match="no benign request is left to fit on"):
        Calibration.from_samples(both, [s for s in both if s.kind == "benign"])
