"""The pixels that a plot covers, each with the share of it that lies inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from engine.calibrate.samples import F64
from engine.geo.crs import lonlat_of, parse_crs, reproject_geometry
from engine.geo.grid import Grid
from engine.geo.window import Window

Shapes = npt.NDArray[np.object_]
QUARTER = 32
"""Corners along a quarter of a circle: its area is right to four digits."""


@dataclass(frozen=True, eq=False)
class Footprint:
    """One plot on a grid."""

    window: Window
    """Pixels that it touches."""
    weights: F64
    """``[H, W]``: shares of those pixels."""
    inside: float
    """Share of the plot that lies on the grid."""


def circles(points: Shapes, crs: str, radius: float) -> Shapes:
    """Circles of ``radius`` metres on the ellipsoid around points of any CRS, in that CRS."""
    xy = np.column_stack([shapely.get_x(points), shapely.get_y(points)])
    found = []
    for lon, lat in lonlat_of(xy, crs).tolist():
        here = f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m"
        circle = shapely.Point(0, 0).buffer(radius, quad_segs=QUARTER)
        found.append(reproject_geometry(np.array([circle]), here, crs)[0])
    return np.array(found, dtype=object)


def in_pixels(shapes: Shapes, grid: Grid) -> Shapes:
    """Shapes of the grid's CRS with x as column and y as row."""
    back = ~grid.transform

    def move(xy: F64) -> F64:
        x, y = xy[:, 0], xy[:, 1]
        return np.column_stack([back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f])

    moved: Shapes = shapely.transform(shapes, move)
    return moved


def footprint(shape: shapely.Geometry, grid: Grid) -> Footprint | None:
    """A shape in pixels: of an area all pixels that it touches, of a point the one below it.

    None where no pixel is.
    """
    west, north, east, south = shape.bounds
    if not np.isfinite([west, north, east, south]).all():
        return None
    rows = int(np.floor(north)), max(int(np.ceil(south)), int(np.floor(north)) + 1)
    cols = int(np.floor(west)), max(int(np.ceil(east)), int(np.floor(west)) + 1)
    window = Window.from_spans(rows, cols).intersect(grid.window)
    if window.is_empty:
        return None
    if shape.area == 0:
        return Footprint(window, np.ones(window.shape), 1.0)
    weights = _shares(shape, window)
    total = float(weights.sum())
    return Footprint(window, weights, total / shape.area) if total > 0 else None


def _shares(shape: shapely.Geometry, window: Window) -> F64:
    """Share of every pixel of the window that lies in the shape, exactly."""
    row, col = np.mgrid[window.row : window.row_stop, window.col : window.col_stop]
    pixels = shapely.box(col, row, col + 1, row + 1)
    shapely.prepare(shape)
    whole = shapely.contains_properly(shape, pixels)
    cut = shapely.intersects(shape, pixels) & ~whole
    weights: F64 = whole.astype(np.float64)
    weights[cut] = shapely.area(shapely.intersection(pixels[cut], shape))
    return weights


def places_in_metres(points: F64, crs: str | None, pixel: float) -> F64:
    """Points ``[n, 2]`` about their middle in metres, as distances need them.

    Args:
        points: In the CRS; without one in pixels.
        crs: Of the points.
        pixel: Metres of a pixel without georeference.
    """
    if crs is None:
        return points * pixel
    lonlat = lonlat_of(points, crs)
    lon, lat = np.median(lonlat, axis=0).tolist()
    here = parse_crs(f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m")
    mover = pyproj.Transformer.from_crs("EPSG:4326", here, always_xy=True)
    found: F64 = np.column_stack(mover.transform(lonlat[:, 0], lonlat[:, 1]))
    return found


def overlapping(shapes: Shapes, least: float) -> list[tuple[int, int]]:
    """Pairs of areas of which at least the share ``least`` of the smaller one is common."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    later = one < other
    one, other = one[later], other[later]
    common = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    smaller = np.minimum(shapely.area(shapes[one]), shapely.area(shapes[other]))
    both = common >= least * np.maximum(smaller, 1e-12)
    return list(zip(one[both].tolist(), other[both].tolist(), strict=True))
