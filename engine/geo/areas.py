"""What each pixel of a grid covers on the ellipsoid."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.geo.crs import geod_of, to_equal_area
from engine.geo.grid import Grid
from engine.geo.window import Window

F64 = npt.NDArray[np.float64]

TOLERANCE = 1e-7
"""Share of its area by which interpolation may miss a cell that it is checked against."""
_COARSEST = 128
"""Pixels along a cell's edge at first."""


def pixel_areas_m2(grid: Grid, crs: str, window: Window) -> F64:
    """Area of each pixel on the ellipsoid, square metres, ``[H, W]``.

    Mean areas of a coarse lattice of cells, interpolated linearly between their centres. The cells
    are halved until cells half as large differ from the interpolation by ``TOLERANCE`` at the
    most, down to single pixels; the smaller ones are then used.
    """
    height, width = window.shape
    cells = (math.ceil(height / _COARSEST), math.ceil(width / _COARSEST))
    coarse = _cell_areas(grid, crs, window, cells)
    while cells != window.shape:
        cells = (min(2 * cells[0], height), min(2 * cells[1], width))
        fine = _cell_areas(grid, crs, window, cells)
        error = np.abs(_interpolated(coarse, cells) / fine - 1)
        if (error <= TOLERANCE).all():
            return _interpolated(fine, window.shape)
        coarse = fine
    return coarse


def _cell_areas(grid: Grid, crs: str, window: Window, cells: tuple[int, int]) -> F64:
    """Mean area of the pixels of each cell."""
    rows, cols = (
        np.linspace(start, start + length, n + 1)
        for start, length, n in zip((window.row, window.col), window.shape, cells, strict=True)
    )
    col, row = np.meshgrid(cols, rows)
    placed = grid.place(np.column_stack([col.ravel(), row.ravel()]))
    x, y = to_equal_area(placed, crs).T.reshape(2, *row.shape)
    around = 2 * math.pi * geod_of(crs).a
    falling, rising = (
        (np.remainder(across + around / 2, around) - around / 2, along)
        for across, along in (
            (x[1:, 1:] - x[:-1, :-1], y[1:, 1:] - y[:-1, :-1]),
            (x[:-1, 1:] - x[1:, :-1], y[:-1, 1:] - y[1:, :-1]),
        )
    )
    pixels = np.prod(window.shape) / np.prod(cells)
    return np.abs(falling[0] * rising[1] - rising[0] * falling[1]) / (2 * pixels)


def _interpolated(values: F64, shape: tuple[int, int]) -> F64:
    """Values at the centres of a lattice, at the centres of another over the same rectangle."""
    return _along_rows(_along_rows(values, shape[0]).T, shape[1]).T


def _along_rows(values: F64, wanted: int) -> F64:
    """Linear interpolation along the first axis, and beyond its outer centres."""
    given = len(values)
    if given == 1:
        return np.repeat(values, wanted, axis=0)
    place = (np.arange(wanted) + 0.5) * given / wanted - 0.5
    before = np.clip(np.floor(place).astype(np.intp), 0, given - 2)
    share = (place - before)[:, None]
    return values[before] + share * np.diff(values, axis=0)[before]
