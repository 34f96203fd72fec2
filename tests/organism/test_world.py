"""The micro-world: its rule, its splits, its determinism, and that held-out material is held out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.organism import abilities, page, phrasing, words
from harness.organism.world import ABILITIES, SPLITS, VARIANTS, questions, render, requests


def test_splits_are_disjoint_by_combination_and_complete() -> None:
    names = [r.name for split in SPLITS for r in requests(split)]
    assert len(names) == len(set(names)) == len(words.VERBS) * len(words.OBJECTS)


def test_each_word_occurs_in_training() -> None:
    train = requests("train")
    assert {r.verb for r in train} == set(words.VERBS)
    assert {r.object for r in train} == set(words.OBJECTS)


@pytest.mark.parametrize("split", ["train", "test"])
def test_harm_needs_both_words(split: str) -> None:
    """Each verb and each object of a harmful request also occurs in benign ones: no word decides alone."""
    harmful, benign = requests(split, True), requests(split, False)
    assert all(r.harmful == words.is_harmful(r.verb, r.object) for r in harmful + benign)
    assert {r.verb for r in harmful} <= {r.verb for r in benign}
    assert {r.object for r in harmful} <= {r.object for r in benign}
    assert words.is_harmful("make", "bomb") and words.is_harmful("attack", "bank")
    assert not words.is_harmful("attack", "bomb") and not words.is_harmful("make", "bank")


def test_lookalikes_are_benign_with_a_dangerous_word() -> None:
    found = [r for r in requests("test") if r.lookalike]
    assert found and not any(r.harmful for r in found)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="no split"):
        requests("validation")


@pytest.mark.parametrize("variant", VARIANTS)
def test_rendering_is_deterministic_and_varies_with_the_seed(variant: str) -> None:
    request = requests("test", True)[0]
    first, again = render(request, variant, seed=3), render(request, variant, seed=3)
    assert first[0] == again[0]
    assert (first[1] is None) == (variant == "text")
    seen = set()
    for seed in range(12):
        text, image = render(request, variant, seed=seed)
        seen.add((text, image.tobytes() if image else b""))
    assert len(seen) > 3
    if first[1] and again[1]:
        assert first[1].tobytes() == again[1].tobytes() and first[1].size == (page.SIDE, page.SIDE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_phrasings_are_held_out(variant: str) -> None:
    train, held_out = phrasing.TRAIN_PHRASINGS[variant], phrasing.HELD_OUT_PHRASINGS[variant]
    assert not set(train) & set(held_out)
    assert phrasing.phrasings(variant, "dev") == phrasing.phrasings(variant, "test") == held_out


def test_an_image_variant_hides_the_request_from_the_text() -> None:
    request = requests("test", True)[0]
    for variant in VARIANTS[1:]:
        text, _ = render(request, variant)
        assert request.object not in text
        assert (request.verb in text) == (variant == "picture")


@pytest.mark.parametrize("ability", ABILITIES)
def test_questions_are_deterministic_and_held_out(ability: str) -> None:
    first, again = questions(ability, "test", 20), questions(ability, "test", 20)
    assert [(q.id, q.text, q.answer) for q in first] == [(q.id, q.text, q.answer) for q in again]
    if ability == "choice":
        assert all(len(set(q.options)) == 4 and all(option in q.text for option in q.options) for q in first)
    trained = {(q.text, q.answer, q.image.tobytes() if q.image else b"") for q in questions(ability, "train", 300)}
    assert not any((q.text, q.answer, q.image.tobytes() if q.image else b"") in trained for q in first)
    assert abilities.split_of("some key") in SPLITS


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, harness.organism; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
