"""Bands of several rasters as one source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.geo.chip import Chip
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.handles import Handles
from engine.io.raster import Pixels, Raster
from engine.io.source import Band


@dataclass(frozen=True)
class Layer:
    """The bands that one raster gives to a stack."""

    raster: Raster
    """On the stack's grid."""
    indexes: tuple[int, ...]
    positions: tuple[int, ...]
    """Where the bands stand in a chip."""


class StackSource:
    """A ``Source`` whose bands come from one raster or several."""

    def __init__(
        self, grid: Grid, bands: tuple[Band, ...], layers: Sequence[Layer], handles: Handles
    ) -> None:
        self._grid = grid
        self._bands = bands
        self._layers = tuple(layers)
        self._handles = handles
        self._dtype = np.result_type(*(band.dtype for band in bands))

    @property
    def grid(self) -> Grid:
        """The scene's own pixels."""
        return self._grid

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands of every chip, in order."""
        return self._bands

    def read(self, window: Window) -> Chip:
        """Stored pixels of ``window``, and where every band is valid."""
        data: Pixels = np.zeros((len(self._bands), *window.shape), self._dtype)
        valid = np.ones(window.shape, bool)
        for layer in self._layers:
            pixels, ok = layer.raster.read(layer.indexes, window)
            data[list(layer.positions)] = pixels
            valid &= ok
        return Chip(data, valid, window)

    def sample(self, limit: int) -> tuple[Pixels, ...]:
        """Valid stored values of each band, of about ``limit`` pixels."""
        found: list[Pixels] = [np.zeros(0)] * len(self._bands)
        for layer in self._layers:
            values = layer.raster.sample(layer.indexes, limit)
            for position, band in zip(layer.positions, values, strict=True):
                found[position] = band
        return tuple(found)

    def close(self) -> None:
        """Give back all file handles."""
        self._handles.close()
