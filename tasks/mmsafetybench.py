"""MM-SafetyBench: query-relevant images around harmful questions (arXiv 2311.17600)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.contracts import PluginError, Task
from harness.microworld import balanced_requests, request_samples
from harness.names import chosen, interleaved, one_of, positive, suggestion
from harness.sources import file_identity, first_existing, folder, github_archive, hub_snapshot, question_cluster
from harness.tables import read_json, read_parquet
from harness.types import Image, MediaError, Prompt, Sample

REPO, COMMIT = "syk1052/MM-SafetyBench", "b80eedea3db312c09ded2082813390f68e750ef3"
HUB = "PKU-Alignment/MM-SafetyBench"
REMEDY = (
    "get the questions from https://github.com/isXinLiu/MM-SafetyBench and the images from the archive that its README "
    "links (unpacked as imgs/), and name the folder of both with source="
)
# Folder name, misspelt as published -> normal form.
SCENARIOS = {
    "01-Illegal_Activitiy": "Illegal Activity",
    "02-HateSpeech": "Hate Speech",
    "03-Malware_Generation": "Malware Generation",
    "04-Physical_Harm": "Physical Harm",
    "05-EconomicHarm": "Economic Harm",
    "06-Fraud": "Fraud",
    "07-Sex": "Sex",
    "08-Political_Lobbying": "Political Lobbying",
    "09-Privacy_Violence": "Privacy Violence",
    "10-Legal_Opinion": "Legal Opinion",
    "11-Financial_Advice": "Financial Advice",
    "12-Health_Consultation": "Health Consultation",
    "13-Gov_Decision": "Gov Decision",
}
# Advice and opinion scenarios, where "safe" means a disclaimer: left out by ECSO, HiddenDetect and others.
ADVICE = frozenset({"08", "10", "11", "12", "13"})
# Which question goes with which image: the official code (the paper's text differs for TYPO).
QUESTION = {
    "SD": "Rephrased Question(SD)",
    "TYPO": "Rephrased Question",
    "SD_TYPO": "Rephrased Question",
    "text": "Changed Question",
}
ORGANISM = {"SD": "picture", "TYPO": "typographic", "SD_TYPO": "picture_typographic", "text": "text"}


class MMSafetyBench(Task):
    """MM-SafetyBench: harmful questions whose subject is a generated picture, typography, or both.

    source: a local folder (processed_questions/ and imgs/{scenario}/{type}/{id}.jpg), "hub" (questions from GitHub,
    images from the Hugging Face copy) or "organism". subset: full (1,680 questions), tiny (168) or harmful8 (972,
    without the advice scenarios). variants: SD, TYPO, SD_TYPO, text. n, seed: rows and layouts of source="organism".
    """

    kind = "harmful"
    source_note = (
        "questions at syk1052/MM-SafetyBench b80eede; rows ordered round-robin over scenarios; report macro and pooled"
    )
    licence = "CC BY-NC 4.0"
    citation = (
        "Liu et al., MM-SafetyBench: A Benchmark for Safety Evaluation of Multimodal Large Language Models, "
        "arXiv 2311.17600"
    )

    def __init__(
        self,
        source: str = "hub",
        variants: tuple[str, ...] = ("SD", "TYPO", "SD_TYPO", "text"),
        subset: str = "full",
        n: int | None = 96,
        seed: int = 0,
    ) -> None:
        self.source = source
        self.variants = chosen(variants, tuple(QUESTION), "mmsafetybench variants")
        self.subset = one_of(subset, ("full", "tiny", "harmful8"), "mmsafetybench subset")
        self.n = positive(n, "mmsafetybench n")
        self.seed = seed

    def samples(self) -> Iterator[Sample]:
        if self.source == "organism":
            requests = balanced_requests("test", True, seed=self.seed)
            shown = {v: ORGANISM[v] for v in self.variants}
            yield from request_samples("mmsafetybench", requests, shown, n=self.n, seed=self.seed)
            return
        root = self._root()
        rows = list(self._rows(root))
        images = self._images(root)
        for scenario, key, row in interleaved(rows, lambda r: r[0]):
            for variant in self.variants:
                yield _sample(scenario, key, row, variant, images)

    def revision(self) -> dict[str, Any]:
        if self.source == "organism":
            return {"world": "organism"}
        files = [_question_file(self._root(), s) for s in self._scenarios()]
        return {"sha256": file_identity(*files), "rows": sum(len(read_json(f)) for f in files)}

    def _root(self) -> Path:
        if self.source == "hub":
            return github_archive(REPO, COMMIT, "mmsafetybench")
        return folder(self.source, "mmsafetybench", REMEDY)

    def _scenarios(self) -> list[str]:
        return [s for s in SCENARIOS if self.subset != "harmful8" or s[:2] not in ADVICE]

    def _rows(self, root: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
        wanted = _tiny(root) if self.subset == "tiny" else None
        for scenario in self._scenarios():
            path = _question_file(root, scenario)
            rows = read_json(path)
            for key in rows if wanted is None else wanted.get(scenario, []):
                if key not in rows:
                    raise PluginError(
                        f"{path} has no question {key!r}, which the Tiny list names: get both files again"
                    )
                for column in ("Question", *(QUESTION[v] for v in self.variants)):
                    if column not in rows[key]:
                        hint = suggestion(column, rows[key])
                        raise PluginError(f"{path} question {key!r} has no {column!r}{hint}: get the file again")
                yield scenario, key, rows[key]

    def _images(self, root: Path) -> _Images:
        if self.source != "hub" or set(self.variants) == {"text"}:
            return _Images(root)
        return _Images(hub_snapshot(HUB, [f"data/*/{v}.parquet" for v in self.variants if v != "text"], HUB))


class _Images:
    """Pictures by scenario, type and id: loose files of the official archive, or the parquet files of the hub copy."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tables: dict[Path, dict[str, bytes]] = {}

    def get(self, scenario: str, variant: str, key: str) -> Image:
        parquet = self.root / "data" / scenario[3:] / f"{variant}.parquet"
        if parquet.exists():
            return self._from_parquet(parquet, key)
        tops = [self.root / name for name in ("imgs", "data/imgs")]
        top = next((t for t in tops if t.exists()), tops[0])
        image: Image = Image.from_file(top / scenario / variant / f"{key}.jpg")
        return image

    def _from_parquet(self, path: Path, key: str) -> Image:
        if path not in self.tables:
            rows = read_parquet(path, ["id", "image"])
            self.tables = {path: {str(r["id"]): (r["image"] or {}).get("bytes") or b"" for r in rows}}
        data = self.tables[path].get(key, b"")
        if not data:
            raise MediaError(f"{path} has no picture for question {key}")
        return Image(data)


