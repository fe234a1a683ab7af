"""Where pixels are on the Earth."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from affine import Affine

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import lonlat_of, metres_per_unit
from engine.geo.window import Window

ROTATION_TOLERANCE = 1e-9
"""Shear terms below this share of the pixel size are rounding, not rotation."""
ALIGNMENT_TOLERANCE = 1e-3
"""Offsets below this share of a pixel are rounding, not another lattice."""


@dataclass(frozen=True)
class Grid:
    """A north-up lattice of pixels; ``(row, col)`` order everywhere, as in numpy."""

    crs: str | None
    """WKT, or None: pixel coordinates (``x`` = column, ``y`` = -row, unit pixel)."""
    transform: Affine
    """Pixel corner ``(col, row)`` to map ``(x, y)``."""
    shape: tuple[int, int]
    """``(height, width)`` in pixels."""

    @property
    def is_georeferenced(self) -> bool:
        """Whether the pixels have a place on the Earth."""
        return self.crs is not None

    @property
    def window(self) -> Window:
        """The whole grid."""
        return Window(0, 0, *self.shape)

    @property
    def is_rotated(self) -> bool:
        """Whether rows are not parallels of the map's x axis."""
        a, b, _, d, e, _ = self.transform[:6]
        return bool(max(abs(b), abs(d)) > ROTATION_TOLERANCE * max(abs(a), abs(e)))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """``(west, south, east, north)`` in the grid's CRS."""
        height, width = self.shape
        xs, ys = zip(self.transform @ (0, 0), self.transform @ (width, height), strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @functools.cached_property
    def pixel_size_m(self) -> tuple[float, float] | None:
        """``(height, width)`` of the central pixel in metres; None without georeference."""
        if self.crs is None:
            return None
        west, south, east, north = self.bounds
        along_x, along_y = metres_per_unit(self.crs, ((west + east) / 2, (south + north) / 2))
        return abs(self.transform.e) * along_y, abs(self.transform.a) * along_x

    def crop(self, window: Window) -> Grid:
        """The grid of a window of this one."""
        moved = self.transform @ Affine.translation(window.col, window.row)
        return replace(self, transform=moved, shape=window.shape)

    def place(self, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map coordinates ``[N, 2]`` (x, y) of pixel corners ``[N, 2]`` (column, row)."""
        a, b, c, d, e, f = self.transform[:6]
        col, row = pixels[:, 0], pixels[:, 1]
        return np.column_stack([a * col + b * row + c, d * col + e * row + f])

    def degrees(self, window: Window) -> npt.NDArray[np.float64]:
        """Longitude and latitude ``[2, H, W]`` of the centres of a window's pixels, WGS 84.

        Raises:
            EngineError: ``CRS_MISSING``.
        """
        if self.crs is None:
            raise EngineError(
                ErrorCode.CRS_MISSING,
                "The model wants to know where pixels lie, and the raster has no georeference.",
                "Georeference the raster first.",
            )
        cols, rows = np.meshgrid(
            np.arange(window.col, window.col_stop) + 0.5,
            np.arange(window.row, window.row_stop) + 0.5,
        )
        places = self.place(np.column_stack([cols.ravel(), rows.ravel()]))
        return lonlat_of(places, self.crs).T.reshape(2, *window.shape)

    def window_of(self, bounds: tuple[float, float, float, float]) -> Window:
        """The pixels that ``bounds`` (west, south, east, north; the grid's CRS) touch.

        Raises:
            EngineError: ``EXTENT_OUTSIDE`` when they touch none.
        """
        west, south, east, north = bounds
        corners = [~self.transform @ (x, y) for x in (west, east) for y in (south, north)]
        cols, rows = zip(*corners, strict=True)
        span = Window.from_spans(_whole(rows), _whole(cols)).intersect(self.window)
        if span.is_empty:
            shown = ", ".join(f"{v:.6g}" for v in bounds)
            raise EngineError(
                ErrorCode.EXTENT_OUTSIDE,
                f"The extent {shown} lies outside the raster, which spans "
                f"{', '.join(f'{v:.6g}' for v in self.bounds)}.",
                "Choose an extent that overlaps the raster, and check the extent's CRS.",
            )
        return span

    def aligned_offset(self, other: Grid) -> tuple[int, int] | None:
        """``(rows, cols)`` from this grid's origin to ``other``'s when both share one lattice."""
        mine, theirs = self.transform, other.transform
        limit = 1e-6 * abs(mine.a)
        if self.crs != other.crs or any(abs(p - q) > limit for p, q in _shape_terms(mine, theirs)):
            return None
        col, row = ~mine @ (theirs.c, theirs.f)
        if max(abs(col - round(col)), abs(row - round(row))) > ALIGNMENT_TOLERANCE:
            return None
        return round(row), round(col)


def _shape_terms(p: Affine, q: Affine) -> list[tuple[float, float]]:
    return [(p.a, q.a), (p.b, q.b), (p.d, q.d), (p.e, q.e)]


def _whole(values: tuple[float, ...]) -> tuple[int, int]:
    """The integer span that covers the values; a hair of rounding is no pixel."""
    return math.floor(min(values) + 1e-6), math.ceil(max(values) - 1e-6)
