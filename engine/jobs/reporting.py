"""What the pipeline tells while it works becomes events in the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from engine.contract.events import Event, EventKind
from engine.contract.messages import Artifact, JobState
from engine.jobs.stopping import StopRequest
from engine.jobs.store import JobStore

OFTEN, SELDOM = 0.2, 2.0
"""Seconds between progress events when a job is young, and when it has run for long."""
GROWTH = 300.0
"""A job that has run for ``t`` seconds reports every ``t / GROWTH`` seconds."""
ASK_AGAIN = 0.05
"""Seconds for which the store's answer about cancelling is believed."""

Watch = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""


class JobReport:
    """The pipeline's ``Report`` of one job; may be called from several threads."""

    def __init__(
        self, store: JobStore, job_id: str, watch: Watch = ignore, stop: StopRequest | None = None
    ) -> None:
        self._store = store
        self._job_id = job_id
        self._watch = watch
        self._stop = stop or StopRequest()
        self._lock = threading.Lock()
        self._born = time.monotonic()
        self._told = (0.0, "", 0)
        self._asked = 0.0
        self._end: JobState | None = None
        self.artifacts: tuple[Artifact, ...] = ()

    @property
    def end(self) -> JobState | None:
        """The state in which the job is to stop, once ``cancelled`` has said so."""
        return self._stop.end or self._end

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Tell, unless something was told a moment ago."""
        with self._lock:
            if self._is_news(stage, done, total):
                self._told = (time.monotonic(), stage, done)
                fields = {"stage": stage, "done": done, "total": total, "unit": unit}
                self._watch(self._store.append(self._job_id, EventKind.PROGRESS, **fields))

    def message(self, level: str, text: str) -> None:
        """Tell a sentence."""
        self._watch(self._store.append(self._job_id, EventKind.MESSAGE, level=level, text=text))

    def artifact(self, artifact: Artifact) -> None:
        """Tell of a finished file, once."""
        if artifact in self.artifacts:
            return
        self.artifacts = (*self.artifacts, artifact)
        self._watch(self._store.append(self._job_id, EventKind.ARTIFACT, artifact=artifact))

    def cancelled(self) -> bool:
        """Whether to stop; asks the store every now and then."""
        if self.end is None and time.monotonic() - self._asked > ASK_AGAIN:
            self._end = self._store.asked_to_stop(self._job_id)
            self._asked = time.monotonic()
        return self.end is not None

    def _is_news(self, stage: str, done: int, total: int) -> bool:
        at, last_stage, last_done = self._told
        if stage != last_stage:
            return True
        if done == last_done:
            return False
        now = time.monotonic()
        pause = min(max(OFTEN, (now - self._born) / GROWTH), SELDOM)
        return done >= total or now - at >= pause
