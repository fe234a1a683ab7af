"""A model's file before there is a card of it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.card import FileFormat, ModelCard, ModelFile, ModelOutput

FILE_FORMATS: dict[str, FileFormat] = {
    ".onnx": "onnx",
    ".pt2": "pt2",
    ".pt": "torchscript",
    ".ts": "torchscript",
    ".torchscript": "torchscript",
    ".safetensors": "safetensors",
}
"""Of files, by the end of their names."""
TEXTS = ("version", "title", "summary", "license", "attribution", "citation")
"""Of a card that says nothing."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model's file before there is a card of it."""

    name: str
    content: bytes
    format: FileFormat
    folder: Path
    """Where files that belong to it lie."""

    @property
    def network(self) -> str:
        """What its card has to tell of the network, see ``ModelFile.network``."""
        from engine.models.torch_smp import settings_beside  # noqa: PLC0415 - for this format alone

        is_smp = self.format == "safetensors"
        return settings_beside(self.content, self.folder) if is_smp else ""

    @property
    def card(self) -> ModelCard:
        """One that says nothing but which file it is."""
        sha256 = hashlib.sha256(self.content).hexdigest()
        file = ModelFile("", sha256, len(self.content), self.format, self.network)
        nothing: dict[str, Any] = dict.fromkeys(TEXTS, "unknown")
        return ModelCard(
            id=self.name,
            tasks=(),
            inputs=(),
            tiling=TileRule(1, 0),
            merge="crop",
            output=ModelOutput(),
            file=file,
            **nothing,
        )


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Tell in words why a file that a user named cannot be read.

    Raises:
        EngineError: ``MODEL_NOT_FOUND``, in place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise EngineError(
            ErrorCode.MODEL_NOT_FOUND,
            f"{path} cannot be read: {error.strerror or error}.",
            "Check the path and the file's permissions.",
        ) from error