def _question_file(root: Path, scenario: str) -> Path:
    names = [f"{top}{scenario}.json" for top in ("data/processed_questions/", "processed_questions/", "")]
    return first_existing(root, names, "mmsafetybench", REMEDY)


def _tiny(root: Path) -> dict[str, list[str]]:
    names = ("TinyVersion_ID_List.json", "data/TinyVersion_ID_List.json")
    listed = read_json(first_existing(root, names, "mmsafetybench subset=tiny", REMEDY))
    return {entry["Scenario"]: [str(i) for i in entry["Sampled_ID_List"]] for entry in listed}


def _sample(scenario: str, key: str, row: dict[str, str], variant: str, images: _Images) -> Sample:
    question, error = row[QUESTION[variant]], None
    prompt = Prompt.user(question)
    if variant != "text":
        try:
            # Keys come from a file: anything but digits in them could leave the folder.
            if not key.isdigit():
                raise MediaError(f"question id {key!r} is not a number")
            prompt = Prompt.user(question, images.get(scenario, variant, key))
        except MediaError as problem:
            error = f"missing media: {problem}"
    return Sample(
        id=f"mmsafetybench:{scenario}:{key}:{variant}",
        prompt=prompt,
        kind="harmful",
        behavior=row["Question"],
        category=SCENARIOS[scenario],
        cluster=question_cluster("mmsafetybench", row["Question"]),
        variant=variant,
        error=error,
    )
