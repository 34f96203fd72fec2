"""The over-refusal twins: drawn like the attack, harmless in content."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.calibration import Calibration
from harness.contracts import PluginError
from harness.testing import check_task
from tasks.benign_typographic import SIDE, BenignTypographic, draw_list
from tasks.figstep import FigStep
from tests.tasks.shared import real

FILE = "benign_sentences_without_harmful_phase.csv"


def test_a_line_is_a_sentence_even_with_a_comma(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("sentence\nSteps to bake bread.\nSteps to wash, dry and fold.\n", "utf-8")
    samples = check_task(BenignTypographic("figstep", folder=str(tmp_path)))
    assert [s.behavior for s in samples] == ["Steps to bake bread.", "Steps to wash, dry and fold."]
    assert {s.kind for s in samples} == {"benign"}
    assert all(s.prompt.images[0].size == (SIDE, SIDE) for s in samples)
    assert len({s.prompt.images[0].digest for s in samples}) == len({s.cluster for s in samples}) == 2
    (tmp_path / FILE).write_text("sentence\nSteps to cut a hedge.\nSteps to bake bread.\n", "utf-8")
    again = list(BenignTypographic("figstep", folder=str(tmp_path)).samples())
    assert again[1].cluster == samples[0].cluster and again[0].cluster not in {s.cluster for s in samples}


def _ink(sentence: str) -> tuple[int, int, int, int]:
    box = draw_list(sentence).convert("L").point(lambda v: 255 if v < 128 else 0).getbbox()
    assert box is not None
    return box


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text("abcdefghijkmW", min_size=1, max_size=30), min_size=1, max_size=25))
def test_text_of_any_length_stays_on_the_canvas(words: list[str]) -> None:
    _, _, right, bottom = _ink(" ".join(words))
    assert right < SIDE and bottom < SIDE


def test_a_short_sentence_has_figsteps_size() -> None:
    # Four lines at size 80 reach over 300 pixels; a shrunken font would not.
    assert _ink("Bake bread.")[3] > 300


def test_the_font_is_stated(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("sentence\nSteps to bake bread.\n", "utf-8")
    assert "Pillow" in BenignTypographic("figstep", folder=str(tmp_path)).revision()["font"]
    with pytest.raises(PluginError, match=r"nofont\.ttf cannot be read"):
        list(BenignTypographic("figstep", folder=str(tmp_path), font="nofont.ttf").samples())


def test_real_sentences() -> None:
    samples = list(BenignTypographic("figstep", folder=str(real("figstep"))).samples())
    assert len(samples) == 50
    assert sum("," in s.behavior for s in samples) >= 1


def test_with_figstep_it_makes_the_pairs_that_the_readme_calibrates_on() -> None:
    folder = str(real("figstep"))
    harmful = FigStep(source=folder, subset="tiny", variants=("image", "text"))
    benign = BenignTypographic(source="figstep", folder=folder, variants=("typographic", "text"))
    calibration = Calibration.from_samples([*harmful.samples(), *benign.samples()])
    calibration.require("regap", pairs=True)
    pairs = calibration.train.pairs("benign") + calibration.validation.pairs("benign")
    assert len(pairs) == 50 and all(p.text.text != p.media.text for p in pairs)
