"""How a run talks to whoever started it."""

from __future__ import annotations

from typing import Protocol

from engine.contract.errors import CancelledError
from engine.contract.messages import Artifact


class Report(Protocol):
    """Told by the pipeline, implemented by jobs; every call is cheap."""

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """``done`` of ``total`` units of a stage are finished."""
        ...

    def message(self, level: str, text: str) -> None:
        """A sentence for the user; ``level`` is ``info`` or ``warning``."""
        ...

    def artifact(self, artifact: Artifact) -> None:
        """A file has got its final name."""
        ...

    def cancelled(self) -> bool:
        """Whether the user asked to stop; read between batches."""
        ...


class Silence:
    """A report that nobody reads."""

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Say nothing."""

    def message(self, level: str, text: str) -> None:
        """Say nothing."""

    def artifact(self, artifact: Artifact) -> None:
        """Say nothing."""

    def cancelled(self) -> bool:
        """Nobody is there to cancel."""
        return False


def stop_if_cancelled(report: Report) -> None:
    """Leave the work at this point when the user asked for it.

    Raises:
        CancelledError: when so.
    """
    if report.cancelled():
        raise CancelledError
