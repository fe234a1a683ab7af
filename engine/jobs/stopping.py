"""Signals as a polite request that the work reads when it can stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from engine.contract.messages import JobState


class StopRequest:
    """Whether this process was asked to stop, and in which state its job is to end."""

    def __init__(self, on_first: Callable[[], None] = lambda: None) -> None:
        self.end: JobState | None = None
        self._on_first = on_first

    def ask(self, end: JobState) -> None:
        """Ask once; who asks again wants it at once.

        Raises:
            KeyboardInterrupt: when asked before.
        """
        if self.end is not None:
            raise KeyboardInterrupt
        self.end = end
        self._on_first()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ctrl-C cancels the job; being told to terminate leaves it fit to go on."""
        ends = {signal.SIGINT: JobState.CANCELLED, signal.SIGTERM: JobState.INTERRUPTED}

        def handle(number: int, _: FrameType | None) -> None:
            self.ask(ends[signal.Signals(number)])

        before = {number: signal.signal(number, handle) for number in ends}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
