"""Files appear under their names when all of them are whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.contract.errors import EngineError, ErrorCode
from engine.io.journal import Move, Publication, discard, flush_folders

_STALE_ENDINGS = {
    ".tif": (".aux.xml", ".ovr", ".msk"),
    ".tiff": (".aux.xml", ".ovr", ".msk"),
}
"""Files in which GDAL keeps more about a raster: wrong as soon as the raster is another one."""
_LOCK_ENDINGS = {".gpkg": ("-wal", "-journal")}
"""Files of a database that is open, or was when its program died."""
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def translate_os_error(error: OSError, path: Path) -> EngineError:
    """The error for a user that stands behind a failed write to ``path``."""
    if error.errno in _FULL:
        return disk_full(path)
    if error.errno == errno.EEXIST:
        return already_there(path)
    if error.errno in _FORBIDDEN:
        return EngineError(
            ErrorCode.OUTPUT_UNWRITABLE,
            f"There is no permission to write {path}, or another program has it open.",
            "Close it in other programs, or choose another folder.",
        )
    return unwritable(path, error.strerror or str(error))


def disk_full(path: Path) -> EngineError:
    """``DISK_FULL`` for a file that was to be ``path``."""
    return EngineError(
        ErrorCode.DISK_FULL,
        f"The disk that holds {path.parent} is full; nothing was kept of the result.",
        "Free some space or choose a folder on another disk, then run again.",
    )


def unwritable(path: Path, reason: str) -> EngineError:
    """``OUTPUT_UNWRITABLE`` with what the operating system or a library said."""
    return EngineError(
        ErrorCode.OUTPUT_UNWRITABLE,
        f"{path} cannot be written: {reason.rstrip('.')}.",
        "Check the folder, its free space and its permissions, or choose another folder.",
    )


def already_there(path: Path) -> EngineError:
    """``OUTPUT_EXISTS`` for a file that nobody allowed to replace."""
    return EngineError(
        ErrorCode.OUTPUT_EXISTS,
        f"{path} exists already.",
        "Choose another name, or allow overwriting (--overwrite).",
    )


def free_bytes(path: Path) -> float:
    """Space for the file ``path`` on its disk; infinite when nobody knows."""
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return float("inf")


@contextlib.contextmanager
def os_errors_translated(path: Path) -> Iterator[None]:
    """Raise what the operating system refuses about ``path`` as an ``EngineError``."""
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, path) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with line feeds only, the same bytes on every platform.

    Raises:
        EngineError: ``DISK_FULL``, ``OUTPUT_UNWRITABLE``.
    """
    with os_errors_translated(path):
        path.write_text(text, encoding="utf-8", newline="\n")


def check_unlocked(path: Path) -> None:
    """Refuse a new database beside an old one's log: they would be read together.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE``.
    """
    for ending in _LOCK_ENDINGS.get(path.suffix.lower(), ()):
        if _is_there(path.with_name(path.name + ending)):
            raise EngineError(
                ErrorCode.OUTPUT_UNWRITABLE,
                f"{path} is open in another program: {path.name + ending} lies beside it.",
                "Close the layer there (a QGIS that crashed leaves that file behind: delete it),"
                " or choose another name.",
            )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a sidecar's name may be too long where the file's own is not
        return False


class Staging:
    """Several files that get their names together.

    Each file is written under a hidden name in its own folder, so that renaming it is one step of
    the file system. Leaving the context without ``commit`` removes all of them, and whatever a
    library left beside them.

    Args:
        overwrite: Whether files that exist may be replaced.
        journal: A file, apart from the outputs, from which ``journal.settle`` knows what to do
            when this process dies; it stays after a commit, with the commit's note.
    """

    def __init__(self, *, overwrite: bool = False, journal: Path | None = None) -> None:
        self._overwrite = overwrite
        self._journal = journal
        self._publication = Publication()
        self._moves: list[Move] = []
        self._is_committed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_committed:
            self._publication.sweep()
            return
        with contextlib.suppress(OSError):  # then the journal stays, for whoever comes next
            self._publication.undo()
            if self._journal is not None:
                discard(self._journal)

    def path(self, final: Path) -> Path:
        """Where to write the file that is to be ``final``.

        The first file asked for is the main one: it gets its name last, when all that belongs
        to it is there.
        """
        target = Path(os.path.realpath(final)) if final.is_symlink() else final.absolute()
        for move in self._moves:
            if move.final == target and move.temporary is not None:
                return move.temporary
        number = len(self._moves)
        temporary = target.with_name(f"{self._publication.prefix}{number}{target.suffix}")
        self._moves.append(Move(temporary, target, self._backup(target, number)))
        if target.parent not in self._publication.folders:
            self._publication.folders += (target.parent,)
            self._save()
        return temporary

    def commit(self, note: Any = None) -> None:
        """Give all files their names, or none.

        Args:
            note: JSON values for the journal.

        Raises:
            EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE`` or ``DISK_FULL``; every file
                that was there before is there again.
        """
        for move in self._moves:
            check_unlocked(move.final)
        publication = self._publication
        moves = (*self._stale_moves(), *self._moves[1:], *self._moves[:1])
        for move in moves:
            with os_errors_translated(move.final):
                move.prepare()
        publication.moves, publication.note = moves, note
        self._save()
        self._rename(moves)
        self._is_committed = publication.is_over = True
        flush_folders(publication.folders)
        with contextlib.suppress(EngineError):  # the files tell it too while nobody changes them
            self._save()
        publication.tidy()
        self._moves.clear()

    def _rename(self, moves: tuple[Move, ...]) -> None:
        try:
            for move in moves:
                with os_errors_translated(move.final):
                    move.apply(self._overwrite)
        except BaseException:  # an interrupt too must leave all or nothing
            with contextlib.suppress(OSError):  # leaving the context tries again
                self._publication.undo()
            raise

    def _save(self) -> None:
        if self._journal is not None:
            with os_errors_translated(self._journal):
                self._publication.save(self._journal)

    def _backup(self, final: Path, number: int) -> Path:
        token = self._publication.token
        return final.with_name(f".swath-old-{token}-{number}{final.suffix}")

    def _stale_moves(self) -> list[Move]:
        """What GDAL kept about rasters that are about to be replaced."""
        written = {move.final for move in self._moves}
        beside = [
            final.with_name(final.name + ending)
            for final in written
            for ending in _STALE_ENDINGS.get(final.suffix.lower(), ())
        ]
        stale = sorted(path for path in beside if _is_there(path) and path not in written)
        first = len(self._moves)
        return [Move(None, p, self._backup(p, n)) for n, p in enumerate(stale, first)]
