"""Where an analysis works: what it writes, whom it tells, which models it finds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from engine.contract.messages import Artifact, ClassArea, RunSummary
from engine.io.staging import Staging, write_text
from engine.models.store import ModelStore
from engine.pipeline.outcome import Outcome
from engine.pipeline.report import Report, stop_if_cancelled

PAGE, TABLE, GEOPACKAGE = "text/html", "text/csv", "application/geopackage+sqlite3"


class Desk:
    """Outputs get their names together, when all is done."""

    def __init__(self, staging: Staging, models: ModelStore, report: Report) -> None:
        self.models = models
        self._staging = staging
        self.report = report
        self._began = time.monotonic()
        self._artifacts: list[Artifact] = []
        self._notes: list[str] = []

    def place(self, role: str, path: Path, media_type: str, style: Path | None = None) -> Path:
        """Where to write the file that is to be ``path``, and what it is to the user.

        The first one asked for is the main result.
        """
        beside = None if style is None else str(style)
        self._artifacts.append(Artifact(role, str(path), media_type, beside))
        return self._staging.path(path)

    def write(self, role: str, path: Path, media_type: str, text: str) -> None:
        """Write a file of text (UTF-8)."""
        write_text(self.place(role, path, media_type), text)

    def style(self, path: Path, qml: str) -> None:
        """Write the style of a file that names it."""
        write_text(self._staging.path(path), qml)

    def note(self, sentence: str, *, warns: bool = False) -> None:
        """Tell the user, now and in the summary."""
        self._notes.append(sentence)
        self.report.message("warning" if warns else "info", sentence)

    def step(self, stage: str, done: int, total: int, unit: str) -> None:
        """``done`` of ``total`` units are finished.

        Raises:
            CancelledError: when the user asked for it.
        """
        stop_if_cancelled(self.report)
        self.report.progress(stage, done, total, unit)

    def outcome(self, method: str, pixels: int, areas: Sequence[ClassArea] = ()) -> Outcome:
        """What there is to tell in the end."""
        seconds = round(time.monotonic() - self._began, 3)
        notes = tuple(self._notes)
        summary = RunSummary(method, "cpu", seconds, pixels, tuple(areas), notes)
        return Outcome(tuple(self._artifacts), summary)
