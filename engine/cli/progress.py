"""How a job's events look on a terminal, and in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from engine.cli.printing import note
from engine.contract.events import Event, EventKind
from engine.jobs.rows import now

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PAUSE = 2.0
"""Seconds between two plain lines of a stage."""
LONG = 120.0
"""Seconds beyond which minutes are told."""
MEGABYTE = 1e6


class Display(Protocol):
    """Shows events as they come."""

    def __call__(self, event: Event) -> None:
        """Show one."""
        ...


def _silence(event: Event) -> None:
    """Show nothing."""


class PlainLines:
    """Lines without any movement, for logs."""

    def __init__(self) -> None:
        self._last = ("", 0.0)
        self._begin = (0.0, 0)
        """When the stage was first heard of, and how far it was then."""

    def __call__(self, event: Event) -> None:
        """Show one."""
        if event.kind is EventKind.MESSAGE:
            note(_sentence(event))
        elif event.kind is EventKind.PROGRESS and self._is_due(event):
            note(f"{event.stage} {_percent(event)} % {_amount(event)}{self._left(event)}")

    def _is_due(self, event: Event) -> bool:
        stage, at = self._last
        now, is_complete = time.monotonic(), event.done == event.total
        if event.stage != stage:
            self._begin = (now, event.done or 0)
        if event.stage == stage and now - at < PAUSE and not is_complete:
            return False
        self._last = (event.stage or "", now)
        return True

    def _left(self, event: Event) -> str:
        """The time left, once there is a rate to tell it from."""
        since, before = self._begin
        done, total = event.done or 0, event.total or 0
        elapsed = time.monotonic() - since
        if done <= before or done >= total or elapsed < PAUSE:
            return ""
        left = elapsed / (done - before) * (total - done)
        return f", {left / 60:.0f} min left" if left > LONG else f", {left:.0f} s left"


class Bars:
    """A moving bar a stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Show one."""
        if event.kind is EventKind.MESSAGE:
            self._progress.console.print(_sentence(event), markup=False, highlight=False)
        elif event.kind is EventKind.PROGRESS:
            stage = event.stage or ""
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, amount="")
            task = self._tasks[stage]
            total = event.total or None
            self._progress.update(task, completed=event.done, total=total, amount=_amount(event))


@contextlib.contextmanager
def display(*, quiet: bool) -> Iterator[Display]:
    """What fits to where stderr goes."""
    if quiet:
        yield _silence
    elif sys.stderr.isatty():
        with _rich_progress() as progress:
            yield Bars(progress)
    else:
        yield PlainLines()


def counting_bytes(show: Display, stage: str) -> Callable[[int, int], None]:
    """A listener to a download that belongs to no job."""

    def progress(done: int, total: int) -> None:
        kind = EventKind.PROGRESS
        show(Event(0, "", now(), kind, stage=stage, done=done, total=total, unit="bytes"))

    return progress


def _rich_progress() -> Progress:
    from rich import progress  # noqa: PLC0415 - only for people at a terminal
    from rich.console import Console  # noqa: PLC0415

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[amount]}"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _sentence(event: Event) -> str:
    return f"warning: {event.text}" if event.level == "warning" else event.text or ""


def _percent(event: Event) -> int:
    return 100 * (event.done or 0) // event.total if event.total else 0


def _amount(event: Event) -> str:
    done, total, unit = event.done or 0, event.total or 0, event.unit or ""
    if unit == "bytes":
        return f"{done / MEGABYTE:.1f}/{total / MEGABYTE:.1f} MB"
    return f"{done}/{total} {unit}"
