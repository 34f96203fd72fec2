"""Shows training: a bar for each stage on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.organism.train import Progress as Report

PLAIN_EVERY = 50


def plain(stage: str, step: int, steps: int, loss: float) -> None:
    """One line each fifty steps and at a stage's end."""
    if step % PLAIN_EVERY == 0 or step == steps:
        print(f"{stage}: step {step}/{steps}, loss {loss:.3f}", file=sys.stderr, flush=True)


@contextmanager
def shown(console: Console | None = None) -> Iterator[Report]:
    """Gives the `progress` argument of `train`."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield plain
        return
    columns = (
        TextColumn("{task.description:<13}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("loss {task.fields[loss]:.3f}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, int] = {}

        def report(stage: str, step: int, steps: int, loss: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=steps, loss=loss)
            bars.update(tasks[stage], completed=step, loss=loss)  # type: ignore[arg-type]

        yield report
