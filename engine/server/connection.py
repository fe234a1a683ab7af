"""The connection file: how programs of the same user find a running engine."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from engine.contract.codec import from_plain, to_plain
from engine.contract.errors import EngineError
from engine.contract.places import Connection, connection_path


def write_connection(state: Path, connection: Connection) -> None:
    """Put the file in its place in one step, readable by its owner alone from the first byte."""
    final = connection_path(state)
    temporary = final.with_name(f".{final.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(to_plain(connection), file)
    temporary.replace(final)


def read_connection(state: Path) -> Connection | None:
    """What a running engine wrote; None when there is none or it is no connection file."""
    try:
        plain = json.loads(connection_path(state).read_text(encoding="utf-8"))
        return from_plain(Connection, plain)
    except (OSError, ValueError, EngineError):
        return None


def remove_connection(state: Path, token: str) -> None:
    """Take the file away, if it is still the one with our token."""
    found = read_connection(state)
    if found is not None and found.token == token:
        with contextlib.suppress(OSError):
            connection_path(state).unlink()
