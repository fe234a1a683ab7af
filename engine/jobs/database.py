"""The SQLite file behind the job store: opening, migrations, errors in words."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode

FILE_NAME = "jobs.sqlite"
BUSY_SECONDS = 20.0
"""How long a statement waits for another process' transaction."""

_FIRST = (
    """CREATE TABLE jobs (
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      task TEXT NOT NULL,
      label TEXT NOT NULL,
      request TEXT NOT NULL,
      device TEXT NOT NULL,
      held INTEGER NOT NULL DEFAULT 0,
      state TEXT NOT NULL,
      created TEXT NOT NULL,
      started TEXT,
      ended TEXT,
      stage TEXT NOT NULL DEFAULT '',
      done INTEGER NOT NULL DEFAULT 0,
      total INTEGER NOT NULL DEFAULT 0,
      unit TEXT NOT NULL DEFAULT '',
      last_seq INTEGER NOT NULL DEFAULT 0,
      stop TEXT,
      worker_pid INTEGER,
      worker_born REAL,
      artifacts TEXT NOT NULL DEFAULT '[]',
      summary TEXT,
      error TEXT
    )""",
    "CREATE INDEX jobs_by_state ON jobs (state)",
    """CREATE TABLE events (
      job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
      seq INTEGER NOT NULL,
      time TEXT NOT NULL,
      kind TEXT NOT NULL,
      payload TEXT NOT NULL,
      PRIMARY KEY (job_id, seq)
    ) WITHOUT ROWID""",
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""Statements that lead from schema version ``index`` to the next; append, never change."""


class Database:
    """One connection, shared by the threads of a process and locked by whoever uses it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.RLock()
        with self._translated():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise unusable(folder, error.strerror or str(error)) from error
            self._connection = self._open()

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for single statements that change nothing."""
        with self._lock, self._translated():
            yield self._connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection within a transaction: all of it happens, or nothing."""
        with self._lock, self._translated(), transaction(self._connection):
            yield self._connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "disk is full" in str(error):
                raise EngineError(
                    ErrorCode.DISK_FULL,
                    f"The disk of the state folder {self.path.parent} is full.",
                    "Free some space, or move the folder with the variable SWATH_STATE.",
                ) from error
            raise unusable(self.path, str(error)) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what happens within, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Let readers and one writer work at the same time, where the file system allows it."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    # Network folders cannot share memory: the classic journal works there, only slower.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == len(MIGRATIONS):
        return
    with transaction(connection):
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise unusable(path, f"it was made by a newer Swath (schema {version})")
        for statement in (s for step in MIGRATIONS[version:] for s in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def unusable(path: Path, why: str) -> EngineError:
    """The error of a state folder that cannot be worked with."""
    return EngineError(
        ErrorCode.STATE_UNUSABLE,
        f"Swath cannot keep its jobs in {path}: {why.rstrip('.')}.",
        "Make the folder writable, or choose another with the variable SWATH_STATE.",
    )
