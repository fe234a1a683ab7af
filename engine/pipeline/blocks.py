"""Finished blocks on disk: a block is whole or absent."""

from __future__ import annotations

import secrets
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode

_CHECK_BYTES = 4
"""CRC-32 of the pixels, at the file's end."""


class BlockStore:
    """One file a block in a job's folder, made by write-then-rename.

    A process that dies leaves no block half written. A machine that dies may: the name can reach
    the disk before the bytes. Waiting for the disk would cost more than a lost block is worth, so
    a checksum tells such a block, and it counts as absent. Several processes may write the same
    block; they write the same bytes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where they are; what else lies there goes with them."""
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, index: int) -> bool:
        """Whether the block is there and whole; reads it."""
        return self._load(index) is not None

    def write(self, index: int, bands: npt.NDArray[np.uint8]) -> None:
        """Keep the block's bands ``[B, H, W]``."""
        final = self._path(index)
        temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
        pixels = np.ascontiguousarray(bands)
        try:
            with temporary.open("xb") as file:
                np.save(file, pixels)
                file.write(_checksum(pixels))
            self._rename(temporary, index)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        """The block's bands ``[B, H, W]``.

        Raises:
            EngineError: ``STATE_UNUSABLE`` when the block is no longer whole.
        """
        bands = self._load(index)
        if bands is None:
            raise EngineError(
                ErrorCode.STATE_UNUSABLE,
                f"A finished block, {self._path(index)}, has gone or was damaged.",
                "Resume the job or run the command again: the block is then computed anew.",
            )
        return bands

    def _load(self, index: int) -> npt.NDArray[np.uint8] | None:
        try:
            with self._path(index).open("rb") as file:
                bands: npt.NDArray[Any] = np.load(file)
                return bands if file.read() == _checksum(bands) else None
        except (FileNotFoundError, ValueError, EOFError):  # not there, or not what was written
            return None

    def _rename(self, temporary: Path, index: int) -> None:
        try:
            temporary.replace(self._path(index))
        except PermissionError:  # Windows, while another process reads the same block
            if not self.has(index):
                raise

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:07d}.npy"


def _checksum(pixels: npt.NDArray[np.uint8]) -> bytes:
    return zlib.crc32(pixels.data).to_bytes(_CHECK_BYTES, "little")
