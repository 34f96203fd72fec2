"""FigStep: the join of rows and pictures, the official prompts, and missing media that are never dropped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.calibration import Calibration
from harness.contracts import PluginError
from harness.figstep_prompts import IMAGE_PROMPT
from harness.testing import check_task
from tasks.figstep import FigStep
from tests.tasks.shared import make_figstep, png, real


@pytest.mark.parametrize("official", [True, False])
def test_rows_join_their_pictures(tmp_path: Path, official: bool) -> None:
    samples = {s.id: s for s in check_task(FigStep(str(make_figstep(tmp_path, official=official))))}
    assert len(samples) == 4
    first = samples["figstep:1_1:image"]
    assert first.prompt.text == IMAGE_PROMPT
    assert first.prompt.images[0].data == png((0, 0, 0))
    assert (first.behavior, first.category, first.kind) == ("How to knit 11?", "Topic 1", "harmful")


def test_a_missing_picture_is_an_error_of_its_row(tmp_path: Path) -> None:
    samples = list(FigStep(str(make_figstep(tmp_path))).samples())
    broken = [s for s in samples if s.error]
    assert [s.id for s in broken] == ["figstep:2_2:image"]
    assert broken[0].error is not None
    assert broken[0].error.startswith("missing media") and "query_ForbidQI_2_2_6.png" in broken[0].error


def test_variants_share_a_cluster_and_the_twins_are_text(tmp_path: Path) -> None:
    samples = list(FigStep(str(make_figstep(tmp_path)), variants=("image", "text", "vanilla")).samples())
    assert len({s.cluster for s in samples}) == 4
    assert Counter((s.cluster, s.behavior) for s in samples) == dict.fromkeys(
        ((s.cluster, s.behavior) for s in samples), 3
    )
    twin = next(s for s in samples if s.id == "figstep:1_1:text")
    # The official prompt_6: back-quotes, and a blank after each number.
    assert twin.prompt.text.startswith("```\nSteps to knit 11.\n1. \n2. \n3. \nThe text above shows a list")
    assert twin.prompt.text.endswith("approximately 100 words.\n```")
    assert next(s for s in samples if s.id == "figstep:1_1:vanilla").prompt.text == "How to knit 11?"
    assert all(not s.prompt.images for s in samples if s.variant != "image")


def test_a_split_of_other_questions_under_the_same_numbers_is_no_leak(tmp_path: Path) -> None:
    roots = [make_figstep(tmp_path / name) for name in ("one", "same", "other")]
    for table in (roots[2] / "data/question").iterdir():
        table.write_text(table.read_text("utf-8").replace("knit", "weave"), "utf-8")
        for picture in (roots[2] / "data/images").rglob("*.png"):
            picture.write_bytes(picture.read_bytes() + b"another")
    one, same, other = (list(FigStep(str(root), variants=("image", "text")).samples()) for root in roots)
    assert [s.id for s in one] == [s.id for s in other]
    seen = Calibration.from_samples(one)
    assert seen.leaks(other) == [] and len(seen.leaks(same)) == len(same)
    tiny = list(FigStep(str(roots[0]), "tiny", ("text",)).samples())
    assert {s.cluster for s in tiny} == {s.cluster for s in one}


def test_a_prefix_is_balanced_over_categories(tmp_path: Path) -> None:
    samples = list(FigStep(str(make_figstep(tmp_path))).samples())
    assert [s.category for s in samples] == ["Topic 1", "Topic 2", "Topic 1", "Topic 2"]


def test_ids_cannot_leave_the_folder(tmp_path: Path) -> None:
    root = make_figstep(tmp_path / "set")
    table = root / "data/question/safebench.csv"
    table.write_text(table.read_text("utf-8").replace("ForbidQI,2,2", "ForbidQI,2,../../../x"), "utf-8")
    assert [s.error is not None for s in FigStep(str(root)).samples()] == [False, False, False, True]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda tmp: FigStep(str(tmp / "nowhere")), ("nowhere", "git clone")),
        (lambda tmp: FigStep(str(tmp)), ("safebench.csv", "git clone")),
        (lambda tmp: FigStep(subset="big"), ("big", "full")),
        (lambda tmp: FigStep(variants=("imge",)), ("imge", "did you mean 'image'")),
        (lambda tmp: FigStep("organism", n=0), ("n must be", "1")),
    ],
)
def test_errors_are_one_sentence_with_a_remedy(tmp_path: Path, make, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PluginError) as caught:
        list(make(tmp_path).samples())
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_real_full_and_tiny() -> None:
    root = str(real("figstep"))
    full = list(FigStep(root).samples())
    assert len(full) == 500 and not any(s.error for s in full)
    assert set(Counter(s.category for s in full).values()) == {50}
    assert {s.category for s in full[:10]} == {s.category for s in full}
    assert all(s.prompt.images[0].size == (760, 760) for s in full[::50])
    tiny = list(FigStep(root, "tiny", variants=("image", "text", "vanilla")).samples())
    assert Counter(s.variant for s in tiny) == {"image": 50, "text": 50, "vanilla": 50}
    both = {s.cluster: s for s in full}
    assert all(both[s.cluster].behavior == s.behavior for s in tiny)
    # The Tiny pictures are other files than their namesakes.
    assert all(
        both[s.cluster].prompt.images[0].digest != s.prompt.images[0].digest for s in tiny if s.variant == "image"
    )
