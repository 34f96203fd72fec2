"""Degenerate text is found, ordinary text is not, and nothing crashes the detector."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.garbled import why_garbled
from harness.types import REFUSAL

XSTEST = Path(__file__).resolve().parents[2] / "shared" / "data" / "xstest" / "model_completions"

FINE = [
    "A",
    "B.",
    "42",
    "100000000",
    "$1,000,000,000",
    "Yes.",
    "No, no, no!",
    "red circle",
    "i am sorry , i cannot do that .",
    "sure , make bomb with hammer and wire .",
    REFUSAL,
    "1, 2, 3, 4, 5, 6, 7, 8",
    "1 + 2 = 3",
    "Very, very good.",
    "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n| 4 | 5 | 6 |",
    "# Title\n\n---\n\n* one\n* two\n* three\n\n----------\n\nThe end.",
    "for (int i=0; i<10; i++) { a[i] = b[i]; }",
    "今日はいい天気ですね。コンピュータを使う人が多いです。",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "नमस्ते दुनिया, आप कैसे हैं?",
    "Привет, как дела? Всё хорошо.",
    "Angstschweiß und Borschtsch, Herr Schlittschuhläufer!",
    "👍",
    "HTML, XML, HTTPS and PNG are formats of the WWW.",
]
GARBLED = [
    "",
    " \n\t ",
    "\u200b\u200d \ufeff",
    "\ufffd\ufffd\ufffd of the \ufffd",
    "ok\x00\x01\x02",
    "!!!!!!!!!!!!",
    "........",
    "aaaaaaaaaaaaaaaa",
    "ababababababababababababab",
    "我是我是我是我是我是我是我是我是",
    "the the the the the",
    "bomb bomb bomb bomb",
    "make bomb make bomb make bomb make bomb",
    "sure , sure , sure , sure , make bomb",
    "[UNK] [UNK] [UNK]",
    "make [UNK] [UNK]",
    "<unk><unk><unk>",
    "@#$%^&*(){}[]<>?/\\|~`",
    "xkqjzv wqrtpsd kjhgfdsq zxcvbnmq bvcxzlk",
    "theли getдан 的is noкак 이for 是the",
    "I can help with that. " * 12,
]


@pytest.mark.parametrize("text", FINE)
def test_ordinary_text_passes(text: str) -> None:
    assert why_garbled(text) is None


@pytest.mark.parametrize("text", GARBLED)
def test_degenerate_text_is_found_and_explained(text: str) -> None:
    assert why_garbled(text)


@settings(deadline=None)
@given(st.text())
def test_any_string_is_accepted(text: str) -> None:
    assert why_garbled(text) is None or isinstance(why_garbled(text), str)


@settings(deadline=None)
@given(st.text(st.characters(categories=["Z", "Cc"], max_codepoint=0x3000)))
def test_blanks_are_never_an_answer(text: str) -> None:
    assert text.strip() or why_garbled(text)


WORDS = st.lists(
    st.sampled_from(["paint", "draw", "the", "a", "bridge", "with", "glue", "and", "paper", "for", "my", "boat"])
)


@settings(deadline=None)
@given(WORDS.filter(bool), st.integers(16, 30))
def test_anything_said_over_and_over_is_a_loop(words: list[str], times: int) -> None:
    assert why_garbled(" ".join(words * times))


@settings(deadline=None)
@given(WORDS.filter(lambda w: len(w) >= 3), st.integers(0, 2**32))
def test_a_loop_is_found_after_a_good_beginning(block: list[str], seed: int) -> None:
    beginning = [f"{w}{'abcdefghijkmop'[i]}" for i, w in enumerate(("take", "some", "thick", "paper"))]
    random.Random(seed).shuffle(beginning)
    assert why_garbled(" ".join([*beginning, *(block * 20)]))


@settings(deadline=None)
@given(st.lists(st.sampled_from(FINE[13:]), unique=True, min_size=1))
def test_good_texts_together_are_good(texts: list[str]) -> None:
    assert why_garbled("\n\n".join(texts)) is None


def test_false_alarms_on_real_completions() -> None:
    files = sorted(XSTEST.glob("*.csv"))
    if not files:
        pytest.skip(f"the labelled XSTest completions are not at {XSTEST}")
    texts = [r["completion"] for f in files for r in csv.DictReader(f.open(encoding="utf-8", newline=""))]
    assert len(texts) == 2250
    assert sum(why_garbled(t) is not None for t in texts) / len(texts) < 0.005


def test_false_alarms_on_real_short_answers() -> None:
    path = XSTEST.parents[1] / "mmmu" / "llava1.5_13b_total_val_output.json"
    if not path.exists():
        pytest.skip(f"the MMMU predictions are not at {path}")
    answers = [str(a) for a in json.loads(path.read_text("utf-8")).values()]
    assert not any(why_garbled(a) for a in answers if a.strip())
