"""One cell of the plan: one arm on one task. Answers and verdicts are appended as they come, and only what is
missing is made."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.arms import Arm
from harness.contracts import Judge, Model, PluginError
from harness.judging import judge_all
from harness.progress import Progress
from harness.runstore import Run, line_key, verdict_key
from harness.serial import response_from_json, response_to_json, sample_to_json, verdict_to_json
from harness.types import GenerationConfig, Prompt, Response, Sample, digest

log = logging.getLogger("gapbench")


@dataclass
class Cell:
    """`reason` is set for a cell that is not applicable; then nothing else of it is used."""

    model: str
    arm: Arm
    task: str
    samples: Sequence[Sample]
    judges: dict[str, Judge]
    config: GenerationConfig
    key: str = ""
    reason: str | None = None

    @property
    def where(self) -> tuple[str, str, str]:
        return self.model, self.arm.label, self.task

    @property
    def name(self) -> str:
        return " / ".join(self.where)

    def judge_keys(self) -> dict[str, str]:
        return {label: digest([judge.spec(), judge.origin()]) for label, judge in self.judges.items()}

    def missing(self, run: Run) -> list[Sample]:
        """Samples without an answer, and those whose answer failed for a reason that may be gone."""
        if self.reason:
            return []
        journal = run.responses(*self.where)
        rows = ((s, journal.get(s.id, line_key(self.key, s.prompt.id))) for s in self.samples)
        return [s for s, row in rows if row is None or (row.get("error") and s.error is None)]

    def manifest(self, run: Run) -> dict[str, Any]:
        """The entry of the manifest: complete when every sample was answered, or could not be because of its own
        data."""
        entry: dict[str, Any] = dict(zip(("model", "defense", "task"), self.where, strict=True))
        if self.reason:
            return entry | {"status": "not_applicable", "reason": self.reason, "judges": {}, "n": 0, "failed": 0}
        missing = len(self.missing(run))
        return entry | {
            "judges": self.judge_keys(),
            "arm": self.key,
            "status": "incomplete" if missing else "complete",
            "reason": None,
            "n": len(self.samples),
            "failed": missing,
            "broken_samples": sum(s.error is not None for s in self.samples),
        }


def answer(run: Run, cell: Cell, todo: Sequence[Sample], progress: Progress, debug: bool = False) -> None:
    """Make the missing answers, a batch at a time; each batch is on disk before the next begins."""
    journal = run.responses(*cell.where)
    assert cell.arm.model is not None
    dead: str | None = None
    for batch in batches(todo, batch_size(cell.arm.model.root)):
        asked = [s for s in batch if s.error is None]
        if dead is None:
            try:
                responses = ask(cell.arm.model, [s.prompt for s in asked], cell.config)
            except PluginError as error:
                if debug:
                    raise
                dead = str(error)
        answers = {s.id: Response.failed(dead) for s in asked} if dead else _by_id(asked, responses)
        rows = []
        for sample in batch:
            response = answers.get(sample.id) or Response.failed(sample.error or "not answered")
            key = line_key(cell.key, sample.prompt.id)
            rows.append({"sample": sample.id, "key": key} | response_to_json(response))
        journal.append(rows)
        progress.advance(len(batch))


def judge(run: Run, cell: Cell) -> None:
    """Make the missing verdicts of every judge. A verdict that is unscored through the judge's own failure is
    asked again."""
    journal = run.responses(*cell.where)
    for label, judge_key in cell.judge_keys().items():
        verdicts = run.verdicts(*cell.where, label)
        todo = []
        for sample in cell.samples:
            row = journal.get(sample.id, line_key(cell.key, sample.prompt.id))
            if row is None:
                continue
            key = verdict_key(judge_key, sample_to_json(sample), row)
            old = verdicts.get(sample.id, key)
            if old is None or (old["outcome"] == "unscored" and not row.get("error")):
                todo.append((sample, key, row))
        for start in range(0, len(todo), 64):
            part = todo[start : start + 64]
            answers = judge_all(
                cell.judges[label], [s for s, _, _ in part], [response_from_json(r) for _, _, r in part]
            )
            verdicts.append(
                {"sample": s.id, "key": key, "response": row["key"]} | verdict_to_json(v)
                for (s, key, row), v in zip(part, answers, strict=True)
            )


def ask(model: Model, prompts: list[Prompt], config: GenerationConfig) -> list[Response]:
    """The model's answers, checked. When a batch raises, each of its rows is asked alone, so that one bad row
    fails alone."""
    if not prompts:
        return []
    began = time.perf_counter()
    try:
        answers = model.generate(prompts, config)
    except PluginError:
        raise
    except Exception as error:
        log.debug("a batch of %d failed", len(prompts), exc_info=True)
        if len(prompts) == 1:
            return [Response.failed(f"{type(error).__name__}: {error}")]
        return [ask(model, [p], config)[0] for p in prompts]
    if not isinstance(answers, list) or len(answers) != len(prompts):
        return [Response.failed(f"{model.name} did not answer every prompt of a batch")] * len(prompts)
    seconds = (time.perf_counter() - began) / len(prompts)
    return [_checked(a, seconds) for a in answers]


def _checked(answer: object, seconds: float) -> Response:
    """A response whose model kept no time gets its share of the batch."""
    if not isinstance(answer, Response):
        return Response.failed(f"the model answered with a {type(answer).__name__}, not a Response")
    if answer.cost.seconds:
        return answer
    trace = replace(answer.trace, cost=replace(answer.cost, seconds=seconds))
    return replace(answer, trace=trace)


def _by_id(samples: Sequence[Sample], responses: Sequence[Response]) -> dict[str, Response]:
    return {s.id: r for s, r in zip(samples, responses, strict=True)}


def batch_size(model: Model) -> int:
    """What the model batches by; an endpoint is given enough to keep its connections busy."""
    return int(getattr(model, "batch_size", 0) or 4 * getattr(model, "concurrency", 4))


def batches(samples: Sequence[Sample], size: int) -> Iterator[list[Sample]]:
    """Neighbours in size share a batch: little padding, and equal pictures together. Longest first, as memory runs
    out there."""
    ordered = sorted(samples, key=_extent, reverse=True)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _extent(sample: Sample) -> tuple[int, int, int]:
    prompt = sample.prompt
    text = sum(len(p.text) for m in prompt.messages for p in m.parts if hasattr(p, "text"))
    return len(prompt.media), sum(len(m.data) for m in prompt.media) // 4096, text
