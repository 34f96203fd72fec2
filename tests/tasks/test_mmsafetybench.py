"""MM-SafetyBench: which question goes with which picture, gaps in the ids, subsets and missing media."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.contracts import PluginError
from harness.testing import check_task
from harness.types import Sample
from tasks.mmsafetybench import SCENARIOS, MMSafetyBench
from tests.tasks.shared import make_mmsafetybench, png, real


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_mmsafetybench(tmp_path / "set", tuple(SCENARIOS))


def by_id(task: MMSafetyBench) -> dict[str, Sample]:
    return {s.id: s for s in task.samples()}


def test_each_picture_has_its_question(folder: Path) -> None:
    found = by_id(MMSafetyBench(str(folder)))
    at = "mmsafetybench:02-HateSpeech:0:"
    assert found[f"{at}SD"].prompt.text == "rephrased for a photo 02-HateSpeech 0?"
    assert found[f"{at}TYPO"].prompt.text == "rephrased 02-HateSpeech 0?"
    assert found[f"{at}SD_TYPO"].prompt.text == "rephrased 02-HateSpeech 0?"
    assert found[f"{at}text"].prompt.text == "changed 02-HateSpeech 0?"
    assert {found[f"{at}{v}"].behavior for v in ("SD", "TYPO", "SD_TYPO", "text")} == {"plain 02-HateSpeech 0?"}
    assert found[f"{at}SD"].prompt.images[0].data == png((0, len("02-HateSpeech"), 0))
    clusters = {(s.cluster, s.behavior) for s in found.values()}
    assert len(clusters) == len({cluster for cluster, _ in clusters}) == 13 * 2


def test_clusters_follow_the_question_and_not_its_number(tmp_path: Path) -> None:
    folders = [make_mmsafetybench(tmp_path / name, tuple(SCENARIOS)) for name in ("one", "other")]
    for path in (folders[1] / "processed_questions").iterdir():
        path.write_text(path.read_text("utf-8").replace("plain", "quite another"), "utf-8")
    one, other = (by_id(MMSafetyBench(str(f))) for f in folders)
    assert one.keys() == other.keys()
    assert not {s.cluster for s in one.values()} & {s.cluster for s in other.values()}


def test_missing_pictures_are_counted_not_dropped(folder: Path) -> None:
    found = list(MMSafetyBench(str(folder)).samples())
    assert len(found) == 13 * 2 * 4
    missing = [s for s in found if s.error]
    assert {s.id.split(":")[2] for s in missing} == {"7"} and len(missing) == 13 * 3
    assert all(s.variant != "text" for s in missing)


def test_names_are_normal_and_paths_are_as_published(folder: Path) -> None:
    found = list(MMSafetyBench(str(folder)).samples())
    assert "Illegal Activity" in {s.category for s in found}
    assert any(s.id == "mmsafetybench:01-Illegal_Activitiy:0:text" for s in found)


def test_subsets(folder: Path) -> None:
    eight = list(MMSafetyBench(str(folder), ("text",), "harmful8").samples())
    assert len({s.category for s in eight}) == 8
    assert not {"Legal Opinion", "Political Lobbying", "Gov Decision"} & {s.category for s in eight}
    tiny = list(MMSafetyBench(str(folder), ("text",), "tiny").samples())
    assert {s.id.split(":")[2] for s in tiny} == {"7"} and len(tiny) == 13


def test_the_hub_copy_of_the_pictures(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    import pyarrow.parquet

    import tasks.mmsafetybench as module

    hub = tmp_path / "hub"
    for scenario in SCENARIOS:
        path = hub / "data" / scenario[3:] / "SD.parquet"
        path.parent.mkdir(parents=True)
        rows = [{"id": "0", "question": "q", "image": {"bytes": png((9, 9, 9)), "path": None}}]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    monkeypatch.setattr(module, "github_archive", lambda *_: folder)
    monkeypatch.setattr(module, "hub_snapshot", lambda *_: hub)
    found = list(MMSafetyBench("hub", ("SD",)).samples())
    assert {s.prompt.images[0].data for s in found if not s.error} == {png((9, 9, 9))}
    assert sum(s.error is not None for s in found) == 13


def test_what_is_wrong_is_named(folder: Path) -> None:
    (folder / "processed_questions" / "06-Fraud.json").write_text('{"0": {"Question": "x"', "utf-8")
    with pytest.raises(PluginError, match=r"06-Fraud\.json is not valid JSON"):
        list(MMSafetyBench(str(folder)).samples())
    (folder / "processed_questions" / "06-Fraud.json").unlink()
    with pytest.raises(PluginError, match=r"06-Fraud\.json.*source="):
        list(MMSafetyBench(str(folder)).samples())


def test_real_questions() -> None:
    root = str(real("mmsafetybench"))
    check_task(MMSafetyBench(root, ("text",)))
    full = list(MMSafetyBench(root).samples())
    assert len(full) == 1680 * 4 and len({s.id for s in full}) == 1680 * 4
    assert sum(s.error is not None for s in full) == 1680 * 3
    sizes = Counter(s.category for s in full if s.variant == "text")
    assert list(sizes.values()) == [97, 163, 44, 144, 122, 154, 109, 153, 139, 130, 167, 109, 149]
    assert len(list(MMSafetyBench(root, ("text",), "harmful8").samples())) == 972
    tiny = Counter(s.category for s in MMSafetyBench(root, ("text",), "tiny").samples())
    assert list(tiny.values()) == [10, 16, 5, 14, 12, 15, 11, 15, 14, 13, 17, 11, 15]
