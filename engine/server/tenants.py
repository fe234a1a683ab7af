"""The programs that need the engine."""

from __future__ import annotations

import threading

from engine.contract.errors import EngineError, ErrorCode
from engine.jobs.processes import ProcessMark, mark_of


class Tenants:
    """Programs that registered, as long as they live."""

    def __init__(self) -> None:
        self._marks: set[ProcessMark] = set()
        self._had_any = False
        self._lock = threading.Lock()

    def add(self, pid: int) -> None:
        """Remember a running program.

        Raises:
            EngineError: ``REQUEST_INVALID`` when no such process runs.
        """
        mark = mark_of(pid) if pid > 0 else None
        if mark is None:
            raise EngineError(
                ErrorCode.REQUEST_INVALID,
                f"There is no process {pid}.",
                "Register the number of the program that needs the engine.",
            )
        with self._lock:
            self._marks.add(mark)
            self._had_any = True

    def expect(self, pid: int) -> None:
        """Remember the program that started the engine; it may have gone already."""
        mark = mark_of(pid) if pid > 0 else None
        with self._lock:
            self._had_any = True
            if mark is not None:
                self._marks.add(mark)

    @property
    def all_gone(self) -> bool:
        """Whether there were tenants and none is left."""
        with self._lock:
            self._marks = {mark for mark in self._marks if mark.is_alive}
            return self._had_any and not self._marks
