"""Progress of long work: a bar with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

T = TypeVar("T")
EVERY = 10.0
"""Seconds between two plain lines about one piece of work."""


class Progress(Protocol):
    def expect(self, total: int) -> None:
        """How many answers are still to be made, over all cells."""

    def start(self, what: str) -> None: ...

    def advance(self, n: int) -> None: ...

    def say(self, line: str) -> None: ...


class Quiet:
    """Says nothing: for notebooks and tests."""

    def expect(self, total: int) -> None:
        pass

    def start(self, what: str) -> None:
        pass

    def advance(self, n: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass

    @contextmanager
    def part(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """A piece of the work in hand that has steps of its own, such as training; what it gives is called a step."""
        yield lambda: None


class Lines(Quiet):
    """A plain line for each piece of work, with what is left, on standard error."""

    def __init__(self) -> None:
        self._total, self._done, self._began = 0, 0, time.monotonic()

    def expect(self, total: int) -> None:
        self._total, self._done, self._began = total, 0, time.monotonic()

    def start(self, what: str) -> None:
        left = ""
        if self._done:
            seconds = (time.monotonic() - self._began) / self._done * (self._total - self._done)
            left = f", about {seconds:.0f} s left"
        self.say(f"[{self._done}/{self._total}{left}] {what}" if self._total else what)

    def advance(self, n: int) -> None:
        self._done += n

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    @contextmanager
    def part(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        done, began, said = 0, time.monotonic(), time.monotonic()

        def step() -> None:
            nonlocal done, said
            done += 1
            now = time.monotonic()
            if now - said > EVERY:
                said = now
                self.say(f"{what}: {done}/{total}, about {(now - began) / done * (total - done):.0f} s left")

        yield step


class Bar(Quiet):
    """A bar over all answers that are still to be made."""

    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._all = bar.add_task("starting", total=None)

    def expect(self, total: int) -> None:
        self._bar.reset(self._all, total=total)

    def start(self, what: str) -> None:
        self._bar.update(self._all, description=what)

    def advance(self, n: int) -> None:
        self._bar.advance(self._all, n)

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)

    @contextmanager
    def part(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        task = self._bar.add_task(what, total=total)
        try:
            yield lambda: self._bar.advance(task)
        finally:
            self._bar.remove_task(task)


_current: ContextVar[Quiet | None] = ContextVar("progress", default=None)


def steps(items: Sequence[T], what: str) -> Iterator[T]:
    """`items`, one after another, shown as a part of the work in hand: for long loops inside `Defense.fit`.

    Silent where nobody shows progress, so that a defense need not know who calls it.
    """
    with (_current.get() or Quiet()).part(what, len(items)) as step:
        for item in items:
            yield item
            step()


@contextmanager
def shown(quiet: bool = False) -> Iterator[Progress]:
    """The right kind of progress for where the output goes; meanwhile `steps` shows itself there too."""
    with _made(quiet) as progress:
        before = _current.set(progress)
        try:
            yield progress
        finally:
            _current.reset(before)


@contextmanager
def _made(quiet: bool) -> Iterator[Quiet]:
    if quiet:
        yield Quiet()
    elif not sys.stderr.isatty():
        yield Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(stderr=True)) as bar:
            yield Bar(bar)
