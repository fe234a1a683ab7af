"""What a run keeps on the disk while it is at work, alone or together with other processes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from engine.contract.errors import CancelledError
from engine.io.journal import JOURNAL, settle
from engine.models.lock import exclusive
from engine.pipeline.blocks import BlockStore
from engine.pipeline.kept import KeptPlan
from engine.pipeline.plan import Plan
from engine.pipeline.report import Report

MASKS = "clouds"
"""Folder of what is masked in the dates of a run, and of the runs that found it."""
_BLOCKS, _LOCK = "blocks", "publishing.lock"


class Workplace:
    """A job's folder: its plan, its blocks, the journal of its publication."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self.plan = KeptPlan(work)
        self.journal = work / JOURNAL

    def blocks(self, plan: Plan) -> BlockStore:
        """The blocks of a plan."""
        return BlockStore(self._folder(plan))

    def drop_blocks(self, plan: Plan) -> None:
        """Remove the blocks of a plan; what another program holds open stays."""
        shutil.rmtree(self._folder(plan), ignore_errors=True)

    @contextlib.contextmanager
    def alone(self, report: Report) -> Iterator[None]:
        """Be the only process that publishes; shards may be at work meanwhile.

        Raises:
            CancelledError: when the user asks for it while another process publishes.
        """

        def tell() -> None:
            text = "Another process is about to finish this run; waiting for it."
            report.message("info", text)

        with exclusive(self._work / _LOCK, report.cancelled, tell):
            yield

    def restore(self) -> None:
        """Give back what a process replaced that died while it published.

        Not while another process is at work here, and as far as the system allows: whoever goes
        on with the run tries again.
        """
        lock = exclusive(self._work / _LOCK, cancelled=lambda: True)
        with contextlib.suppress(OSError, CancelledError), lock:
            settle(self.journal)

    def clear(self) -> None:
        """Remove all that is Swath's; the folder itself is the user's."""
        with contextlib.suppress(OSError):
            self.plan.drop()
        for name in (_BLOCKS, MASKS):
            shutil.rmtree(self._work / name, ignore_errors=True)
        for pattern in (".plan-*", ".gone-*"):
            for folder in self._work.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)
        for path in (self.journal, self._work / _LOCK, *self._work.glob(f".{JOURNAL}-*")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _folder(self, plan: Plan) -> Path:
        return self._work / _BLOCKS / f"{plan.digest[:16]}-{plan.detail}"
