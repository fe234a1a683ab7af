"""Exit codes: 0 done, 1 failed while running, 2 bad input, 130 stopped by the user."""

from __future__ import annotations

from engine.contract.errors import ErrorCode
from engine.contract.messages import Job, JobState

OK, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 130

NOT_THE_INPUT = frozenset(
    {
        ErrorCode.MODEL_DOWNLOAD_FAILED,
        ErrorCode.MODEL_FAILED,
        ErrorCode.OUT_OF_MEMORY,
        ErrorCode.WORKER_DIED,
        ErrorCode.ENGINE_START_FAILED,
        ErrorCode.ENGINE_UNREACHABLE,
        ErrorCode.INTERNAL,
    }
)
"""Failures that another input would not have avoided; every other error is the input's."""


def exit_code(code: ErrorCode) -> int:
    """The exit code of a command that ended with an error."""
    if code is ErrorCode.CANCELLED:
        return STOPPED
    return FAILED if code in NOT_THE_INPUT else BAD_INPUT


def exit_code_of(job: Job) -> int:
    """The exit code of a command that did a job."""
    if job.state is JobState.SUCCEEDED:
        return OK
    return exit_code(job.error.code) if job.error else FAILED
