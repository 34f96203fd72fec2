"""Where the optional real files are, and small synthetic datasets in the published formats (all rows made up here)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def real(name: str) -> Path:
    """A folder of real benchmark files; skips the test where it is absent."""
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"real files of {name} are not at {path}")
    return path


def png(colour: tuple[int, int, int] = (255, 255, 255)) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (4, 4), colour).save(buffer, format="PNG")
    return buffer.getvalue()


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return path


def make_figstep(root: Path, *, official: bool = True) -> Path:
    """Two categories with two tasks each; the picture of 2_2 is missing. CRLF, as in the Tiny file."""
    rows = [
        ["ForbidQI", c, t, f"Topic {c}", f"How to knit {c}{t}?", f"Steps to knit {c}{t}."]
        for c in (1, 2)
        for t in (1, 2)
    ]
    header = ["dataset", "category_id", "task_id", "category_name", "question", "instruction"]
    for name in ("safebench.csv", "SafeBench-Tiny.csv"):
        write_csv(root / ("data/question" if official else "") / name, header, rows, "\r\n")
    for folder in ("SafeBench", "SafeBench-Tiny"):
        images = root / ("data/images" if official else "") / folder
        images.mkdir(parents=True)
        for number, key in enumerate(("1_1", "1_2", "2_1")):
            (images / f"query_ForbidQI_{key}_6.png").write_bytes(png((number, 0, 0)))
    return root


def make_mmsafetybench(root: Path, scenarios: Sequence[str]) -> Path:
    """Ids 0 and 7 (not contiguous) in each scenario; loose pictures for id 0 alone."""
    questions = root / "processed_questions"
    questions.mkdir(parents=True)
    for scenario in scenarios:
        rows = {
            key: {
                "Question": f"plain {scenario} {key}?",
                "Changed Question": f"changed {scenario} {key}?",
                "Rephrased Question": f"rephrased {scenario} {key}?",
                "Rephrased Question(SD)": f"rephrased for a photo {scenario} {key}?",
                "Key Phrase": "yarn",
                "Phrase Type": "Product",
                "GPT-Pred": "",
            }
            for key in ("0", "7")
        }
        (questions / f"{scenario}.json").write_text(json.dumps(rows), "utf-8")
        for number, kind in enumerate(("SD", "TYPO", "SD_TYPO")):
            folder = root / "imgs" / scenario / kind
            folder.mkdir(parents=True)
            (folder / "0.jpg").write_bytes(png((number, len(scenario), 0)))
    tiny = [{"Scenario": s, "Sampled_ID_List": [7]} for s in scenarios]
    (root / "TinyVersion_ID_List.json").write_text(json.dumps(tiny), "utf-8")
    return root
