"""A model's bytes, checked before anything looks into them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard
from engine.models.checksum import mismatch


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
