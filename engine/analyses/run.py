"""Carry out a request of work on finished maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.analyses.desk import Desk
from engine.contract.analyses import (
    AssessRequest,
    CalibrateRequest,
    SampleRequest,
    TotalsRequest,
)
from engine.contract.codec import from_plain, to_plain
from engine.io.journal import JOURNAL, settle
from engine.io.outputs import VECTOR_SUFFIXES, check_suffix, check_targets
from engine.io.staging import Staging
from engine.models.store import ModelStore
from engine.pipeline.outcome import Outcome
from engine.pipeline.report import Report, stop_if_cancelled

AnalysisRequest = AssessRequest | SampleRequest | TotalsRequest | CalibrateRequest
Work = Callable[[Any, Desk], Outcome]


def carry_out(request: AnalysisRequest, models: ModelStore, work: Path, report: Report) -> Outcome:
    """Do what is asked for; all files appear, or none.

    Args:
        request: What to do.
        models: For analyses that use a model.
        work: The job's folder.
        report: Told of progress, asked for cancellation.

    Raises:
        EngineError: whatever is wrong; no output has been touched then.
    """
    journal = work / JOURNAL
    mark = hashlib.sha256(json.dumps(to_plain(request)).encode()).hexdigest()
    found = _outcome_in(settle(journal), mark)
    if found is not None:
        return found
    _check_endings(request)
    check_targets([Path(p) for p in request.files_written], request.overwrite, request.files_read)
    with Staging(overwrite=request.overwrite, journal=journal) as staging:
        outcome = _work_for(request)(request, Desk(staging, models, report))
        stop_if_cancelled(report)
        staging.commit({"request": mark, "outcome": to_plain(outcome)})
    return outcome


def _check_endings(request: AnalysisRequest) -> None:
    """Refuse layers under the name of another format, before anything is computed.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE``.
    """
    if isinstance(request, SampleRequest | TotalsRequest):
        check_suffix(Path(request.output), VECTOR_SUFFIXES)


def _outcome_in(note: Any, mark: str) -> Outcome | None:
    """The outcome of a process that died after it had published."""
    if note is None or note.get("request") != mark:
        return None
    outcome = from_plain(Outcome, note["outcome"])
    return outcome if _are_there([a.uri for a in outcome.artifacts]) else None


def _are_there(paths: Sequence[str]) -> bool:
    return all(Path(path).is_file() for path in paths)


def _work_for(request: AnalysisRequest) -> Work:
    """The analysis; only its own libraries are loaded."""
    match request:
        case AssessRequest():
            from engine.analyses.accuracy import assess  # noqa: PLC0415 - only its libraries

            return assess
        case SampleRequest():
            from engine.analyses.sample import draw_sample  # noqa: PLC0415 - the same

            return draw_sample
        case TotalsRequest():
            from engine.analyses.totals import add_up  # noqa: PLC0415 - the same

            return add_up
        case CalibrateRequest():
            from engine.analyses.calibration import calibrate  # noqa: PLC0415 - the same

            return calibrate
