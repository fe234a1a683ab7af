"""The polygons that limit a result, and which pixels lie in them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from affine import Affine

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import reproject_geometry
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.warped import is_same_crs

Geometries = npt.NDArray[np.object_]

EDGE_PIECES = 64
"""Parts that a polygon's extent is cut into before it goes to another CRS: straight lines bend."""
SCAN_EDGE = 2048


@dataclass(frozen=True)
class Aoi:
    """An area of interest on a grid."""

    window: Window
    """The pixels that the polygons' extent touches."""
    polygons: Geometries = field(repr=False, compare=False)
    """In pixel coordinates of the grid: x = column, y = row."""

    @property
    def digest(self) -> str:
        """sha256 of the polygons: which area it is, whatever file it came from."""
        return hashlib.sha256(b"".join(shapely.to_wkb(self.polygons, byte_order=1))).hexdigest()

    def mask(self, window: Window) -> npt.NDArray[np.bool_]:
        """``[H, W]``, True where a pixel's centre lies in a polygon."""
        box = shapely.box(window.col, window.row, window.col_stop, window.row_stop)
        near = self.polygons[shapely.intersects(self.polygons, box)]
        if not near.size:
            return np.zeros(window.shape, bool)
        # The offset is whole pixels, so the answer for a pixel is the same in every window.
        burnt = rasterio.features.rasterize(
            [(polygon, 1) for polygon in near],
            out_shape=window.shape,
            transform=Affine.translation(window.col, window.row),
            dtype="uint8",
        )
        inside: npt.NDArray[np.bool_] = burnt == 1
        return inside


def read_aoi(reference: str, grid: Grid) -> Aoi:
    """The polygons of a vector file on a grid.

    Args:
        reference: ``FILE``, ``FILE|layername=NAME`` or ``FILE|layerid=N``, as QGIS writes it.
        grid: The raster's grid. Without georeference the coordinates are taken as its pixels'.

    Raises:
        EngineError: ``MASK_UNREADABLE``, ``MASK_EMPTY``, ``EXTENT_OUTSIDE``, ``CRS_MISSING``.
    """
    path, options = _parsed(reference)
    shapes, crs = _read(path, options)
    polygons = _polygonal(shapes)
    if not polygons.size:
        raise _empty(path, "it holds no polygon")
    if grid.crs is not None:
        polygons = _moved(path, polygons, crs, grid.crs)
    window = _window(path, polygons, grid)
    aoi = Aoi(window, in_pixels(polygons, grid))
    if not any(aoi.mask(part).any() for part in _parts(window)):
        raise _empty(path, "its polygons hold the centre of no pixel of the raster")
    return aoi


def _parsed(reference: str) -> tuple[str, dict[str, str]]:
    path, *terms = reference.split("|")
    options = dict(term.partition("=")[::2] for term in terms)
    if "subset" in options:
        raise _unreadable(
            path, "it is filtered in QGIS", "Save the features that count as a file of their own."
        )
    return path, options


def _read(path: str, options: dict[str, str]) -> tuple[list[Any], str]:
    """All geometries of a layer and its CRS as WKT, "" when it has none."""
    if not path.startswith("/vsi") and "://" not in path and not Path(path).exists():
        raise _unreadable(path, "it does not exist", "Check the path.")
    import fiona  # noqa: PLC0415 - runs without polygons do without it
    from fiona.errors import FionaError  # noqa: PLC0415

    try:
        layer = _layer(path, options, fiona.listlayers(path))
        with fiona.open(path, layer=layer) as file:
            return [_shape(f.geometry) for f in file if f.geometry is not None], file.crs_wkt
    except (FionaError, OSError, ValueError, TypeError, shapely.errors.ShapelyError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise _unreadable(path, reason, "Check that it opens in QGIS.") from None


def _layer(path: str, options: dict[str, str], layers: list[str]) -> str:
    name, number = options.get("layername"), options.get("layerid", "0")
    if name is None:
        return layers[int(number)] if number.isdecimal() and int(number) < len(layers) else ""
    if name not in layers:
        raise _unreadable(path, f"it has no layer «{name}»", f"It holds {', '.join(layers)}.")
    return name


def _shape(geometry: Any) -> Any:
    return shapely.geometry.shape(geometry)


def _polygonal(shapes: list[Any]) -> Geometries:
    """The polygons among the geometries, flat and valid."""
    flat = shapely.force_2d(np.array(shapes, dtype=object))
    parts = shapely.get_parts(shapely.get_parts(flat))
    valid = np.where(shapely.is_valid(parts), parts, shapely.make_valid(parts))
    pieces = shapely.get_parts(shapely.get_parts(valid))
    is_polygon = shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON
    found: Geometries = pieces[is_polygon & ~shapely.is_empty(pieces)]
    return found


def _moved(path: str, polygons: Geometries, crs: str, target: str) -> Geometries:
    """Polygons in the CRS of the raster."""
    if not crs:
        raise EngineError(
            ErrorCode.CRS_MISSING,
            f"The mask «{Path(path).name}» does not tell its coordinate reference system.",
            "Give it the right one, for example with QGIS' Define projection tool.",
        )
    if is_same_crs(crs, target):
        return polygons
    west, south, east, north = shapely.total_bounds(polygons)
    cut = shapely.segmentize(polygons, max(east - west, north - south) / EDGE_PIECES)
    moved = reproject_geometry(cut, crs, target)
    finite = np.isfinite(shapely.bounds(moved)).all(axis=1)
    return _polygonal(list(moved[finite]))


def _window(path: str, polygons: Geometries, grid: Grid) -> Window:
    outside = EngineError(
        ErrorCode.EXTENT_OUTSIDE,
        f"No polygon of the mask «{Path(path).name}» overlaps the raster.",
        "Check that the mask is of the same place, and its coordinate reference system.",
    )
    if not polygons.size or not np.isfinite(shapely.total_bounds(polygons)).all():
        raise outside
    try:
        return grid.window_of(tuple(shapely.total_bounds(polygons).tolist()))
    except EngineError:
        raise outside from None


def in_pixels(polygons: Geometries, grid: Grid) -> Geometries:
    """Polygons of the grid's CRS in its pixels: x = column, y = row."""
    inverse = ~grid.transform

    def to_pixels(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y = xy[:, 0], xy[:, 1]
        cols = inverse.a * x + inverse.b * y + inverse.c
        rows = inverse.d * x + inverse.e * y + inverse.f
        return np.column_stack([cols, rows])

    moved: Geometries = shapely.transform(polygons, to_pixels)
    return moved


def _parts(window: Window) -> Iterator[Window]:
    rows = range(window.row, window.row_stop, SCAN_EDGE)
    cols = range(window.col, window.col_stop, SCAN_EDGE)
    for row, col in itertools.product(rows, cols):
        yield Window(row, col, SCAN_EDGE, SCAN_EDGE).intersect(window)


def _empty(path: str, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MASK_EMPTY,
        f"The mask «{Path(path).name}» is empty: {why}.",
        "Give a layer with polygons that cover part of the raster.",
    )


def _unreadable(path: str, why: str, hint: str) -> EngineError:
    return EngineError(
        ErrorCode.MASK_UNREADABLE, f"The mask «{Path(path).name}» cannot be read: {why}.", hint
    )
