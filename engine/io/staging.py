"""Files appear under their names when all of them are whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.contract.errors import EngineError, ErrorCode

RASTER_SUFFIXES = (".tif", ".tiff")
VECTOR_SUFFIXES = (".gpkg",)
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


def check_outputs(
    paths: Sequence[Path],
    overwrite: bool,
    *,
    sidecars: Sequence[Path] = (),
    inputs: Sequence[str] = (),
) -> None:
    """Refuse, before any work, outputs that could not be delivered in the end.

    Args:
        paths: Rasters (``.tif``) and vectors (``.gpkg``) that are asked for.
        overwrite: Whether files that exist may be replaced.
        sidecars: Further files that will be written beside them.
        inputs: Files that are read, which no output may replace.

    Raises:
        EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE`` or ``DISK_FULL``.
    """
    for path in paths:
        _check_suffix(path)
    everything = [*paths, *sidecars]
    _check_distinct(everything)
    for path in everything:
        with os_errors_translated(path):
            _check_no_input(path, inputs)
            _check_target(path, overwrite)
            _check_unlocked(path)
    for folder in dict.fromkeys(path.absolute().parent for path in everything):
        _check_folder(folder)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in RASTER_SUFFIXES + VECTOR_SUFFIXES:
        raise EngineError(
            ErrorCode.OUTPUT_UNWRITABLE,
            f"{path} ends neither in .tif nor in .gpkg, the formats that are written.",
            "Name rasters NAME.tif and vectors NAME.gpkg.",
        )


def _check_distinct(paths: Sequence[Path]) -> None:
    names = [os.path.normcase(path.absolute()) for path in paths]
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            raise EngineError(
                ErrorCode.OUTPUT_UNWRITABLE,
                f"Two outputs of this run would both be {path}.",
                "Give each output a name of its own.",
            )


def _check_no_input(path: Path, inputs: Sequence[str]) -> None:
    if any(_is_same_file(path, Path(uri.split("|", 1)[0])) for uri in inputs):
        raise EngineError(
            ErrorCode.OUTPUT_UNWRITABLE,
            f"{path} is an input of this run and cannot be its output too.",
            "Choose another name for the output.",
        )


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is no local file that exists
        return False


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise unwritable(path, "a folder of that name exists")
    if not path.exists():
        return
    if not overwrite:
        raise _exists(path)
    if not os.access(path, os.W_OK):
        raise unwritable(path, "the file that it would replace is write-protected")


def _exists(path: Path) -> EngineError:
    return EngineError(
        ErrorCode.OUTPUT_EXISTS,
        f"{path} exists already.",
        "Choose another name, or allow overwriting (--overwrite).",
    )


def _check_unlocked(path: Path) -> None:
    """A new database beside an old one's log would be read together with that log."""
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


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise unwritable(folder, "there is no such folder")
    probe = folder / f".swath-{secrets.token_hex(4)}.probe"
    with os_errors_translated(folder):
        try:
            probe.write_bytes(b"\0")
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)


@dataclass(slots=True)
class _Move:
    """One file on its way to its name; undoing looks at what is on the disk."""

    temporary: Path | None
    """None: nothing takes the place of ``final``."""
    final: Path
    backup: Path
    """Where a file that is replaced waits until all moves are done."""
    started: bool = False

    def apply(self, overwrite: bool) -> None:
        if self.temporary is not None and not self.temporary.exists():
            raise FileNotFoundError(errno.ENOENT, "the finished file has gone", str(self.final))
        if self.final.exists() and not overwrite:
            raise _exists(self.final)
        self.started = True
        if self.final.exists():
            self.final.replace(self.backup)
        if self.temporary is not None:
            self.temporary.replace(self.final)

    def undo(self) -> None:
        if not self.started:
            return
        if self.temporary is not None and not self.temporary.exists():
            self.final.unlink(missing_ok=True)
        if self.backup.exists():
            self.backup.replace(self.final)


class Staging:
    """Several files that get their names together.

    Each file is written under a hidden name in its own folder, so that renaming it is one step of
    the file system. Leaving the context without ``commit`` removes all of them, and whatever a
    library left beside them.
    """

    def __init__(self, *, overwrite: bool = False) -> None:
        self._overwrite = overwrite
        self._token = secrets.token_hex(4)
        self._moves: list[_Move] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sweep()

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
        temporary = target.with_name(f"{self._prefix}{number}{target.suffix}")
        self._moves.append(_Move(temporary, target, self._backup(target, number)))
        return temporary

    def commit(self) -> None:
        """Give all files their names, or none.

        Raises:
            EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE`` or ``DISK_FULL``; every file
                that was there before is there again.
        """
        for move in self._moves:
            _check_unlocked(move.final)
        moves = [*self._stale_moves(), *self._moves[1:], *self._moves[:1]]
        try:
            for move in moves:
                _apply(move, self._overwrite)
        except BaseException:  # an interrupt too must leave all or nothing
            for move in reversed(moves):
                move.undo()
            raise
        for move in moves:
            _discard(move.backup)
        self._sweep()
        self._moves.clear()

    @property
    def _prefix(self) -> str:
        return f".swath-{self._token}-"

    def _backup(self, final: Path, number: int) -> Path:
        return final.with_name(f".swath-old-{self._token}-{number}{final.suffix}")

    def _stale_moves(self) -> list[_Move]:
        """What GDAL kept about rasters that are about to be replaced."""
        written = {move.final for move in self._moves}
        beside = [
            final.with_name(final.name + ending)
            for final in written
            for ending in _STALE_ENDINGS.get(final.suffix.lower(), ())
        ]
        stale = sorted(path for path in beside if _is_there(path) and path not in written)
        first = len(self._moves)
        return [_Move(None, p, self._backup(p, n)) for n, p in enumerate(stale, first)]

    def _sweep(self) -> None:
        for folder in {move.final.parent for move in self._moves}:
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    if path.name.startswith(self._prefix):
                        _discard(path)


def _apply(move: _Move, overwrite: bool) -> None:
    with os_errors_translated(move.final):
        if move.temporary is not None:
            _flush(move.temporary)
        move.apply(overwrite)


def _flush(path: Path) -> None:
    """Bring a file's bytes to the disk before its name; a full disk may only show here."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _discard(path: Path) -> None:
    """Remove a file of our own; what another program holds open is left to the user."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
