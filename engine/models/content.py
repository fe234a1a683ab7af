"""A model's bytes, checked before anything looks into them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard
from engine.models.checksum import CHUNK, mismatch
from engine.models.disk import whole_file


def read_checked(card: ModelCard, path: Path) -> bytes:
    """The file's bytes: those that are checked here are those that run.

    Raises:
        EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_HASH_MISMATCH``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(
            ErrorCode.MODEL_NOT_INSTALLED,
            f"The file of the model {card.id}, {path}, cannot be read: {error.strerror or error}.",
            f"Install it again with `swath models install {card.id}`.",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != card.file.sha256:
        hint = f"Install it again with `swath models install {card.id}`, or correct its card."
        raise mismatch(str(path), card.file.sha256, found, hint)
    return content


def keep_checked(
    stream: IO[bytes], target: Path, sha256: str, limit: int, check: Callable[[], None]
) -> None:
    """Write a stream to ``target``, unless its bytes are not the ones promised.

    Args:
        stream: Where the bytes come from; not read far beyond ``limit``.
        target: The file's final name.
        sha256: What the bytes must have, in hexadecimal digits.
        limit: How many they may be.
        check: Called between pieces; raises to give up.

    Raises:
        EngineError: ``MODEL_HASH_MISMATCH``, ``DISK_FULL``, ``STATE_UNUSABLE``; nothing is kept.
    """
    digest, done = hashlib.sha256(), 0
    with whole_file(target) as file:
        while (chunk := stream.read(CHUNK)) and done <= limit:
            check()
            digest.update(chunk)
            file.write(chunk)
            done += len(chunk)
        if digest.hexdigest() != sha256:
            hint = "Nothing was kept; look for a newer card of this model, or try again."
            raise mismatch(target.name, sha256, digest.hexdigest(), hint)
