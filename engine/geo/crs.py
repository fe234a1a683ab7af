"""Coordinate reference systems: lengths and areas on the ellipsoid. CRSs travel as WKT strings."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from engine.contract.errors import EngineError, ErrorCode


@functools.lru_cache(maxsize=64)
def parse_crs(text: str) -> pyproj.CRS:
    """The CRS that an authority code or WKT names.

    Raises:
        EngineError: ``EXTENT_INVALID`` when it names none.
    """
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError:
        raise EngineError(
            ErrorCode.EXTENT_INVALID,
            f"«{text[:60]}» is not a coordinate reference system.",
            "Give an authority code such as EPSG:4326, or WKT.",
        ) from None


@functools.lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)


def geod_of(crs: str) -> pyproj.Geod:
    """The ellipsoid of a CRS; WGS 84 when it has none."""
    return parse_crs(crs).get_geod() or pyproj.Geod(ellps="WGS84")


def geographic_of(crs: str) -> str:
    """The longitude and latitude CRS under ``crs``, as WKT."""
    base = parse_crs(crs).geodetic_crs
    return base.to_wkt() if base is not None else pyproj.CRS.from_epsg(4326).to_wkt()


def lonlat_of(places: npt.NDArray[np.float64], crs: str) -> npt.NDArray[np.float64]:
    """WGS 84 longitude and latitude ``[N, 2]`` of map coordinates ``[N, 2]`` (x, y), degrees."""
    x, y = _transformer(crs, "EPSG:4326").transform(places[:, 0], places[:, 1])
    return np.column_stack([x, y])


def transform_bounds(
    bounds: tuple[float, float, float, float], source: str, target: str
) -> tuple[float, float, float, float]:
    """The box around ``bounds`` in another CRS, its edges followed at 21 points each.

    Raises:
        EngineError: ``EXTENT_INVALID`` when a CRS is unknown or the box cannot be transformed.
    """
    if parse_crs(source) == parse_crs(target):
        return bounds
    found = _transformer(source, target).transform_bounds(*bounds, densify_pts=21)
    if not np.isfinite(found).all():
        raise EngineError(
            ErrorCode.EXTENT_INVALID,
            "The extent cannot be expressed in the raster's CRS.",
            "Check the extent and the CRS that it is given in.",
        )
    west, south, east, north = found
    return west, south, east, north


def metres_per_unit(crs: str, at: tuple[float, float]) -> tuple[float, float]:
    """Length in metres of one unit along x and along y near the point ``at`` of the CRS."""
    parsed = parse_crs(crs)
    if not parsed.is_geographic:
        factor = parsed.axis_info[0].unit_conversion_factor if parsed.axis_info else 1.0
        return factor, factor
    lon, lat = at
    half = 0.0005
    geod = geod_of(crs)
    lat = min(max(lat, -90 + half), 90 - half)
    along_x = geod.inv(lon - half, lat, lon + half, lat)[2] / (2 * half)
    along_y = geod.inv(lon, lat - half, lon, lat + half)[2] / (2 * half)
    return along_x, along_y


def reproject_geometry(
    geometries: npt.NDArray[np.object_], source: str, target: str
) -> npt.NDArray[np.object_]:
    """Geometries with their vertices moved to another CRS."""
    mover = _transformer(source, target)

    def move(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(mover.transform(xy[:, 0], xy[:, 1]))

    moved: npt.NDArray[np.object_] = shapely.transform(geometries, move)
    return moved


def areas_m2(geometries: npt.NDArray[np.object_], crs: str) -> npt.NDArray[np.float64]:
    """Area of each polygon on the ellipsoid, square metres.

    The vertices go to a cylindrical equal-area projection of the same ellipsoid (Snyder 1987,
    authalic q of equation 3-12), where planar area is ellipsoidal area; edges are straight there
    instead of geodesic, which for edges of a few pixels is below one part in a million.
    """
    unrolled = shapely.transform(geometries, lambda xy: to_equal_area(xy, crs))
    areas: npt.NDArray[np.float64] = shapely.area(unrolled)
    return areas


def to_equal_area(xy: npt.NDArray[np.float64], crs: str) -> npt.NDArray[np.float64]:
    """Points ``[N, 2]`` of a CRS on the cylinder of equal area around its ellipsoid, metres."""
    mover = _transformer(crs, geographic_of(crs))
    lonlat = np.column_stack(mover.transform(xy[:, 0], xy[:, 1]))
    return _equal_area(lonlat, geod_of(crs))


def _equal_area(lonlat: npt.NDArray[np.float64], geod: pyproj.Geod) -> npt.NDArray[np.float64]:
    """Longitude and latitude (degrees) on the cylinder of equal area (metres)."""
    lon, sin = np.radians(lonlat[:, 0]), np.sin(np.radians(lonlat[:, 1]))
    e2 = geod.es
    if e2 == 0:
        return np.column_stack([geod.a * lon, geod.a * sin])
    e = np.sqrt(e2)
    bracket = sin / (1 - e2 * sin**2) + np.arctanh(e * sin) / e
    return np.column_stack([geod.a * lon, geod.a * (1 - e2) / 2 * bracket])


def is_geographic(crs: str | None) -> bool:
    """Whether coordinates are degrees; without a CRS nobody says so."""
    return crs is not None and bool(parse_crs(crs).is_geographic)
