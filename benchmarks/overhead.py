"""How much longer the harness takes than a bare batched transformers loop over the same samples.

    python benchmarks/overhead.py --model organism --task abilities --limit 96

Both arms answer the same batches with the same weights and the same greedy decoding: the bare loop is the processor on
the whole batch, `model.generate` and `batch_decode`; the harness is `harness.cells.answer`, what `gapbench run` spends
a cell's time in, journal included. They take turns, so that a machine that slows down slows both. `next_arm` is the
harness on prompts that an earlier arm of the same run has already prepared. The target is a ratio of at most 1.05.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness import plugins
from harness.arms import prepare
from harness.cells import Cell, answer, batches
from harness.contracts import PluginError
from harness.models.hf import HFModel
from harness.models.hf_quiet import quiet
from harness.progress import Quiet
from harness.runner import checked_samples
from harness.runstore import Run
from harness.types import GenerationConfig, Image, Prompt, Sample, Text


def bare(model: HFModel, samples: Sequence[Sample], config: GenerationConfig) -> dict[str, str]:
    """What a careful user writes by hand. Returns the text by sample id."""
    texts: dict[str, str] = {}
    for batch in batches(samples, model.batch_size):
        inputs = model.processor.apply_chat_template(
            [chat(s.prompt) for s in batch],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs={"padding": True, "padding_side": "left"},
        ).to(model.module.device)
        with torch.inference_mode():
            ids = model.module.generate(**inputs, do_sample=False, max_new_tokens=config.max_new_tokens)
        new = ids[:, inputs["input_ids"].shape[1] :]
        answers = model.tokenizer.batch_decode(new, skip_special_tokens=True)
        texts.update(zip((s.id for s in batch), answers, strict=True))
    return texts


def chat(prompt: Prompt) -> list[dict[str, Any]]:
    def part(item: Any) -> dict[str, Any]:
        if isinstance(item, Text):
            return {"type": "text", "text": item.text}
        if isinstance(item, Image):
            return {"type": "image", "image": item.pil()}
        raise PluginError(
            f"this benchmark takes text and images, not {type(item).__name__.lower()}: choose another --task"
        )

    return [{"role": m.role, "content": [part(p) for p in m.parts]} for m in prompt.messages]


def first_arm(model: HFModel, samples: Sequence[Sample], config: GenerationConfig) -> dict[str, str]:
    vars(model).pop("prepare", None)  # what the last turn prepared must not be had for nothing
    return next_arm(model, samples, config)


def next_arm(model: HFModel, samples: Sequence[Sample], config: GenerationConfig) -> dict[str, str]:
    """One cell of a run in a fresh directory. Returns the text by sample id."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        arm = prepare(run, model, "none", plugins.create("defenses", "none"), None, Quiet())
        cell = Cell("model", arm, "task", samples, {}, config, key="overhead")
        answer(run, cell, samples, Quiet())
        rows = [json.loads(line) for path in Path(folder).rglob("responses.jsonl") for line in path.open()]
    return {row["sample"]: row.get("text") or "" for row in rows}


def timed(work: Any, *arguments: Any) -> tuple[float, float]:
    """Seconds on the wall and of this process's CPU time; the second is steadier on a shared machine without a GPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(model: HFModel, samples: Sequence[Sample], config: GenerationConfig, repeats: int) -> dict[str, Any]:
    """Seconds of each arm, turn by turn; one unmeasured turn of each comes before.

    A ratio is the median over the turns, and `of_fastest` that of the fastest turns, which other load disturbs least.
    """
    arms = {"bare": bare, "harness": first_arm, "next_arm": next_arm}
    with quiet():
        texts = {name: work(model, samples, config) for name, work in arms.items()}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
        for turn in range(repeats):
            for name in list(arms) if turn % 2 else ("harness", "next_arm", "bare"):
                taken[name].append(timed(arms[name], model, samples, config))
    figures: dict[str, Any] = {}
    for at, clock in enumerate(("wall", "cpu")):
        seconds = {name: [turn[at] for turn in turns] for name, turns in taken.items()}
        figures[f"{clock}_seconds"] = {name: round(statistics.median(values), 4) for name, values in seconds.items()}
        for name in ("harness", "next_arm"):
            ratios = [ours / theirs for ours, theirs in zip(seconds[name], seconds["bare"], strict=True)]
            figures[f"{clock}_ratio_{name}"] = {
                "median": round(statistics.median(ratios), 4),
                "min": round(min(ratios), 4),
                "max": round(max(ratios), 4),
                "of_fastest": round(min(seconds[name]) / min(seconds["bare"]), 4),
            }
    return figures | {
        "samples": len(samples),
        "same_texts": sum(texts["bare"][s.id] == texts["harness"][s.id] for s in samples),
        "repeats": repeats,
    }


def profile(model: HFModel, samples: Sequence[Sample], config: GenerationConfig, lines: int = 25) -> None:
    for work in (bare, first_arm):
        profiler = cProfile.Profile()
        with quiet():
            profiler.runcall(work, model, samples, config)
        print(f"== {work.__name__}")
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="organism", help="organism or hf:PATH")
    parser.add_argument("--task", action="append", help="may be repeated; default: abilities")
    parser.add_argument("--limit", type=int, default=96, help="samples a task")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--profile", action="store_true", help="also print where both arms spend their time")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    try:
        model = plugins.create("models", chosen.model, batch_size=chosen.batch_size)
        if not isinstance(model, HFModel):
            raise PluginError(f"{chosen.model} is no transformers model: name organism or hf:PATH")
        tasks = chosen.task or ["abilities"]
        found = [s for t in tasks for s in checked_samples(t, plugins.create("tasks", t), chosen.limit) if not s.error]
        config = GenerationConfig(max_new_tokens=chosen.max_new_tokens)
        print(json.dumps(measure(model, found, config, chosen.repeats), indent=2))
        if chosen.profile:
            profile(model, found, config)
    except PluginError as error:
        raise SystemExit(f"overhead: {error}") from error


if __name__ == "__main__":
    main()
