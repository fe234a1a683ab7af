"""Which state a job may go to from which."""

from __future__ import annotations

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import JobState

S = JobState
ALLOWED: dict[JobState, frozenset[JobState]] = {
    S.QUEUED: frozenset({S.RUNNING, S.FAILED, S.CANCELLED, S.INTERRUPTED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.INTERRUPTED}),
    S.INTERRUPTED: frozenset({S.QUEUED, S.CANCELLED}),
    S.FAILED: frozenset({S.QUEUED}),
    S.SUCCEEDED: frozenset(),
    S.CANCELLED: frozenset(),
}
KEEPS_WORK = frozenset({S.QUEUED, S.RUNNING, S.INTERRUPTED, S.FAILED})
"""States from which a job can go on and use the blocks that it has finished."""

ENDS_AT_ONCE = frozenset({S.QUEUED, S.INTERRUPTED})
"""States in which no process works on a job that is cancelled."""


def check_move(job_id: str, old: JobState, new: JobState) -> None:
    """Refuse a change of state that makes no sense.

    Raises:
        EngineError: ``JOB_STATE``.
    """
    if new not in ALLOWED[old]:
        raise EngineError(
            ErrorCode.JOB_STATE,
            f"Job {job_id} is {old.value} and cannot become {new.value}.",
            "Look at the job again; somebody else may have acted on it.",
        )


def check_end(job_id: str, state: JobState) -> None:
    """Refuse to end a job in a state that is no end.

    Raises:
        EngineError: ``JOB_STATE``.
    """
    if not state.is_final:
        raise EngineError(
            ErrorCode.JOB_STATE,
            f"Job {job_id} cannot end as {state.value}.",
            "End it as succeeded, failed, cancelled or interrupted.",
        )
