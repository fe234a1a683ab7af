"""Scenes of which a mask hides a part."""

from __future__ import annotations

from typing import cast

import numpy as np
import rasterio

from engine.geo.chip import Chip
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.plausibility import Sampled
from engine.io.raster import Pixels
from engine.io.source import Band, Source


class MaskedSource:
    """A ``Source`` that has no data where a mask has a number other than 0."""

    def __init__(self, source: Source, mask: Source) -> None:
        """Take both, on one grid."""
        self._source = source
        self._mask = mask

    @property
    def grid(self) -> Grid:
        """The scene's own pixels."""
        return self._source.grid

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands of every chip, in order."""
        return self._source.bands

    def read(self, window: Window) -> Chip:
        """Stored pixels of ``window``, and where every band is valid and not hidden."""
        chip, mask = self._source.read(window), self._mask.read(window)
        is_hidden = mask.valid & (mask.data[0] != 0)
        return Chip(chip.data, chip.valid & ~is_hidden, window)

    def sample(self, limit: int) -> tuple[Pixels, ...]:
        """Valid stored values of each band, hidden ones too."""
        return tuple(cast("Sampled", self._source).sample(limit))

    def close(self) -> None:
        """Give back all file handles."""
        self._source.close()
        self._mask.close()


def hidden_share(path: str) -> float:
    """Share of a mask's pixels with data that hide something, 0..1."""
    hidden = seen = 0
    with rasterio.open(path) as source:
        for _, window in source.block_windows(1):
            codes = source.read(1, window=window, masked=True).compressed()
            hidden, seen = hidden + int(np.count_nonzero(codes)), seen + codes.size
    return hidden / max(seen, 1)


def made_by(path: str) -> str:
    """The model that made a mask, with its version; "" where the file tells none."""
    with rasterio.open(path) as source:
        return str(source.tags().get("SWATH_MODEL", ""))
