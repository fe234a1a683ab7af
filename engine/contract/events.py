"""What a job tells while it runs: numbered from 1 within the job, replayable from any number."""

import enum
from dataclasses import dataclass
from typing import Optional, Tuple

from .errors import ErrorInfo
from .messages import Artifact, JobState, RunSummary


@enum.unique
class EventKind(str, enum.Enum):
    """Which of an event's optional fields are filled."""

    STATE = "state"
    """``state``; with ``error`` when it failed, ``summary`` when it succeeded."""
    PROGRESS = "progress"
    """``stage``, ``done``, ``total``, ``unit``."""
    MESSAGE = "message"
    """``level`` (``info`` or ``warning``) and ``text``."""
    ARTIFACT = "artifact"
    """``artifact``, once the file has its final name."""


@dataclass(frozen=True)
class Event:
    """One thing that happened to one job."""

    seq: int
    job_id: str
    time: str
    kind: EventKind
    state: Optional[JobState] = None
    stage: Optional[str] = None
    done: Optional[int] = None
    total: Optional[int] = None
    unit: Optional[str] = None
    level: Optional[str] = None
    text: Optional[str] = None
    artifact: Optional[Artifact] = None
    summary: Optional[RunSummary] = None
    error: Optional[ErrorInfo] = None


@dataclass(frozen=True)
class EventPage:
    """Events after the number asked for, in order; empty when the long poll ran out."""

    events: Tuple[Event, ...] = ()
    state: JobState = JobState.QUEUED
    """The job's state after the last event of the page."""
