"""What a submission must be before it is worth a job."""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import Submission


def check_submission(submission: Submission) -> None:
    """Refuse paths that mean something else to the engine than to whoever sent them.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    request = submission.request
    if not request.input.uris:
        raise _invalid("The request names no input.", "Name at least one file.")
    output = request.output
    outputs = (output.raster, output.vector, output.probability)
    local = [p for p in request.input.uris if not is_remote(p)]
    for path in (*local, *(p for p in outputs if p is not None)):
        if not Path(path).is_absolute():
            raise _invalid(f"The path «{path}» is not absolute.", "Send absolute paths.")


def is_remote(uri: str) -> bool:
    """Whether a name is understood by the libraries below rather than by the file system."""
    return "://" in uri or uri.startswith("/vsi")


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)
