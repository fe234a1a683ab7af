"""What a submission must be before it is worth a job."""

from __future__ import annotations

import math
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import SegmentRequest, Submission, UpdateRequest
from engine.models.devices import check_device

DATES = ("before", "after")
"""What models call their two dates."""


def check_submission(submission: Submission) -> None:
    """Refuse paths that mean something else to the engine than to whoever sent them.

    Raises:
        EngineError: ``REQUEST_INVALID``, ``DEVICE_UNAVAILABLE``.
    """
    request = submission.request
    local = [uri for uri in request.files_read if not is_remote(uri)]
    for path in (*local, *request.files_written):
        _check_absolute(path)
    run = request.run if isinstance(request, UpdateRequest) else request
    if isinstance(run, SegmentRequest):
        if not run.input.uris:
            raise _invalid("The request names no input.", "Name at least one file.")
        check_parts(run)


def check_parts(request: SegmentRequest) -> None:
    """Refuse words for no device, and a part of a run that nobody could put together with others.

    Raises:
        EngineError: ``REQUEST_INVALID``, ``DEVICE_UNAVAILABLE``.
    """
    check_device(request.device)
    _check_numbers(request)
    _check_two_files(request)
    shard = request.shard
    if request.work is not None:
        _check_absolute(request.work)
    if shard is None:
        return
    if not 1 <= shard.number <= shard.count:
        hint = "Number the shards from 1 to their count, as in 1/2 and 2/2."
        raise _invalid(f"There is no shard {shard.number} of {shard.count}.", hint)
    if request.work is None:
        raise _invalid(
            "A shard leaves its blocks in a folder, and none is named.",
            "Name the same folder for all shards and for the run that puts them together (--work).",
        )


def _check_numbers(request: SegmentRequest) -> None:
    """Refuse what JSON lets through and no computation can use."""
    for spec in (request.input, *(other.input for other in request.others)):
        if not all(math.isfinite(number) for number in spec.offset or ()):
            raise _invalid(f"A scene cannot be moved by {spec.offset}.", "Give two numbers.")
    options = request.change
    if options is None:
        return
    alarm, threshold = options.false_alarm, options.threshold
    if alarm is not None and threshold is not None:
        raise _invalid(
            "A share of false alarms and a threshold say different things of where change begins.",
            "Give one of --false-alarm and --threshold.",
        )
    if alarm is not None and not 0 < alarm < 1:
        raise _invalid(
            f"{alarm} is no share of false alarms.",
            "Give one between 0 and 1, as in --false-alarm 0.001.",
        )
    if threshold is not None and not (math.isfinite(threshold) and threshold > 0):
        raise _invalid(
            f"Change cannot begin at {threshold}.", "Give a number above 0, as in --threshold 4."
        )


def _check_two_files(request: SegmentRequest) -> None:
    """Refuse one file for both dates, which is a slip and would show no change."""
    first = request.input
    for other in request.others:
        second = other.input
        is_date = request.change is not None or other.name in DATES
        if is_date and (first.uris, first.bands) == (second.uris, second.bands):
            raise _invalid(
                f"Both dates are the same file: {', '.join(first.uris)}.",
                "Give the file of the other date.",
            )


def is_remote(uri: str) -> bool:
    """Whether a name is understood by the libraries below rather than by the file system."""
    return "://" in uri or uri.startswith("/vsi")


def _check_absolute(path: str) -> None:
    if not Path(path).is_absolute():
        raise _invalid(f"The path «{path}» is not absolute.", "Send absolute paths of local files.")


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)
