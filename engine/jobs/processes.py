"""Processes told apart although the system uses their numbers again."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import psutil

SAME_START = 30.0
"""Start times closer than this, in seconds, are one process': the clock may be set meanwhile."""


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process by its number and the time it was started."""

    pid: int
    born: float
    """Seconds since the epoch."""

    @property
    def is_alive(self) -> bool:
        """Whether this very process is still at work; a zombie is not."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(process.create_time() - self.born) < SAME_START
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of a running process; None when there is none."""
    try:
        return ProcessMark(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def this_process() -> ProcessMark:
    """The mark of the calling process."""
    return ProcessMark(os.getpid(), psutil.Process().create_time())


def be_nice() -> None:
    """Leave the desktop its share of the processor."""
    try:
        if sys.platform == "win32":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            os.nice(5)
    except (OSError, psutil.Error):
        return
