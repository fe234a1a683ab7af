"""Finished blocks on disk: a block is whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class BlockStore:
    """One file a block in a job's private folder, made by write-then-rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, index: int) -> bool:
        """Whether the block is there, and so whole."""
        return self._path(index).exists()

    def write(self, index: int, bands: npt.NDArray[np.uint8]) -> None:
        """Keep the block's bands ``[B, H, W]``."""
        final = self._path(index)
        temporary = final.with_name(f".{final.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                np.save(file, bands)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, index: int) -> npt.NDArray[np.uint8]:
        """The block's bands ``[B, H, W]``."""
        bands: npt.NDArray[Any] = np.load(self._path(index))
        return bands

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:07d}.npy"
