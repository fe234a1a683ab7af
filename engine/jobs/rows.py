"""Rows of the job store as messages, and back."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any, TypeVar

from engine.contract.codec import from_plain, to_plain
from engine.contract.errors import ErrorInfo
from engine.contract.events import Event
from engine.contract.messages import Artifact, Job, JobState, RunSummary, Submission, TaskName
from engine.jobs.processes import ProcessMark

T = TypeVar("T")


def now() -> str:
    """The time as the contract writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The time that ``now`` wrote."""
    return datetime.fromisoformat(text)


def dump(value: Any) -> str | None:
    """A message as JSON text; None stays None."""
    return None if value is None else json.dumps(to_plain(value), separators=(",", ":"))


def job_of(row: sqlite3.Row) -> Job:
    """The job that a row describes."""
    artifacts = json.loads(row["artifacts"])
    return Job(
        id=row["id"],
        task=TaskName(row["task"]),
        state=JobState(row["state"]),
        created=row["created"],
        label=row["label"],
        started=row["started"],
        ended=row["ended"],
        done=row["done"],
        total=row["total"],
        unit=row["unit"],
        stage=row["stage"],
        last_seq=row["last_seq"],
        artifacts=tuple(from_plain(Artifact, a) for a in artifacts),
        summary=_load(RunSummary, row["summary"]),
        error=_load(ErrorInfo, row["error"]),
    )


def submission_of(row: sqlite3.Row) -> Submission:
    """What was submitted."""
    plain = {"task": row["task"], "label": row["label"], "request": json.loads(row["request"])}
    return from_plain(Submission, plain)


def worker_of(row: sqlite3.Row) -> ProcessMark | None:
    """The process that has taken the job."""
    if row["worker_pid"] is None:
        return None
    return ProcessMark(row["worker_pid"], row["worker_born"])


def event_of(row: sqlite3.Row) -> Event:
    """The event that a row describes."""
    head = {name: row[name] for name in ("job_id", "seq", "time", "kind")}
    return from_plain(Event, {**head, **json.loads(row["payload"])})


def payload_of(event: Event) -> str:
    """The fields of an event that its kind fills, as JSON text."""
    plain = to_plain(event)
    keys = plain.keys() - {"job_id", "seq", "time", "kind"}
    filled = {key: plain[key] for key in sorted(keys) if plain[key] is not None}
    return json.dumps(filled, separators=(",", ":"))


def _load(kind: type[T], text: str | None) -> T | None:
    return None if text is None else from_plain(kind, json.loads(text))
