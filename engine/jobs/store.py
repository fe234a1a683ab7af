"""The job store: what was asked, where it stands, what happened; safe for several processes."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.contract.codec import to_plain
from engine.contract.errors import EngineError, ErrorCode, ErrorInfo
from engine.contract.events import Event, EventKind, EventPage
from engine.contract.messages import Job, JobList, JobState, RunSummary, Submission
from engine.io.journal import JOURNAL, settle
from engine.jobs import rows
from engine.jobs.database import Database
from engine.jobs.processes import ProcessMark
from engine.jobs.states import ENDS_AT_ONCE, check_end, check_move

PAGE = 200
"""Most events in one page."""


class JobStore:
    """Jobs and their events in one state folder.

    Raises:
        EngineError: from every method, ``STATE_UNUSABLE`` or ``DISK_FULL`` when the folder cannot
            be worked with, and ``JOB_NOT_FOUND`` for a job that it does not know.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._database = Database(state)

    def close(self) -> None:
        """Give the database file back."""
        self._database.close()

    def work_folder(self, job_id: str) -> Path:
        """The private folder where a job keeps its blocks; not made yet."""
        return self.state / "jobs" / job_id

    def log_file(self, job_id: str) -> Path:
        """Where the details of a job's failure go; not made yet."""
        return self.state / "logs" / f"job-{job_id}.log"

    # asking

    def get(self, job_id: str) -> Job:
        """The job as it stands."""
        with self._database.reading() as db:
            return rows.job_of(_row(db, job_id))

    def submission(self, job_id: str) -> Submission:
        """What was asked for."""
        with self._database.reading() as db:
            return rows.submission_of(_row(db, job_id))

    def jobs(self, limit: int = 200) -> JobList:
        """The newest jobs, newest first."""
        with self._database.reading() as db:
            found = db.execute("SELECT * FROM jobs ORDER BY number DESC LIMIT ?", (limit,))
            return JobList(tuple(rows.job_of(row) for row in found))

    def events(self, job_id: str, after: int = 0, limit: int = PAGE) -> EventPage:
        """What happened after event number ``after``."""
        with self._database.reading() as db:
            state = JobState(_row(db, job_id)["state"])
            query = "SELECT * FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?"
            page = tuple(rows.event_of(r) for r in db.execute(query, (job_id, after, limit)))
            if len(page) == limit:
                state = _state_at(db, job_id, page[-1].seq) or state
            return EventPage(page, state)

    def position(self, job_id: str) -> tuple[int, JobState]:
        """Number of the newest event, and the state: a cheap question to repeat."""
        with self._database.reading() as db:
            row = _row(db, job_id, "last_seq, state")
            return row["last_seq"], JobState(row["state"])

    def asked_to_stop(self, job_id: str) -> JobState | None:
        """The state that somebody asked a running job to end in, if so."""
        with self._database.reading() as db:
            stop = _row(db, job_id, "stop")["stop"]
            return None if stop is None else JobState(stop)

    def waiting(self) -> tuple[tuple[str, str], ...]:
        """Ids and devices of the jobs in the queue, oldest first."""
        query = "SELECT id, device FROM jobs WHERE state = 'queued' AND NOT held ORDER BY number"
        with self._database.reading() as db:
            return tuple((row["id"], row["device"]) for row in db.execute(query))

    def running(self) -> tuple[tuple[str, str], ...]:
        """Ids and devices of the jobs that a process works on."""
        query = "SELECT id, device FROM jobs WHERE state = 'running' ORDER BY number"
        with self._database.reading() as db:
            return tuple((row["id"], row["device"]) for row in db.execute(query))

    # acting

    def create(self, submission: Submission, holder: ProcessMark | None = None) -> Job:
        """Remember a new job.

        Args:
            submission: What is asked for.
            holder: The process that will do it itself; None puts the job into the queue.
        """
        job_id = secrets.token_hex(5)
        pid, born = (holder.pid, holder.born) if holder else (None, None)
        query = (
            "INSERT INTO jobs (id, task, label, request, device, held, state, created,"
            " worker_pid, worker_born) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?)"
        )
        plain = json.dumps(to_plain(submission.request))
        head = (job_id, submission.task.value, submission.label, plain, submission.request.device)
        with self._database.writing() as db:
            db.execute(query, (*head, holder is not None, rows.now(), pid, born))
            _append(db, job_id, EventKind.STATE, state=JobState.QUEUED)
            return rows.job_of(_row(db, job_id))

    def append(self, job_id: str, kind: EventKind, **fields: Any) -> Event:
        """Tell what happened; ``fields`` are the event's own, as its kind wants them."""
        with self._database.writing() as db:
            _row(db, job_id, "id")
            event = _append(db, job_id, kind, **fields)
            if kind is EventKind.PROGRESS:
                place = (event.stage, event.done, event.total, event.unit, job_id)
                db.execute("UPDATE jobs SET stage=?, done=?, total=?, unit=? WHERE id=?", place)
            if kind is EventKind.ARTIFACT:
                _add_artifact(db, event)
            return event

    def claim(self, job_id: str, worker: ProcessMark) -> Job:
        """Take a queued job for a process.

        Raises:
            EngineError: ``JOB_STATE`` when somebody else has it, or it is over.
        """
        with self._database.writing() as db:
            _move(db, job_id, JobState.RUNNING)
            query = "UPDATE jobs SET started=?, worker_pid=?, worker_born=? WHERE id=?"
            db.execute(query, (rows.now(), worker.pid, worker.born, job_id))
            return rows.job_of(_row(db, job_id))

    def finish(
        self,
        job_id: str,
        state: JobState,
        error: ErrorInfo | None = None,
        summary: RunSummary | None = None,
    ) -> Job:
        """Bring a job to its end.

        Raises:
            EngineError: ``JOB_STATE`` when it has ended already.
        """
        with self._database.writing() as db:
            _end(db, job_id, state, error, summary)
            return rows.job_of(_row(db, job_id))

    def request_cancel(self, job_id: str, end: JobState = JobState.CANCELLED) -> Job:
        """Ask a job to stop; one that no process works on stops at once.

        Args:
            job_id: The job; nothing happens when it is over.
            end: ``CANCELLED``, or ``INTERRUPTED``: to go on another day.
        """
        with self._database.writing() as db:
            state = JobState(_row(db, job_id, "state")["state"])
            ends_now = end is JobState.CANCELLED and state in ENDS_AT_ONCE
            if state is JobState.RUNNING:
                db.execute("UPDATE jobs SET stop=? WHERE id=?", (end.value, job_id))
            elif ends_now:
                _end(db, job_id, end)
            job = rows.job_of(_row(db, job_id))
        if ends_now:
            self.discard_work(job_id)
        return job

    def requeue(self, job_id: str, holder: ProcessMark | None = None) -> Job:
        """Let an interrupted or failed job go on; its finished blocks are used.

        Raises:
            EngineError: ``JOB_STATE`` when there is nothing to go on with.
        """
        pid, born = (holder.pid, holder.born) if holder else (None, None)
        query = (
            "UPDATE jobs SET held=?, worker_pid=?, worker_born=?, started=NULL, ended=NULL,"
            " stop=NULL, error=NULL, artifacts='[]', stage='', done=0, total=0, unit=''"
            " WHERE id=?"
        )
        with self._database.writing() as db:
            _move(db, job_id, JobState.QUEUED)
            db.execute(query, (holder is not None, pid, born, job_id))
            return rows.job_of(_row(db, job_id))

    def mark_interrupted(self) -> tuple[str, ...]:
        """Find the jobs whose process is gone, and say so; returns their ids."""
        query = "SELECT * FROM jobs WHERE state = 'running' OR (state = 'queued' AND held)"
        with self._database.reading() as db:
            taken = db.execute(query).fetchall()
        marks = ((row["id"], rows.worker_of(row)) for row in taken)
        lost = [job_id for job_id, mark in marks if mark is None or not mark.is_alive]
        return tuple(job_id for job_id in lost if self._is_interrupted(job_id, vanished()))

    def delete(self, job_id: str) -> Job:
        """Forget a job that is over, with its work folder and log; its results stay.

        Raises:
            EngineError: ``JOB_STATE`` while it waits or runs.
        """
        with self._database.writing() as db:
            job = rows.job_of(_row(db, job_id))
            if not job.state.is_final:
                raise EngineError(
                    ErrorCode.JOB_STATE,
                    f"Job {job_id} is {job.state.value} and cannot be removed.",
                    "Cancel it first.",
                )
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        self.discard_work(job_id)
        self.log_file(job_id).unlink(missing_ok=True)
        return job

    def clean(
        self, older_than: timedelta = timedelta(0), ids: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """Forget jobs that are over; returns the ids of those forgotten.

        Args:
            older_than: Keep what ended within this time.
            ids: Only these; all jobs when None.
        """
        over = {job.id for job in self.ended_before(older_than)}
        chosen = over if ids is None else over.intersection(ids)
        return tuple(self.delete(job_id).id for job_id in sorted(chosen))

    def ended_before(self, ago: timedelta) -> tuple[Job, ...]:
        """The jobs that have been over for at least this time."""
        limit = datetime.now(UTC) - ago
        final = (job for job in self.jobs(limit=-1).jobs if job.state.is_final)
        return tuple(job for job in final if _ended_before(job, limit))

    def discard_work(self, job_id: str) -> None:
        """Remove a job's private folder; outputs that had got their names in part lose them."""
        folder = self.work_folder(job_id)
        with contextlib.suppress(OSError):  # then the folder stays, and is tried again another day
            settle(folder / JOURNAL)
            shutil.rmtree(folder, ignore_errors=True)

    def interrupt(self, job_id: str, error: ErrorInfo) -> Job:
        """End a job whose process is gone; what that replaced before its end comes back.

        Raises:
            EngineError: ``JOB_STATE`` when the job has ended already.
        """
        job = self.finish(job_id, JobState.INTERRUPTED, error)
        shared = self.submission(job_id).request.work
        folder = self.work_folder(job_id) if shared is None else Path(shared)
        if (folder / JOURNAL).exists():
            from engine.pipeline.workplace import Workplace  # noqa: PLC0415 - brings numpy along

            Workplace(folder).restore()
        return job

    def _is_interrupted(self, job_id: str, error: ErrorInfo) -> bool:
        try:
            self.interrupt(job_id, error)
        except EngineError as refusal:
            if refusal.code in (ErrorCode.JOB_STATE, ErrorCode.JOB_NOT_FOUND):
                return False  # it ended while we looked
            raise
        return True


def vanished(how: str = "") -> ErrorInfo:
    """The error of a job whose process has gone without a word."""
    return ErrorInfo(
        ErrorCode.WORKER_DIED,
        f"The process that worked on the job ended unexpectedly{how}.",
        "Resume the job: the blocks that it had finished are kept.",
    )


def _row(db: sqlite3.Connection, job_id: str, columns: str = "*") -> sqlite3.Row:
    query = f"SELECT {columns} FROM jobs WHERE id = ?"  # noqa: S608 - columns are literals
    row: sqlite3.Row | None = db.execute(query, (job_id,)).fetchone()
    if row is None:
        raise EngineError(
            ErrorCode.JOB_NOT_FOUND,
            f"There is no job «{job_id}».",
            "List the jobs to see their ids.",
        )
    return row


def _append(db: sqlite3.Connection, job_id: str, kind: EventKind, **fields: Any) -> Event:
    query = "UPDATE jobs SET last_seq = last_seq + 1 WHERE id = ? RETURNING last_seq"
    seq = db.execute(query, (job_id,)).fetchone()[0]
    event = Event(seq=seq, job_id=job_id, time=rows.now(), kind=kind, **fields)
    values = (job_id, seq, event.time, kind.value, rows.payload_of(event))
    db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", values)
    return event


def _add_artifact(db: sqlite3.Connection, event: Event) -> None:
    known = json.loads(_row(db, event.job_id, "artifacts")["artifacts"])
    text = json.dumps([*known, to_plain(event.artifact)])
    db.execute("UPDATE jobs SET artifacts = ? WHERE id = ?", (text, event.job_id))


def _move(db: sqlite3.Connection, job_id: str, state: JobState, **fields: Any) -> None:
    old = JobState(_row(db, job_id, "state")["state"])
    check_move(job_id, old, state)
    db.execute("UPDATE jobs SET state = ? WHERE id = ?", (state.value, job_id))
    _append(db, job_id, EventKind.STATE, state=state, **fields)


def _end(
    db: sqlite3.Connection,
    job_id: str,
    state: JobState,
    error: ErrorInfo | None = None,
    summary: RunSummary | None = None,
) -> None:
    check_end(job_id, state)
    _move(db, job_id, state, error=error, summary=summary)
    values = (rows.now(), rows.dump(error), rows.dump(summary), job_id)
    db.execute("UPDATE jobs SET ended=?, error=?, summary=?, stop=NULL WHERE id=?", values)


def _state_at(db: sqlite3.Connection, job_id: str, seq: int) -> JobState | None:
    query = (
        "SELECT payload FROM events WHERE job_id = ? AND seq <= ? AND kind = 'state'"
        " ORDER BY seq DESC LIMIT 1"
    )
    row = db.execute(query, (job_id, seq)).fetchone()
    return JobState(json.loads(row["payload"])["state"]) if row else None


def _ended_before(job: Job, limit: datetime) -> bool:
    return job.ended is None or rows.parse_time(job.ended) <= limit
