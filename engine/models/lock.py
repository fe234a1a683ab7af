"""One process at a time: a lock that dies with its owner."""

from __future__ import annotations

import contextlib
import errno
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from engine.contract.errors import CancelledError

POLL = 0.1
"""Seconds between two tries."""

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EDEADLK)
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks: renames still keep files whole
        return True


@contextlib.contextmanager
def exclusive(
    path: Path, cancelled: Callable[[], bool], waits: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the lock file ``path``; closing it, by whatever end of the process, gives it back.

    The file stays: to remove it would let a third process lock another file of the same name.

    Args:
        path: The file, made when it is not there.
        cancelled: Asked while another process holds the lock.
        waits: Told once, when another process holds it.

    Raises:
        CancelledError: when ``cancelled`` says so while another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        is_free = _try_lock(file)
        if not is_free:
            waits()
        while not is_free:
            if cancelled():
                raise CancelledError
            time.sleep(POLL)
            is_free = _try_lock(file)
        yield
