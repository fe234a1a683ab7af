"""The plan in a work folder: the first process settles it, all others take it over."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from engine.contract.codec import to_plain
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import SegmentRequest
from engine.io.journal import flush_folders, write_durably
from engine.pipeline.plan import Plan, plan_from_json, plan_to_json

_OF_ONE_PROCESS = ("work", "shard", "memory")
"""Fields of a request in which processes that share a folder may differ."""


class KeptPlan:
    """A plan and the request that it was made for, in a folder of their own.

    The folder is filled under another name and then renamed, which no system does onto a folder
    that is not empty: so the first plan stays, whoever comes at the same time.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._folder = work / "plan"
        self.path = self._folder / "plan.json"

    def read(self, request: SegmentRequest) -> Plan | None:
        """The plan that is kept; None when there is none, or none that is of use.

        Raises:
            EngineError: ``REQUEST_INVALID`` when it is in a shared folder and was made for
                another request.
        """
        try:
            asked = json.loads((self._folder / "request.json").read_text("utf-8"))
            text = self.path.read_text("utf-8")
        except (FileNotFoundError, ValueError):
            return None
        if any(asked.get(name, value) != value for name, value in _question(request).items()):
            if request.work is None:
                return None
            raise EngineError(
                ErrorCode.REQUEST_INVALID,
                f"The folder {self._work} holds the blocks of a run that was asked for otherwise.",
                "Give the same inputs, outputs and options as there, or name another folder.",
            )
        with contextlib.suppress(EngineError, KeyError, TypeError, ValueError):
            return plan_from_json(text)
        return None

    @property
    def exists(self) -> bool:
        """Whether there is a plan, of whatever engine."""
        return self.path.exists()

    def keep(self, plan: Plan, request: SegmentRequest) -> Plan:
        """Keep a plan unless there is one; the plan that is kept.

        Raises:
            EngineError: ``REQUEST_INVALID`` as ``read``.
            OSError: when the folder cannot be written.
        """
        fresh = self._work / f".plan-{secrets.token_hex(4)}"
        fresh.mkdir(parents=True)
        try:
            write_durably(fresh / "request.json", json.dumps(_question(request)))
            write_durably(fresh / self.path.name, plan_to_json(plan))
            self._rename(fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return self.read(request) or plan

    def drop(self) -> None:
        """Forget the plan."""
        gone = self._work / f".gone-{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            self._folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _rename(self, fresh: Path) -> None:
        try:
            fresh.rename(self._folder)
        except OSError:  # ENOTEMPTY, EEXIST or EACCES: each system has its own
            if not self.exists:
                raise
        flush_folders([self._work])


def _question(request: SegmentRequest) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(request)
    return {name: value for name, value in plain.items() if name not in _OF_ONE_PROCESS}
