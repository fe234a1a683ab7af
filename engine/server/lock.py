"""One engine a state folder: a lock that the system takes back when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from engine.contract.errors import EngineError, ErrorCode
from engine.jobs.database import unusable

FILE_NAME = "engine.lock"
_PLACE = 1 << 30
"""Offset of the locked byte: far behind the text, which others may read on Windows too."""


class StateLock:
    """Held from its making until ``release`` or the end of the process.

    Raises:
        EngineError: ``STATE_LOCKED`` when another engine holds it, ``STATE_UNUSABLE``.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / FILE_NAME
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file: BinaryIO = os.fdopen(
                os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b"
            )
        except OSError as error:
            raise unusable(state, error.strerror or str(error)) from error
        try:
            _lock(self._file)
        except OSError as error:
            raise self._taken(state) from error
        self._write(f"{os.getpid()}\n")

    def tell(self, url: str) -> None:
        """Note for whoever finds the lock taken where the holder can be reached."""
        self._write(f"{os.getpid()}\n{url}\n")

    def release(self) -> None:
        """Let another engine work on the folder; the file stays."""
        self._write("")
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text.encode())
        self._file.flush()

    def _taken(self, state: Path) -> EngineError:
        words = self._file.read(200).decode(errors="replace").split()
        self._file.close()
        who = f" (process {words[0]})" if words else ""
        where = f" at {words[1]}" if len(words) > 1 else ""
        return EngineError(
            ErrorCode.STATE_LOCKED,
            f"Another engine{who}{where} already works on the state folder {state}.",
            "Use that one, stop it, or choose another folder with the variable SWATH_STATE.",
        )


def _lock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows only

        file.seek(_PLACE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl  # noqa: PLC0415 - not on Windows

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
