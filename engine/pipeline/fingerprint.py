"""Which bytes an input file had, without reading all of a large one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

SAMPLE = 1 << 20
"""Bytes read at the head and at the tail."""


@dataclass(frozen=True)
class InputFile:
    """One file of the scene."""

    uri: str
    size: int | None
    """Bytes; None for what is no plain file (``/vsi…``)."""
    sample: str | None
    """sha256 over size, first and last MiB."""


def fingerprint(uri: str) -> InputFile:
    """Look at the file behind ``uri``."""
    path = Path(uri)
    if not path.is_file():
        return InputFile(uri, None, None)
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(SAMPLE))
        file.seek(max(size - SAMPLE, 0))
        digest.update(file.read(SAMPLE))
    return InputFile(uri, size, digest.hexdigest())
