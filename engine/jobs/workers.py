"""The queue: starts a worker process for the next job, and notices how workers end."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError, ErrorCode, ErrorInfo
from engine.contract.messages import JobState
from engine.jobs.store import JobStore, vanished
from engine.models.devices import plain_device

TICK = 0.5
"""Seconds between two looks at the queue when nothing wakes it."""
PATIENCE = 10.0
"""Seconds that workers get to stop by themselves before they are ended."""

Command = Callable[[Path, str], list[str]]
"""The command line that works on a job of a state folder."""

_log = logging.getLogger(__name__)


def worker_command(state: Path, job_id: str) -> list[str]:
    """A worker in the engine's own environment, whatever stands in this process' variables."""
    worker = [sys.executable, "-I", "-m", "engine.jobs.worker"]
    return [*worker, "--state", str(state), "--job", job_id]


class Supervisor:
    """A thread that keeps at most one job at work on a device, in the order of submission."""

    def __init__(self, store: JobStore, command: Command = worker_command) -> None:
        self._store = store
        self._command = command
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._wake = threading.Event()
        self._leaving = False
        self._thread = threading.Thread(target=self._run, name="swath-queue", daemon=True)

    def start(self) -> None:
        """Begin to look after the queue."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def stop(self) -> None:
        """Interrupt the workers, so that their jobs can go on another day."""
        self._leaving = True
        self.wake()
        self._thread.join()
        deadline = time.monotonic() + PATIENCE
        while self._children and time.monotonic() < deadline:
            with contextlib.suppress(EngineError):  # they are ended below if this cannot be written
                for job_id in self._children:
                    self._store.request_cancel(job_id, JobState.INTERRUPTED)
                self._reap()
            time.sleep(0.05)
        for child in self._children.values():
            child.kill()
            child.wait()
        with contextlib.suppress(EngineError):
            self._reap()

    @property
    def is_idle(self) -> bool:
        """Whether no job runs or waits."""
        return not (self._children or self._store.running() or self._store.waiting())

    def _run(self) -> None:
        while not self._leaving:
            try:
                self._reap()
                self._store.mark_interrupted()
                self._start_next()
            except Exception:  # noqa: BLE001 - a thread's boundary: the queue outlives a full disk
                _log.exception("the queue stumbled")
            self._wake.wait(TICK)
            self._wake.clear()

    def _reap(self) -> None:
        for job_id, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[job_id]
                self._account_for(job_id, child.returncode)

    def _account_for(self, job_id: str, code: int) -> None:
        """Give an end to a job whose worker left without one."""
        state = self._store.get(job_id).state
        if state is JobState.RUNNING:
            self._store.interrupt(job_id, vanished(f" ({_exit(code)})"))
        elif state is JobState.QUEUED:
            why = f"The worker process could not begin the job ({_exit(code)})"
            self._fail(job_id, why)
        else:
            _drop_empty(self._store.log_file(job_id))

    def _start_next(self) -> None:
        busy = {device for _, device in self._store.running()}
        waiting = self._store.waiting()
        busy |= {device for job_id, device in waiting if job_id in self._children}
        for job_id, device in waiting:
            if job_id not in self._children and not any(share(device, d) for d in busy):
                self._start(job_id)
            busy.add(device)

    def _start(self, job_id: str) -> None:
        log = self._store.log_file(job_id)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                command = self._command(self._store.state, job_id)
                self._children[job_id] = _spawn(command, output)
        except OSError as error:
            self._fail(job_id, f"The worker process could not be started ({error})")

    def _fail(self, job_id: str, why: str) -> None:
        hint = f"Run `swath doctor`; the file {self._store.log_file(job_id)} has the details."
        error = ErrorInfo(ErrorCode.WORKER_DIED, f"{why}.", hint)
        try:
            self._store.finish(job_id, JobState.FAILED, error)
        except EngineError as refusal:
            _log.warning("job %s: %s", job_id, refusal)


def share(one: str, other: str) -> bool:
    """Whether two jobs may end up on the same device; ``auto`` may be any."""
    first, second = (plain_device(d) for d in (one, other))
    return "auto" in (first, second) or first == second


def _drop_empty(log: Path) -> None:
    with contextlib.suppress(OSError):
        if not log.stat().st_size:
            log.unlink()


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _spawn(command: list[str], output: Any) -> subprocess.Popen[bytes]:
    """Start a program apart from this one's terminal, so that a Ctrl-C there is not its own."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        apart = {"creationflags": flags}
    return subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **apart
    )
