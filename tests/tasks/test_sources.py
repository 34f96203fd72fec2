"""Getting data: a real download over HTTP, the hub's cache, and one sentence where there is neither."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness.sources
from harness.contracts import PluginError
from harness.names import chosen, interleaved
from tasks.figstep import COMMIT, FigStep
from tasks.mmmu import MMMU
from tasks.xstest import XSTest
from tests.tasks.shared import make_figstep


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """The test's output stays readable."""


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as GitHub's archives are; downloads land in a cache of the test."""
    import datasets.config

    served = tmp_path / "served"
    served.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(harness.sources, "CODELOAD", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "EXTRACTED_DATASETS_PATH", tmp_path / "unpacked")
    yield served
    server.shutdown()
    server.server_close()


def test_a_pinned_archive_is_downloaded_and_read(github: Path, tmp_path: Path) -> None:
    root = make_figstep(tmp_path / f"FigStep-{COMMIT}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in root.rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    target = github / "ThuCCSLab" / "FigStep" / "zip" / COMMIT
    target.parent.mkdir(parents=True)
    target.write_bytes(packed.getvalue())
    assert [s.id for s in FigStep("hub").samples()] == [s.id for s in FigStep(str(root)).samples()]
    target.unlink()
    assert len(list(FigStep("hub").samples())) == 4  # from the cache


def test_a_failing_download_is_one_sentence(github: Path) -> None:
    with pytest.raises(PluginError, match="xstest could not be downloaded .*git clone.*source="):
        list(XSTest("hub").samples())


def test_no_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PluginError, match="hf download --repo-type dataset MMMU/MMMU") as caught:
        list(MMMU().samples())
    assert "\n" not in str(caught.value)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_interleaving_keeps_all_rows_and_balances_prefixes(items: list[tuple[str, int]]) -> None:
    mixed = interleaved(items, lambda pair: pair[0])
    assert sorted(mixed) == sorted(items)
    for group in "abc":
        assert [x for x in mixed if x[0] == group] == [x for x in items if x[0] == group]
    smallest = min((sum(x[0] == g for x in items) for g in {x[0] for x in items}), default=0)
    head = mixed[: smallest * len({x[0] for x in items})]
    assert len({sum(x[0] == g for x in head) for g in {x[0] for x in items}}) <= 1


@pytest.mark.parametrize("value", ["a,b", ["a", "b"], ("a", "b"), "a , b"])
def test_names_from_anywhere(value: str | list[str]) -> None:
    assert chosen(value, ("a", "b", "c"), "x") == ("a", "b")


@pytest.mark.parametrize("value", ["", [], "a,a", "a,d"])
def test_bad_names_are_refused(value: str | list[str]) -> None:
    with pytest.raises(PluginError, match="^x "):
        chosen(value, ("a", "b"), "x")
