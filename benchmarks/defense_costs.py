"""What each defense costs over no defense: wall time as a ratio, extra passes, calls and tokens.

    python benchmarks/defense_costs.py --defense regap --defense "regap(schedule=one_pass,signal=absolute)"

All arms answer the same prompts with media, in turns, so that a machine that slows down slows all; the ratio is the
median over turns of an arm's seconds over those of `none` in the same turn. A defense that makes the model refuse gets
shorter answers, and time with them: the tokens stand beside the ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from harness import plugins
from harness.calibration import MEDIA
from harness.cells import batches
from harness.composition import create_defense
from harness.contracts import Model, PluginError
from harness.runner import checked_samples, read_calibration
from harness.types import GenerationConfig, Prompt, Response, Sample

DEFENSES = (
    "drift_correction(alpha=1)",
    "regap(alpha_max=1,alpha0=1)",
    "regap(schedule=one_pass,signal=absolute,alpha_max=1,alpha0=1)",
    "mars",
    "omnisteer",
    "adasteer",
    "cmrm",
    "shiftdc",
    "astra(alpha=1)",
    "vlm_guard",
    "cast(strength=1)",
    "sarsteer(alpha=0.1)",
    "actadd(scale=0.3)",
    "hiddendetect",
    "omniguard",
)


def answered(model: Model, samples: Sequence[Sample], config: GenerationConfig, size: int) -> list[Response]:
    responses: list[Response] = []
    for batch in batches(samples, size):
        responses += model.generate([s.prompt for s in batch], config)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return responses


def measure(
    arms: dict[str, Model], samples: Sequence[Sample], config: GenerationConfig, size: int, repeats: int
) -> list[dict[str, Any]]:
    """One row an arm. One unmeasured turn comes first, so that prompts are prepared for all."""
    costs = {name: answered(model, samples, config, size) for name, model in arms.items()}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(repeats):
        for name in list(arms) if turn % 2 else reversed(arms):
            started = time.perf_counter()
            answered(arms[name], samples, config, size)
            seconds[name].append(time.perf_counter() - started)
    rows = []
    for name, responses in costs.items():
        ratios = sorted(mine / base for mine, base in zip(seconds[name], seconds["none"], strict=True))
        row: dict[str, Any] = {"defense": name, "ratio": round(statistics.median(ratios), 3)}
        row |= {"from": round(ratios[0], 3), "to": round(ratios[-1], 3)}
        for count in ("target_calls", "extra_forward_passes", "prompt_tokens", "generated_tokens"):
            row[count] = round(statistics.mean(getattr(r.cost, count) for r in responses), 2)
        rows.append(row)
    return rows


def chosen_prompts(model: Model, specs: Sequence[str], limit: int) -> list[Sample]:
    found = [s for t in specs for s in checked_samples(t, plugins.create("tasks", t), limit) if not s.error]

    def takes(prompt: Prompt) -> bool:
        return bool(prompt.modalities & MEDIA) and prompt.modalities <= model.modalities

    return [s for s in found if takes(s.prompt)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="organism")
    parser.add_argument("--task", action="append", help="default: the organism's harmful and harmless pictures")
    parser.add_argument("--calibration", action="append", help="default: the model's own")
    parser.add_argument("--defense", action="append", help="default: all white-box methods, strengths as numbers")
    parser.add_argument("--limit", type=int, default=64, help="samples a task")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, help="torch threads")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    try:
        model = plugins.create("models", chosen.model, batch_size=chosen.batch_size)
        tasks = chosen.task or ["mmsafetybench(source=organism)", "benign_typographic(source=organism)"]
        samples = chosen_prompts(model, tasks, chosen.limit)
        held = () if chosen.calibration else model.validation
        data = read_calibration(chosen.calibration or model.calibration, held)
        arms: dict[str, Model] = {"none": model}
        for spec in chosen.defense or DEFENSES:
            label, defense = create_defense(spec)
            arms[label] = defense.fit(model, data).wrap(model) if defense.needs_fit else defense.wrap(model)
        config = GenerationConfig(max_new_tokens=chosen.max_new_tokens)
        rows = measure(arms, samples, config, chosen.batch_size, chosen.repeats)
        print(json.dumps({"prompts": len(samples), "turns": chosen.repeats, "arms": rows}, indent=1))
    except PluginError as error:
        raise SystemExit(f"defense_costs: {error}") from error


if __name__ == "__main__":
    main()
