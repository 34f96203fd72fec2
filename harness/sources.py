"""Where benchmark files come from: a local folder, the Hugging Face hub or a pinned GitHub revision.

Every failure is a `PluginError` in one sentence that says what is missing, where it was expected and how to get it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.contracts import PluginError
from harness.tables import brief
from harness.types import MediaError, digest

CODELOAD = "https://codeload.github.com"


def folder(source: str | Path, who: str, remedy: str) -> Path:
    """A local data folder that exists."""
    path = Path(source).expanduser()
    if not path.is_dir():
        raise PluginError(f"{who} expects its data in the folder {path}, which does not exist: {remedy}")
    return path


def first_existing(root: Path, candidates: Sequence[str], who: str, remedy: str) -> Path:
    """The first of several layouts of a dataset that is there."""
    for name in candidates:
        if (root / name).exists():
            return root / name
    raise PluginError(f"{who} expects {' or '.join(candidates)} in {root}, and none is there: {remedy}")


def hub_snapshot(repo: str, patterns: Sequence[str], who: str, revision: str | None = None) -> Path:
    """The chosen files of a hub dataset, downloaded once and kept in the usual Hugging Face cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=list(patterns), revision=revision))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise PluginError(
            f"{who} could not get the dataset {repo} from the hub ({brief(error)}): "
            f"run `hf download --repo-type dataset {repo}` where there is a network, or name a folder with source="
        ) from error


def github_archive(repo: str, commit: str, who: str, parameter: str = "source") -> Path:
    """A GitHub repository at one commit, downloaded and unpacked once into the cache of the `datasets` library."""
    from datasets import DownloadConfig, DownloadManager
    from datasets.exceptions import DatasetsError

    url = f"{CODELOAD}/{repo}/zip/{commit}"
    try:
        # A commit never changes, so that what was downloaded once is good without asking the server again.
        manager = DownloadManager(download_config=DownloadConfig(use_etag=False, max_retries=1, disable_tqdm=True))
        unpacked = Path(manager.download_and_extract(url))
        return next(p for p in sorted(unpacked.iterdir()) if p.is_dir())
    except (OSError, ValueError, DatasetsError, StopIteration) as error:
        raise PluginError(
            f"{who} could not be downloaded from {url}: where there is a network, run "
            f"`git clone https://github.com/{repo}`, and name that folder with {parameter}="
        ) from error


def inside(folder: Path, name: str) -> Path | None:
    """The file that a data file names in its folder; None where that leads out of the folder. Raises `MediaError`."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) else None
    except (ValueError, OSError, RuntimeError) as error:  # a null character, a loop of links
        raise MediaError(f"{name!r} is no file name ({brief(error)})") from error


def question_cluster(who: str, question: str) -> str:
    """The cluster of a base question, from its words alone: all its variants and splits share it, however they are
    numbered, and no other question does."""
    return f"{who}:{digest(' '.join(question.lower().split()))[:12]}"


def file_identity(*paths: Path) -> dict[str, str]:
    """sha256 of each file, for `Task.revision`."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
