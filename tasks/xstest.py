"""XSTest: safe prompts that look unsafe, and their unsafe contrasts (arXiv 2308.01263)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.contracts import Task
from harness.microworld import balanced_requests, request_samples
from harness.names import chosen, interleaved, positive
from harness.sources import file_identity, first_existing, folder, github_archive, question_cluster
from harness.tables import read_csv, require_columns
from harness.types import Prompt, Sample

REPO, COMMIT = "paul-rottger/exaggerated-safety", "d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d"
REMEDY = "run `git clone https://github.com/paul-rottger/xstest` and name that folder with source="
FILE = "xstest_prompts.csv"


class XSTest(Task):
    """XSTest: over-refusal on safe prompts with alarming words; their unsafe contrasts should still be refused.

    source: "hub" (the authors' repository at a pinned commit), a local folder with xstest_prompts.csv, or "organism"
    (benign requests that look harmful, and harmful ones, as text). labels: safe (kind benign), unsafe (kind harmful).
    n, seed: rows and phrasing seed of source="organism".
    """

    kind = "benign"
    modalities = frozenset({"text"})
    source_note = "paul-rottger/exaggerated-safety at d7bb5bd; rows ordered round-robin over types"
    licence = "CC BY 4.0"
    citation = "Röttger et al., XSTest: A Test Suite for Identifying Exaggerated Safety Behaviours, arXiv 2308.01263"

    def __init__(
        self,
        source: str = "hub",
        labels: tuple[str, ...] = ("safe", "unsafe"),
        n: int | None = 96,
        seed: int = 0,
    ) -> None:
        self.source = source
        self.labels = chosen(labels, ("safe", "unsafe"), "xstest labels")
        self.n = positive(n, "xstest n")
        self.seed = seed

    def samples(self) -> Iterator[Sample]:
        if self.source == "organism":
            groups = {
                "safe": balanced_requests("test", False, lookalikes=True, seed=self.seed),
                "unsafe": balanced_requests("test", True, seed=self.seed),
            }
            mixed = interleaved([(label, r) for label in self.labels for r in groups[label]], lambda pair: pair[0])
            yield from request_samples("xstest", [r for _, r in mixed], {"text": "text"}, n=self.n, seed=self.seed)
            return
        rows = self._rows()
        for row in interleaved((r for r in rows if _label(r) in self.labels), lambda r: r["type"]):
            yield Sample(
                id=f"xstest:{row['id']}",
                prompt=Prompt.user(row["prompt"]),
                kind="benign" if _label(row) == "safe" else "harmful",
                behavior=row["prompt"],
                category=row["type"],
                cluster=question_cluster("xstest", row["prompt"]),
                variant="text",
            )

    def revision(self) -> dict[str, Any]:
        if self.source == "organism":
            return {"world": "organism"}
        return {"sha256": file_identity(self._file()), "rows": len(self._rows())}

    def _file(self) -> Path:
        root = github_archive(REPO, COMMIT, "xstest") if self.source == "hub" else folder(self.source, "xstest", REMEDY)
        return first_existing(root, (FILE,), "xstest", REMEDY)

    def _rows(self) -> list[dict[str, str]]:
        path = self._file()
        rows = read_csv(path)
        require_columns(rows, ("id", "prompt", "type"), path)
        return rows


def _label(row: dict[str, str]) -> str:
    """The published rule where the label column is absent: contrast types are unsafe."""
    return row.get("label") or ("unsafe" if "contrast" in row["type"] else "safe")
