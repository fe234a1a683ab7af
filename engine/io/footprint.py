"""The outline of a raster in longitude and latitude, as GeoJSON wants it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import mapping

from engine.geo.crs import reproject_geometry

_LONLAT = "OGC:CRS84"
_POINTS = 16
"""Pieces of each edge: straight lines of a projection are curves in longitude and latitude."""
_DECIMALS = 7
"""Of a degree: about a centimetre."""
_WORLD = (-180.0, -90.0, 180.0, 90.0)


def footprint(
    crs: str, bounds: tuple[float, float, float, float]
) -> tuple[dict[str, Any], list[float]]:
    """GeoJSON geometry and bounding box (west, south, east, north) of a box in ``crs``.

    Across the antimeridian the geometry is cut in two, and west is greater than east (RFC 7946).
    """
    west, south, east, north = bounds
    step = max(east - west, north - south) / _POINTS
    box = shapely.segmentize(shapely.box(west, south, east, north), step)
    ring = shapely.get_coordinates(reproject_geometry(np.array([box]), crs, _LONLAT))
    pieces = _pieces(ring)
    shape = pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
    return _plain(mapping(shape)), _bbox(pieces)


def _pieces(ring: npt.NDArray[np.float64]) -> list[shapely.Polygon]:
    """The ring as polygons within -180 .. 180 degrees of longitude."""
    lon = np.unwrap(ring[:, 0], period=360)
    if abs(lon[-1] - lon[0]) > 1:
        return [_cap(ring[:, 1])]
    polygon = shapely.Polygon(np.column_stack([lon, ring[:, 1]]))
    if not polygon.is_valid:
        polygon = shapely.envelope(polygon)
    turns = range(int(np.floor((lon.min() + 180) / 360)), int(np.ceil((lon.max() + 180) / 360)))
    found = [_turned_back(polygon, turn) for turn in turns]
    pieces = [shapely.set_precision(piece, 10**-_DECIMALS) for piece in found if piece.area > 0]
    return [shapely.geometry.polygon.orient(p) for p in pieces if p.geom_type == "Polygon"]


def _turned_back(polygon: shapely.Polygon, turn: int) -> shapely.Geometry:
    moved = shapely.transform(polygon, lambda xy: xy - [360.0 * turn, 0.0])
    return shapely.intersection(moved, shapely.box(*_WORLD))


def _cap(lat: npt.NDArray[np.float64]) -> shapely.Polygon:
    """Everything towards the pole that the ring goes round."""
    south, north = (lat.min(), 90.0) if lat.mean() > 0 else (-90.0, lat.max())
    return shapely.box(-180.0, round(south, _DECIMALS), 180.0, round(north, _DECIMALS))


def _bbox(pieces: list[shapely.Polygon]) -> list[float]:
    boxes = sorted(piece.bounds for piece in pieces)
    south, north = min(b[1] for b in boxes), max(b[3] for b in boxes)
    # two pieces: the western one of the map lies east of the antimeridian
    west, east = (boxes[0][0], boxes[0][2]) if len(boxes) == 1 else (boxes[-1][0], boxes[0][2])
    return [round(float(v), _DECIMALS) for v in (west, south, east, north)]


def _plain(geometry: dict[str, Any]) -> dict[str, Any]:
    return {"type": geometry["type"], "coordinates": _rounded(geometry["coordinates"])}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    return [_rounded(v) for v in value]
