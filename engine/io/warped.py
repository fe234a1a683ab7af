"""A raster on another grid.

Every pixel is computed from its own place alone, so its bits do not depend on the window in which
it is read (GDAL's approximating transformer does not promise that), and the mask is that of the
source: a pixel is valid where the nearest source pixel is, and invalid neighbours have no weight.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj

from engine.geo.crs import parse_crs
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.raster import Mask, Pixels, Raster

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """Another raster's pixels brought to ``grid``, by interpolation or the nearest one."""

    raster: Raster
    grid: Grid
    is_nearest: bool = False
    is_sharp: bool = False
    """Cubic instead of linear where all neighbours are valid: blurs less, as dates that are
    compared pixel by pixel need it."""

    def dtype(self, index: int) -> str:
        """Name in numpy of a band's stored type."""
        return self.raster.dtype(index)

    def read(self, indexes: tuple[int, ...], window: Window) -> tuple[Pixels, Mask]:
        """Interpolated pixels in the stored type, and where all of the bands are valid."""
        rows, cols = _positions(self.grid, self.raster.grid, window)
        dtype = np.result_type(*(self.dtype(i) for i in indexes))
        inside = _inside(rows, cols, self.raster.grid.shape)
        if not inside.any():
            return np.zeros((len(indexes), *window.shape), dtype), np.zeros(window.shape, bool)
        needed = _needed(rows, cols, inside).expand(1, 1).intersect(self.raster.grid.window)
        data, valid = self.raster.read(indexes, needed)
        if self.is_nearest:
            row = _index(np.rint(rows - needed.row), needed.height)
            col = _index(np.rint(cols - needed.col), needed.width)
            return data[:, row, col].astype(dtype), valid[row, col] & inside
        place = rows - needed.row, cols - needed.col
        out, ok = _interpolate(data, valid, *place)
        if self.is_sharp:
            cubic, is_whole = _cubic(data, valid, *place)
            out = np.where(is_whole, cubic, out)
        return _stored(out, dtype), ok & inside

    def sample(self, indexes: tuple[int, ...], limit: int) -> list[Pixels]:
        """Values of the raster behind: where they lie does not matter to a sample."""
        return self.raster.sample(indexes, limit)


def is_same_crs(one: str | None, other: str | None) -> bool:
    """Whether two CRSs are the same, however their WKT is written."""
    if one is None or other is None:
        return one is other
    return one == other or parse_crs(one) == parse_crs(other)


def _positions(grid: Grid, source: Grid, window: Window) -> tuple[F64, F64]:
    """Rows and columns in ``source`` of the pixels of ``window``; centres are whole numbers.

    They have shapes that broadcast to the window's.
    """
    rows = np.arange(window.row, window.row_stop, dtype=np.float64)[:, None] + 0.5
    cols = np.arange(window.col, window.col_stop, dtype=np.float64)[None, :] + 0.5
    x = grid.transform.c + grid.transform.a * cols
    y = grid.transform.f + grid.transform.e * rows
    if not is_same_crs(grid.crs, source.crs):
        x, y = np.broadcast_arrays(x, y)
        x, y = _mover(grid.crs or "", source.crs or "", threading.get_ident()).transform(x, y)
    t = source.transform
    return (y - t.f) / t.e - 0.5, (x - t.c) / t.a - 0.5


@functools.lru_cache(maxsize=64)
def _mover(source: str, target: str, thread: int) -> pyproj.Transformer:  # noqa: ARG001 - PROJ's objects belong to one thread
    return pyproj.Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)


def _inside(rows: F64, cols: F64, shape: tuple[int, int]) -> Mask:
    """Where the nearest source pixel exists; a place that cannot be transformed is infinite."""
    half = 0.5
    inside: Mask = (
        (rows >= -half) & (rows < shape[0] - half) & (cols >= -half) & (cols < shape[1] - half)
    )
    return inside


def _needed(rows: F64, cols: F64, inside: Mask) -> Window:
    spans = []
    for axis in np.broadcast_arrays(rows, cols):
        used = axis[inside]
        spans.append((int(np.floor(used.min())), int(np.floor(used.max())) + 2))
    return Window.from_spans(*spans)


def _interpolate(data: Pixels, valid: Mask, rows: F64, cols: F64) -> tuple[F64, Mask]:
    """The weighted mean of the valid ones among the four pixels around each position."""
    height, width = valid.shape
    top, left = np.floor(rows), np.floor(cols)
    down, right = rows - top, cols - left
    shape = np.broadcast_shapes(rows.shape, cols.shape)
    total, weight = np.zeros((len(data), *shape)), np.zeros(shape)
    for step_row, share_row in ((0, 1 - down), (1, down)):
        row = _index(top + step_row, height)
        for step_col, share_col in ((0, 1 - right), (1, right)):
            col = _index(left + step_col, width)
            share = share_row * share_col * valid[row, col]
            total += np.where(share > 0, data[:, row, col], 0) * share
            weight += share
    nearest: Mask = valid[_index(np.rint(rows), height), _index(np.rint(cols), width)]
    ok = nearest & (weight > 0)
    return total / np.where(ok, weight, 1), ok


def _cubic(data: Pixels, valid: Mask, rows: F64, cols: F64) -> tuple[F64, Mask]:
    """Cubic convolution (Keys 1981, IEEE TASSP 29(6)), and where all 16 pixels are valid."""
    height, width = valid.shape
    top, left = np.floor(rows), np.floor(cols)
    shape = np.broadcast_shapes(rows.shape, cols.shape)
    total, is_whole = np.zeros((len(data), *shape)), np.ones(shape, bool)
    for row, share_row in zip(range(-1, 3), _keys(rows - top), strict=True):
        for col, share_col in zip(range(-1, 3), _keys(cols - left), strict=True):
            y, x = _index(top + row, height), _index(left + col, width)
            is_there = (top + row == y) & (left + col == x) & valid[y, x]
            total += np.where(is_there, data[:, y, x], 0) * (share_row * share_col)
            is_whole &= is_there
    return total, is_whole


def _keys(after: F64) -> tuple[F64, F64, F64, F64]:
    """Weights of the four pixels around a place that lies ``after`` the second of them."""
    t = after
    return (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )


def _index(position: F64, length: int) -> npt.NDArray[np.intp]:
    return np.clip(np.nan_to_num(position), 0, length - 1).astype(np.intp)


def _stored(values: F64, dtype: np.dtype[Any]) -> Pixels:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
