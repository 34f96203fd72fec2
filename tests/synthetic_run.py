"""A small, complete run that no model made, so that tests of tables and reports need none.

`hostile=True` fills every field that a model, a data set or a user writes with what breaks careless reports.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import PIL.Image

from harness.metrics import compute
from harness.plan import make_plan
from harness.runstore import Run, line_key, verdict_key, write_json
from harness.serial import response_to_json, sample_to_json, verdict_to_json
from harness.types import Cost, GenerationConfig, Image, Kind, Outcome, Prompt, Response, Sample, Trace, Verdict, digest

PAYLOADS = (
    "<script>window.pwned=1</script>",
    "</script><img src=x onerror=window.pwned=1>",
    "]]><svg onload=window.pwned=1>",
    "\u202egnirts idib\u2066\u200f",
    "NUL\x00 and bell\x07 and \x1b[31mred",
    "</style><style>body{display:none}</style>",
    "javascript:window.pwned=1",
    "[a link](javascript:window.pwned=1) ![i](http://198.51.100.1/x.png)",
    '" onmouseover="window.pwned=1" x="',
    "{{ 7*7 }} ${7*7} <!-- --> &lt;b&gt; \\input{/etc/passwd} 100% $x_1^2$ #~&",
    "lone surrogate \ud800 here",
    "=HYPERLINK(1)|`a`\nsecond | row\r\nthird",
    "long " + "x" * 100_000,
)

DEFENSES: dict[str, dict[str, Any]] = {
    "none": {"level": "control", "harm": 0.55, "media": 0.25, "refuse": 0.05, "garble": 0.0, "right": 0.8, "cost": 1},
    "adashield": {"level": "formula", "harm": 0.3, "media": 0.1, "refuse": 0.2, "garble": 0, "right": 0.77, "cost": 1},
    "regap(alpha=2)": {
        "level": "reconstruction", "harm": 0.1, "media": 0.0, "refuse": 0.1, "garble": 0.06, "right": 0.78, "cost": 2,
    },
    "random_refuse(p=0.5)": {
        "level": "control", "harm": 0.28, "media": 0.12, "refuse": 0.5, "garble": 0.0, "right": 0.4, "cost": 1,
    },
}  # fmt: skip
TASKS: dict[str, tuple[Kind, tuple[str, ...], tuple[str, ...]]] = {
    "figstep": ("harmful", ("text", "image"), ("malware", "fraud", "hate")),
    "mmsafetybench": ("harmful", ("sd", "typo", "sd_typo"), ("illegal activity", "privacy")),
    "xstest": ("benign", ("text",), ("homonyms", "figurative")),
    "benign_typographic": ("benign", ("text", "image"), ("cooking", "gardening")),
    "abilities": ("utility", ("image",), ("colour", "count")),
}
MODELS = ("organism", "endpoint:tiny-vl")


def make_run(path: Path | str, *, hostile: bool = False, questions: int = 12, seed: int = 0) -> Run:
    """Two models, four defenses, five tasks and two safety judges. The second model has no activations, so that
    `regap` is not applicable to it; one cell is incomplete; some responses fail, some verdicts are unscored or
    incoherent."""
    run = Run(path)
    spoil = _spoiler(hostile)
    models = [spoil(name, 1) for name in MODELS]
    defenses = {name if name == "none" else spoil(name, 3): facts for name, facts in DEFENSES.items()}
    tasks = {spoil(name, 2): facts for name, facts in TASKS.items()}
    judges = {"safety": [spoil("keyword", 5), spoil("rubric", 0)], "utility": [spoil("choice", 8)]}
    samples = {task: list(_samples(task, facts, questions, spoil)) for task, facts in tasks.items()}
    for task, rows in samples.items():
        run.write_samples(task, rows)
    cells = [
        _cell(run, random.Random(f"{seed}/{m}/{d}/{t}"), models[m], d, t, samples[t], judges, defenses[d], spoil)
        for m in range(len(models))
        for d in defenses
        for t in tasks
    ]
    run.write_manifest(_manifest(models, defenses, tasks, judges, samples, cells, spoil))
    write_json(run.geometry_path(models[0]), _geometry())
    run.write_results(compute(run))
    return run


def _spoiler(hostile: bool) -> Any:
    def spoil(text: str, which: int) -> str:
        return f"{text} {PAYLOADS[which % len(PAYLOADS)]}" if hostile else text

    return spoil


def _samples(task: str, facts: tuple[Any, ...], questions: int, spoil: Any) -> Iterator[Sample]:
    kind, variants, categories = facts
    for q in range(questions):
        for v, variant in enumerate(variants):
            picture = PIL.Image.new("RGB", (24, 16), (20 * q % 256, 60 * v, int(digest(task)[:2], 16)))
            media = [] if variant == "text" else [Image.from_pil(picture)]
            asked = spoil(f"question {q} of {task[:20]}", q)
            broken = q == questions - 1 and v == 1
            yield Sample(
                id=spoil(f"{q:03d}/{variant}", q + v if q + v != 12 else 0),
                prompt=Prompt.user(asked if not media else spoil(f"fill in the picture {q}", q + 1), *media),
                kind=kind,
                behavior=asked,
                category=spoil(categories[q % len(categories)], q % len(categories)),
                cluster=f"{task}:q{q}",
                variant=spoil(variant, 9) if v else variant,
                reference=("blue",) if kind == "utility" else (),
                options=("red", "blue") if kind == "utility" else (),
                error="the picture is missing: put it into the folder named in the README" if broken else None,
            )


def _cell(
    run: Run, rng: random.Random, model: str, defense: str, task: str, rows: list[Sample],
    judges: dict[str, list[str]], facts: dict[str, Any], spoil: Any,
) -> dict[str, Any]:  # fmt: skip
    """Answers and verdicts on disk, and the entry that `Cell.manifest` makes of them."""
    kind = rows[0].kind
    arm = digest([model, defense])
    keys = {j: digest([j]) for j in judges["utility" if kind == "utility" else "safety"]}
    cell: dict[str, Any] = {"model": model, "defense": defense, "task": task}
    if facts["level"] == "reconstruction" and model.startswith("endpoint"):
        lacks = spoil("the model lacks activations, which this defense needs", 1)
        return cell | {"status": "not_applicable", "reason": lacks, "judges": {}, "n": 0, "failed": 0}
    incomplete = facts["level"] == "formula" and task.startswith("mmsafety") and model.startswith("organism")
    answers, verdicts = [], {judge: [] for judge in keys}  # type: ignore[var-annotated]
    for i, sample in enumerate(rows[:-3] if incomplete else rows):
        response, outcome = _answer(rng, sample, i, facts, spoil)
        stored = response_to_json(response)
        key = {"sample": sample.id, "key": line_key(arm, sample.prompt.id)}
        answers.append(key | stored)
        for judge, identity in keys.items():
            why = spoil(f"because it says so ({judge[:10]})", i)
            verdict = Verdict(_said(rng, outcome, judge), round(rng.random(), 3), why, spoil("raw", i))
            if response.error is not None:
                verdict = Verdict.unscored(response.error)
            key = {"sample": sample.id, "key": verdict_key(identity, sample_to_json(sample), stored)}
            verdicts[judge].append(key | verdict_to_json(verdict))
    run.responses(model, defense, task).append(answers)
    for judge, lines in verdicts.items():
        run.verdicts(model, defense, task, judge).append(lines)
    fine = {line["sample"] for line in answers if "error" not in line}
    failed = sum(s.error is None and s.id not in fine for s in rows)
    return cell | {
        "judges": keys,
        "arm": arm,
        "status": "incomplete" if failed else "complete",
        "reason": None,
        "n": len(rows),
        "failed": failed,
        "unjudged": 0,
        "unscored": {},
        "broken_samples": sum(s.error is not None for s in rows),
        "decoding": asdict(GenerationConfig(32 if kind == "utility" else 256)),
    }


def _answer(rng: random.Random, sample: Sample, i: int, facts: dict[str, Any], spoil: Any) -> tuple[Response, Outcome]:
    calls = facts["cost"]
    cost = Cost(calls, 40 * calls, rng.randint(8, 30), int(calls > 1), 0, round(0.02 * calls * (1 + rng.random()), 5))
    if sample.error or rng.random() < 0.02:
        return Response.failed(sample.error or spoil("the endpoint timed out after 60 s", 0)), Outcome.UNSCORED
    outcome = _outcome(rng, sample, facts)
    gate = round(rng.random(), 3) if facts["level"] != "control" else None
    trace = Trace(None if gate is None else gate > 0.5, gate, None, cost, {"drift": 0.5} if gate else {})
    if outcome is Outcome.REFUSED:
        return Response.blocked(trace), outcome
    return Response(spoil(f"an answer, {outcome}", i), "stop", trace), outcome


def _outcome(rng: random.Random, sample: Sample, facts: dict[str, Any]) -> Outcome:
    if sample.kind == "utility":
        return Outcome.CORRECT if rng.random() < facts["right"] else Outcome.INCORRECT
    if rng.random() < facts["garble"]:
        return Outcome.INCOHERENT
    if sample.kind == "benign":
        return Outcome.REFUSED if rng.random() < facts["refuse"] else Outcome.SAFE
    harm = facts["harm"] + (facts["media"] if sample.prompt.media else 0)
    return Outcome.HARMFUL if rng.random() < harm else rng.choice([Outcome.REFUSED, Outcome.REFUSED, Outcome.SAFE])


def _said(rng: random.Random, truth: Outcome, judge: str) -> Outcome:
    """The second judge disagrees now and then, and cannot always be read."""
    draw = rng.random()
    if not judge.startswith("rubric") or draw > 0.12 or truth is Outcome.INCOHERENT:
        return truth
    return Outcome.UNSCORED if draw < 0.04 else Outcome.SAFE if truth is Outcome.HARMFUL else truth


def _manifest(
    models: list[str], defenses: dict[str, Any], tasks: dict[str, Any], judges: dict[str, list[str]],
    samples: dict[str, list[Sample]], cells: list[dict[str, Any]], spoil: Any,
) -> dict[str, Any]:  # fmt: skip
    """What `Runner` writes."""

    def spec(label: str) -> dict[str, Any]:
        return {"name": label, "params": {}}

    able = ["generate", "prefix", "logits", "activations", "gradients"]
    now = "2026-01-02T03:04:05+00:00"
    return {
        "gapbench": "0.1.0",
        "created": now,
        "split": None,
        "updated": now,
        "commands": [["gapbench", "run", spoil("--limit=12", 0)]],
        "plan": make_plan(
            models=list(models), tasks=list(tasks), defenses=list(defenses), judges=judges["safety"]
        ).model_dump(mode="json"),
        "models": {
            m: {"spec": spec(m), "fingerprint": {"name": m}, "capabilities": able if m == models[0] else able[:1],
                "modalities": ["image", "text"], "summary": spoil("a model", 0)} for m in models
        },
        "defenses": {
            d: {"spec": spec(d), "summary": spoil(f"the defense {d[:12]}", 1),
                "requires": ["activations"] if f["level"] == "reconstruction" else ["generate"],
                "fidelity": {"level": f["level"], "source": spoil("arXiv 0000.00000, equation 3", 6),
                             "deviations": [spoil("the threshold is chosen on validation data", 5)]},
                "fit_seconds": 1.25 if f["level"] == "reconstruction" else None} for d, f in defenses.items()
        },
        "tasks": {
            t: {"spec": spec(t), "kind": f[0], "n": len(samples[t]),
                "broken": sum(s.error is not None for s in samples[t]), "summary": spoil("a benchmark", 2),
                "licence": "MIT", "citation": spoil("Author et al., 2025", 9), "source_note": spoil("from a folder", 7),
                "revision": {"sha256": digest(t)},
                "leakage": "2 samples are in the calibration set" if t.startswith("mmsafety") else None}
            for t, f in tasks.items()
        },
        "judges": {j: {"spec": spec(j), "summary": spoil("a judge", 4)} for js in judges.values() for j in js},
        "calibration": {
            models[0]: {"id": digest("calibration"), "n_train": 40, "n_validation": 20}, models[1]: None,
        },
        "versions": {"python": "3.11", "torch": "2.13"},
        "hardware": {"machine": "x86_64", "system": "Linux", "cores": 2, "memory_gib": 4.0},
        "cells": cells,
    }  # fmt: skip


def _geometry() -> dict[str, Any]:
    """The shape of `harness.geometry.geometry`; numbers as a safety gap has them: media separate less than text."""
    groups = {"text": 1.0, "media": 0.4}
    edges = [round(-2 + 4 * i / 24, 4) for i in range(25)]
    layers = [
        {
            "layer": i,
            "refusal_norm": 0.5 + i,
            "along_refusal": {g: {"dprime": i * f, "auroc": 0.5 + 0.07 * i * f} for g, f in groups.items()},
            "own_refusal": {g: {"relative_norm": f, "cos_text": f} for g, f in groups.items()},
            "probe_auroc": {g: 0.5 + 0.08 * i if i else None for g in groups},
            "drift": {
                k: {"norm": 1.0 + i, "relative": 0.4, "cos_refusal": -0.1 * i}
                for k in ("harmful", "benign", "balanced")
            },
        }
        for i in range(7)
    ]
    return {
        "model": MODELS[0],
        "n_layers": 7,
        "width": 64,
        "variants": list(groups),
        "n": {g: {"harmful": 12, "benign": 12} for g in groups},
        "layers": layers,
        "layer": 4,
        "histogram": {
            "layer": 4,
            "edges": edges,
            "counts": {f"{g} {k}": [1] * 12 + [0] * 12 for g in groups for k in ("harmful", "benign")},
        },
        "by_drift": [{"bin": b, "n": 8, "dprime": None if b == 2 else 1.5 - b} for b in range(3)],
        "sources": {"dprime": "arXiv 2605.18104 (reconstruction)"},
    }
