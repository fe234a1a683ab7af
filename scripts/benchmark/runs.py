"""One program from start to end, watched from outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmark.machine import Usage

LOOK_S = 0.05
FAMILY_S = 0.2
"""How often new child processes are looked for; that is dearer than looking at known ones."""
SWATH = Path(sys.executable).with_name("swath.exe" if sys.platform == "win32" else "swath")


@dataclass(frozen=True)
class Run:
    """What a program took."""

    wall: float
    """Seconds from the start of the process until its result had its final name."""
    exit: float
    """Seconds until the process had ended."""
    cpu: float
    """Processor seconds of all its processes."""
    peak_mib: float
    """Largest sum of resident memory over all its processes at one moment."""
    others: float
    """Share of the machine that other work took meanwhile, 0 to 1."""


class RunFailedError(Exception):
    """A program that was measured did not do its work."""


@dataclass
class _Family:
    """A process and all that descend from it."""

    root: psutil.Process
    members: dict[int, psutil.Process] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)
    peak: int = 0
    counted: float = 0.0

    def look(self) -> None:
        """Take memory and processor time of every member now."""
        if time.perf_counter() - self.counted > FAMILY_S:
            self._count()
        resident = 0
        for pid, member in list(self.members.items()):
            try:
                with member.oneshot():
                    resident += member.memory_info().rss
                    times = member.cpu_times()
            except psutil.Error:
                del self.members[pid]
                continue
            self.cpu[pid] = times.user + times.system
        self.peak = max(self.peak, resident)

    def _count(self) -> None:
        with contextlib.suppress(psutil.Error):
            for member in (self.root, *self.root.children(recursive=True)):
                self.members.setdefault(member.pid, member)
        self.counted = time.perf_counter()


def watched(
    command: Sequence[str | Path],
    result: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a program that writes ``result``; what it prints goes to ``log``.

    Raises:
        RunFailedError: with the end of the log.
    """
    result.unlink(missing_ok=True)
    before, reaped, start = Usage.now(), _reaped(), time.perf_counter()
    appeared = None
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        family = _Family(psutil.Process(process.pid))
        while process.poll() is None:
            family.look()
            if appeared is None and result.exists():
                appeared = time.perf_counter() - start
            time.sleep(LOOK_S)
    ended = time.perf_counter() - start
    if process.returncode or not result.exists():
        raise RunFailedError(_last_words(command, process.returncode, log))
    cpu = max(_reaped() - reaped, sum(family.cpu.values()))
    others = before.others(cpu, ended)
    return Run(appeared or ended, ended, cpu, family.peak / 2**20, others)


def _reaped() -> float:
    """Processor seconds of all children that have ended, where the system counts them."""
    times = psutil.Process().cpu_times()
    return float(getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0))


def _last_words(command: Sequence[str | Path], status: int, log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace")[-1500:].strip()
    return f"{Path(command[0]).name} ended with status {status}: {said}"
