"""What nobody foresaw: kept in a log for whoever mends it, told in a sentence."""

from __future__ import annotations

import traceback
from pathlib import Path

from engine.contract.errors import ErrorCode, ErrorInfo


def record_defect(log: Path) -> ErrorInfo:
    """Append the exception being handled to a log file; the error that names the file."""
    hint = f"Please report it with the file {log}."
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    except OSError:
        hint = "Please report it; its details could not be written to the state folder."
    return ErrorInfo(ErrorCode.INTERNAL, "Something unforeseen went wrong in the engine.", hint)
