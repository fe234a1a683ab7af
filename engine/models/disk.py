"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engine.contract.errors import EngineError, ErrorCode

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file to write that gets the name ``target`` once the block ends without an error.

    Raises:
        EngineError: ``DISK_FULL`` or ``STATE_UNUSABLE``.
    """
    with translated(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
        try:
            with staged.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Tell what the operating system refuses in words.

    Raises:
        EngineError: ``DISK_FULL`` or ``STATE_UNUSABLE``, in place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise  # not the system's: a network library's own kind of OSError
        raise _explained(error, path) from error


def _explained(error: OSError, path: Path) -> EngineError:
    if error.errno in FULL:
        return EngineError(
            ErrorCode.DISK_FULL,
            f"The disk is full: {path.name} cannot be written in {path.parent}.",
            "Free some space, or move the state folder with SWATH_STATE.",
        )
    return EngineError(
        ErrorCode.STATE_UNUSABLE,
        f"{path} cannot be written: {error.strerror or error}.",
        "Check the folder's permissions, or move the state folder with SWATH_STATE.",
    )
