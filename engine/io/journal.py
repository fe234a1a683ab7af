"""What a publication is about to do, kept so that a successor can bring it to an end.

The journal lies apart from the outputs, in the folder of the job that makes them. When the process
dies while the outputs get their names, some have them and others do not: whoever goes on with the
job, or gives it up, reads the journal and restores what was there before.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

JOURNAL = "publication.json"
"""Name of the journal in a job's folder."""
_CLOSE_TIMES = 2.0
"""Seconds by which a file system may round a time."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a file from one that somebody put in its place; a rename keeps it."""

    size: int
    modified: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, path: Path) -> Stamp | None:
        """The stamp of a file; None when it is not there."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime)

    def fits(self, path: Path) -> bool:
        """Whether ``path`` is that file."""
        found = Stamp.of(path)
        if found is None or found.size != self.size:
            return False
        return abs(found.modified - self.modified) <= _CLOSE_TIMES


@dataclass(slots=True)
class Move:
    """One file on its way to its name; undoing looks at what is on the disk."""

    temporary: Path | None
    """None: nothing takes the place of ``final``."""
    final: Path
    backup: Path
    """Where a file that is replaced waits until all moves are done."""
    stamp: Stamp | None = None
    """Of the finished temporary file."""

    def prepare(self) -> None:
        """Bring the file's bytes to the disk before its name; a full disk may only show here.

        Raises:
            OSError: when that fails, or the file is not there.
        """
        if self.temporary is not None:
            with self.temporary.open("r+b") as file:
                os.fsync(file.fileno())
            self.stamp = Stamp.of(self.temporary)

    def apply(self, overwrite: bool) -> None:
        """Rename.

        Raises:
            OSError: when that fails; ``FileExistsError`` when a file would have to be replaced.
        """
        if self.final.exists():
            if not overwrite:
                raise FileExistsError(errno.EEXIST, "File exists", str(self.final))
            self.final.replace(self.backup)
        if self.temporary is not None:
            self.temporary.replace(self.final)

    @property
    def is_done(self) -> bool:
        """Whether the file has got its name, and nobody has put another there."""
        if self.temporary is None or self.temporary.exists():
            return False
        return self.stamp is not None and self.stamp.fits(self.final)

    def undo(self) -> None:
        """Restore what was there; a file that is not of this publication is not touched."""
        if self.is_done:
            self.final.unlink()
        if self.backup.exists() and not self.final.exists():
            self.backup.replace(self.final)


@dataclass
class Publication:
    """All files that get their names together."""

    token: str = field(default_factory=lambda: secrets.token_hex(4))
    """Part of the temporary names."""
    folders: tuple[Path, ...] = ()
    """Where temporary files lie."""
    moves: tuple[Move, ...] = ()
    """In the order of the renames; none before all files are finished."""
    note: Any = None
    """JSON values of whoever publishes."""
    is_over: bool = False
    """Whether every file has got its name, whatever became of it since."""

    @property
    def prefix(self) -> str:
        """What the names of temporary files begin with."""
        return f".swath-{self.token}-"

    @property
    def is_complete(self) -> bool:
        """Whether all files got their names: the last one is renamed last and undone first."""
        return self.is_over or (bool(self.moves) and self.moves[-1].is_done)

    def undo(self) -> None:
        """Restore what was there before the first rename, and remove temporary files.

        Raises:
            OSError: when the system refuses; trying again later is safe.
        """
        for move in reversed(self.moves):
            move.undo()
        self.tidy()

    def tidy(self) -> None:
        """Remove temporary files, and replaced files whose place another one has."""
        for move in self.moves:
            discard(move.backup)
        self.sweep()

    def sweep(self) -> None:
        """Remove temporary files, with whatever a library left beside them."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    if path.name.startswith(self.prefix):
                        discard(path)

    def save(self, path: Path) -> None:
        """Keep all this on the disk.

        Raises:
            OSError: when that fails.
        """
        plain = {
            "token": self.token,
            "folders": [str(folder) for folder in self.folders],
            "moves": [_move_to_plain(move) for move in self.moves],
            "note": self.note,
            "is_over": self.is_over,
        }
        write_durably(path, json.dumps(plain, indent=1))

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """What ``save`` kept; None when there is nothing to read."""
        try:
            plain = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        folders = tuple(Path(folder) for folder in plain["folders"])
        moves = tuple(_move_from_plain(move) for move in plain["moves"])
        return cls(plain["token"], folders, moves, plain["note"], plain["is_over"])


def settle(journal: Path) -> Any:
    """Bring the publication of a process that is gone to an end.

    Only for the one process that goes on with the job, or gives it up.

    Returns:
        The publication's note when all files have their names; None when there was no
        publication, or when it was undone.

    Raises:
        OSError: when the system refuses to undo it; trying again later is safe.
    """
    publication = Publication.load(journal)
    if publication is None:
        return None
    if publication.is_complete:
        publication.tidy()
        return publication.note
    publication.undo()
    journal.unlink(missing_ok=True)
    return None


def discard(path: Path) -> None:
    """Remove a file of our own; what another program holds open is left to the user."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def write_durably(path: Path, text: str) -> None:
    """Write a small file that is whole or absent, even when the machine loses its power.

    Raises:
        OSError: when that fails.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folders([path.parent])
    finally:
        temporary.unlink(missing_ok=True)


def flush_folders(folders: Iterable[Path]) -> None:
    """Bring renames to the disk, where the system lets folders be flushed."""
    for folder in folders:
        with contextlib.suppress(OSError):  # Windows opens no folders
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def _move_to_plain(move: Move) -> dict[str, Any]:
    stamp = move.stamp and [move.stamp.size, move.stamp.modified]
    temporary = None if move.temporary is None else str(move.temporary)
    return {
        "temporary": temporary,
        "final": str(move.final),
        "backup": str(move.backup),
        "stamp": stamp,
    }


def _move_from_plain(plain: dict[str, Any]) -> Move:
    temporary = None if plain["temporary"] is None else Path(plain["temporary"])
    stamp = None if plain["stamp"] is None else Stamp(*plain["stamp"])
    return Move(temporary, Path(plain["final"]), Path(plain["backup"]), stamp)
