"""Many files of the same bands as one raster, without seams between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import transform_bounds
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.raster import Mask, Pixels, Raster
from engine.io.warped import Resampled, is_same_crs

SAMPLED_TILES = 16
"""Tiles of a large mosaic that a sample is taken from."""


@dataclass(frozen=True)
class Place:
    """Where one grid lies on another."""

    window: Window
    """On the outer grid; may reach beyond it."""
    is_aligned: bool
    """Whether both share one lattice, so that pixels can be taken as they are."""


def place(inner: Grid, outer: Grid) -> Place | None:
    """Where ``inner`` lies on ``outer``; None when they do not touch."""
    if is_same_crs(inner.crs, outer.crs):
        inner = replace(inner, crs=outer.crs)
        offset = outer.aligned_offset(inner)
        if offset is not None:
            window = Window(*offset, *inner.shape)
            apart = window.intersect(outer.window).is_empty
            return None if apart else Place(window, is_aligned=True)
    return _touching(inner, outer)


def bounds_on(inner: Grid, outer: Grid) -> tuple[float, float, float, float]:
    """The bounds of ``inner`` in the CRS of ``outer``."""
    if inner.crs is None or outer.crs is None or is_same_crs(inner.crs, outer.crs):
        return inner.bounds
    return transform_bounds(inner.bounds, inner.crs, outer.crs)


def _touching(inner: Grid, outer: Grid) -> Place | None:
    try:
        return Place(outer.window_of(bounds_on(inner, outer)), is_aligned=False)
    except EngineError as error:
        if error.code is ErrorCode.EXTENT_OUTSIDE:
            return None
        raise


def fitted(
    raster: Raster, grid: Grid, spot: Place, *, is_class_map: bool = False, is_sharp: bool = False
) -> tuple[Raster, Window]:
    """``raster`` as it lies on ``grid``, resampled unless both share a lattice."""
    if spot.is_aligned:
        return raster, spot.window
    return Resampled(raster, grid.crop(spot.window), is_class_map, is_sharp), spot.window


def spanning_grid(grids: Sequence[Grid]) -> Grid:
    """The lattice of the first grid, grown to hold all of them."""
    first = grids[0]
    windows = [first.window]
    for grid in grids[1:]:
        same = replace(grid, crs=first.crs) if is_same_crs(grid.crs, first.crs) else grid
        offset = first.aligned_offset(same)
        windows.append(
            Window(*offset, *grid.shape) if offset else _covering(first, bounds_on(grid, first))
        )
    rows = min(w.row for w in windows), max(w.row_stop for w in windows)
    cols = min(w.col for w in windows), max(w.col_stop for w in windows)
    return first.crop(Window.from_spans(rows, cols))


def _covering(grid: Grid, bounds: tuple[float, float, float, float]) -> Window:
    """The window of the endless lattice of ``grid`` that ``bounds`` touch."""
    west, south, east, north = bounds
    corners = [~grid.transform @ (x, y) for x in (west, east) for y in (south, north)]
    cols, rows = zip(*corners, strict=True)
    low = int(np.floor(min(rows) + 1e-6)), int(np.floor(min(cols) + 1e-6))
    high = int(np.ceil(max(rows) - 1e-6)), int(np.ceil(max(cols) - 1e-6))
    return Window.from_spans((low[0], high[0]), (low[1], high[1]))


class Mosaic:
    """Rasters placed on one grid; where several are valid, the first one counts."""

    def __init__(self, grid: Grid, tiles: Sequence[tuple[Raster, Window]]) -> None:
        self._grid = grid
        self._tiles = tuple(tiles)
        self._edges: npt.NDArray[np.int64] = np.array(
            [(w.row, w.row_stop, w.col, w.col_stop) for _, w in tiles], np.int64
        ).reshape(-1, 4)

    @property
    def grid(self) -> Grid:
        """Where the pixels are."""
        return self._grid

    def dtype(self, index: int) -> str:
        """Name in numpy of the type that holds the band of every tile."""
        return np.result_type(*{raster.dtype(index) for raster, _ in self._tiles}).name

    def read(self, indexes: tuple[int, ...], window: Window) -> tuple[Pixels, Mask]:
        """Stored pixels and where all of the bands are valid; False between the tiles."""
        dtype = np.result_type(*(self.dtype(i) for i in indexes))
        data: Pixels = np.zeros((len(indexes), *window.shape), dtype)
        valid: Mask = np.zeros(window.shape, bool)
        for number in self._touched(window):
            raster, where = self._tiles[number]
            part = window.intersect(where)
            pixels, ok = raster.read(indexes, part.shift(-where.row, -where.col))
            rows, cols = part.slices_in(window)
            new = ok & ~valid[rows, cols]
            np.copyto(data[:, rows, cols], pixels, where=new)
            valid[rows, cols] |= ok
            if valid.all():
                break
        return data, valid

    def sample(self, indexes: tuple[int, ...], limit: int) -> list[Pixels]:
        """Valid stored values of each band, from tiles spread over the list."""
        count = min(len(self._tiles), SAMPLED_TILES)
        chosen = sorted({round(i) for i in np.linspace(0, len(self._tiles) - 1, count)})
        parts = [self._tiles[i][0].sample(indexes, limit // count) for i in chosen]
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def _touched(self, window: Window) -> list[int]:
        """Tiles that share pixels with the window, in order."""
        top, bottom, left, right = self._edges.T
        rows = (top < window.row_stop) & (bottom > window.row)
        cols = (left < window.col_stop) & (right > window.col)
        found: list[int] = np.flatnonzero(rows & cols).tolist()
        return found
