"""Which bytes a file holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode

CHUNK = 1 << 20
"""Bytes read, written or received at a time."""


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(name: str, expected: str, got: str, hint: str) -> EngineError:
    """The refusal of bytes that are not the ones promised."""
    return EngineError(
        ErrorCode.MODEL_HASH_MISMATCH,
        f"{name} is not the file that was promised: its sha256 is {got}, expected was {expected}.",
        hint,
    )
