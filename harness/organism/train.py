"""Trains an organism from nothing: `train(out)` runs the stages, measures, writes the model and its card."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from harness.organism import stages
from harness.organism.card import write_card
from harness.organism.drift import drift_table
from harness.organism.evaluate import measure
from harness.organism.gates import Gate, GateError, gates_of
from harness.organism.geometry import geometry
from harness.organism.model import build_model
from harness.organism.tokenizer import build_processor

DEFAULT_SEED = 1


@dataclass(frozen=True)
class Recipe:
    """Steps of each stage. Fixed steps, never minutes: a busy machine must not change the result."""

    vision: int = 400
    language: int = 1300
    alignment: int = 800
    instructions: int = 50

    @property
    def total(self) -> int:
        """All optimiser steps."""
        return self.vision + self.language + self.alignment + self.instructions


Progress = Callable[[str, int, int, float], None]  # stage, step, steps of the stage, loss


def train(
    out: Path,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    *,
    recipe: Recipe | None = None,
    n_test: int = 252,
    analyse: bool = True,
    tried: Path | None = None,
    require_gates: bool = True,
) -> dict[str, Any]:
    """Trains with a seed, saves to `out` and returns the measured numbers.

    With `analyse` the card also gets the geometry and the drift-correction table, which take a few minutes.
    `tried` is a JSON list of earlier runs, failures too: this one is added, and the card shows them all. Raises
    GateError, after everything is saved, if the model missed a gate and `require_gates` is set.
    """
    recipe = recipe or Recipe()
    report = progress or (lambda *_: None)
    # One thread, so that sums are made in the same order everywhere.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        started = time.perf_counter()
        torch.manual_seed(seed)
        processor, model = build_processor(), build_model()
        run_stages(model, processor, recipe, seed, report)
        metrics: dict[str, Any] = {"seed": seed, "recipe": asdict(recipe)}
        metrics["training_seconds"] = time.perf_counter() - started
        metrics |= study(model, processor, n_test, analyse=analyse)
    finally:
        torch.set_num_threads(threads)
    if tried is not None:
        metrics["tried"] = record(metrics, tried)
    save(model, processor, metrics, out)
    if require_gates:
        check(gates_of(metrics["test"]))
    return metrics


def study(model: Any, processor: Any, n_test: int, *, analyse: bool) -> dict[str, Any]:
    """Everything that is measured about a trained model."""
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    found["test"] = measure(model, processor, "test", n_test, wrapped=True)
    found["gates"] = [asdict(gate) | {"passed": gate.passed} for gate in gates_of(found["test"])]
    if analyse:
        found["geometry"] = geometry(model, processor)
        found["drift_n"] = n_test // 3
        found["drift"] = drift_table(model, processor, n_test=n_test // 3)
    return found


def record(metrics: dict[str, Any], tried: Path) -> list[dict[str, Any]]:
    """Adds a run to the list of runs, so that the failures are published too."""
    runs: list[dict[str, Any]] = json.loads(tried.read_text()) if tried.exists() else []
    missed = [f"{gate['name']} {gate['value']:.0%}" for gate in metrics["gates"] if not gate["passed"]]
    steps = "/".join(str(n) for n in metrics["recipe"].values())
    runs.append({"seed": metrics["seed"], "steps": steps, "missed": missed})
    tried.write_text(json.dumps(runs, indent=1) + "\n")
    return runs


def run_stages(model: Any, processor: Any, recipe: Recipe, seed: int, report: Progress) -> None:
    """The four stages in order, each with its own stream of random examples."""

    def encode(text: str) -> list[int]:
        return list(processor.tokenizer(text, add_special_tokens=False).input_ids)

    model.train()
    stages.vision(model, steps=recipe.vision, seed=seed, report=report)
    stages.language(model, encode, steps=recipe.language, seed=seed + 1, report=report)
    stages.alignment(model, steps=recipe.alignment, seed=seed + 2, report=report)
    stages.instructions(model, encode, steps=recipe.instructions, seed=seed + 3, report=report)
    model.eval()


def check(gates: list[Gate]) -> None:
    """Raises GateError with all gates if one was missed."""
    if not all(gate.passed for gate in gates):
        raise GateError(gates)


def save(model: Any, processor: Any, metrics: dict[str, Any], out: Path) -> None:
    """Writes the model, the processor, `metrics.json` and `MODEL_CARD.md`."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    write_card(metrics, out / "MODEL_CARD.md")
