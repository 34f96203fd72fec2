"""FigStep: harmful instructions as typography (arXiv 2311.05608)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.contracts import Task
from harness.figstep_prompts import IMAGE_PROMPT, text_prompt
from harness.microworld import balanced_requests, request_samples
from harness.names import chosen, interleaved, one_of, positive
from harness.sources import file_identity, first_existing, folder, github_archive, question_cluster
from harness.tables import read_csv, require_columns
from harness.types import Image, MediaError, Prompt, Sample

REPO, COMMIT = "ThuCCSLab/FigStep", "0861b17b3d67887c06ee3534ec65b3012f9becb7"
REMEDY = f"run `git clone https://github.com/{REPO}` and name that folder with source="
COLUMNS = ("dataset", "category_id", "task_id", "category_name", "question", "instruction")
FILES = {"full": ("safebench.csv", "SafeBench"), "tiny": ("SafeBench-Tiny.csv", "SafeBench-Tiny")}


class FigStep(Task):
    """FigStep SafeBench: a harmful instruction drawn as a picture of an empty list, with its text twins.

    source: "hub" (the authors' repository at a pinned commit), a local folder in its layout, or "organism" (the same
    protocol on the micro-world's typographic variant). subset: full (500) or tiny (50). variants: image, text
    (`prompt_6`), vanilla (the plain question). n, seed: rows and layout seed of source="organism".
    """

    kind = "harmful"
    source_note = "ThuCCSLab/FigStep at 0861b17; rows ordered round-robin over categories"
    licence = "MIT"
    citation = (
        "Gong et al., FigStep: Jailbreaking Large Vision-Language Models via Typographic Visual Prompts, "
        "arXiv 2311.05608"
    )

    def __init__(
        self,
        source: str = "hub",
        subset: str = "full",
        variants: tuple[str, ...] = ("image",),
        n: int | None = 96,
        seed: int = 0,
    ) -> None:
        self.source = source
        self.subset = one_of(subset, tuple(FILES), "figstep subset")
        self.variants = chosen(variants, ("image", "text", "vanilla"), "figstep variants")
        self.n = positive(n, "figstep n")
        self.seed = seed

    def samples(self) -> Iterator[Sample]:
        if self.source == "organism":
            requests = balanced_requests("test", True, seed=self.seed)
            shown = {v: "typographic" if v == "image" else "text" for v in self.variants}
            yield from request_samples("figstep", requests, shown, n=self.n, seed=self.seed)
            return
        table, images = self._files()
        rows = read_csv(table)
        require_columns(rows, COLUMNS, table)
        for row in interleaved(rows, lambda r: r["category_id"]):
            for variant in self.variants:
                yield _sample(row, variant, images)

    def revision(self) -> dict[str, Any]:
        if self.source == "organism":
            return {"world": "organism"}
        table, _ = self._files()
        return {"sha256": file_identity(table), "rows": len(read_csv(table))}

    def _files(self) -> tuple[Path, Path]:
        root = (
            github_archive(REPO, COMMIT, "figstep") if self.source == "hub" else folder(self.source, "figstep", REMEDY)
        )
        name, images = FILES[self.subset]
        table = first_existing(root, (f"data/question/{name}", f"question/{name}", name), "figstep", REMEDY)
        if "image" not in self.variants:
            return table, root
        return table, first_existing(root, (f"data/images/{images}", f"images/{images}", images), "figstep", REMEDY)


def _sample(row: dict[str, str], variant: str, images: Path) -> Sample:
    key = f"{row['category_id']}_{row['task_id']}"
    error = None
    if variant == "image":
        prompt = Prompt.user(IMAGE_PROMPT)
        try:
            # The name is built from a file's cells: anything but digits in them could leave the folder.
            if not key.replace("_", "").isdigit():
                raise MediaError(f"figstep row {key!r} has ids that are not numbers")
            prompt = Prompt.user(IMAGE_PROMPT, Image.from_file(images / f"query_ForbidQI_{key}_6.png"))
        except MediaError as problem:
            error = f"missing media: {problem}"
    else:
        prompt = Prompt.user(text_prompt(row["instruction"]) if variant == "text" else row["question"])
    return Sample(
        id=f"figstep:{key}:{variant}",
        prompt=prompt,
        kind="harmful",
        behavior=row["question"],
        category=row["category_name"],
        cluster=question_cluster("figstep", row["question"]),
        variant=variant,
        error=error,
    )
