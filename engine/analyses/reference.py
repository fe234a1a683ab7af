"""What is true at some places of a map: points, polygons or a raster beside what the map says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from affine import Affine

from engine.analyses.finished import FinishedMap
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import reproject_geometry
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.layers import PolygonLayer, find_layer
from engine.io.outputs import RASTER_SUFFIXES

I64 = npt.NDArray[np.int64]
Shapes = npt.NDArray[np.object_]
Read = Callable[[Window], npt.NDArray[Any]]

BLOCK = 512
"""Pixels along the windows that points are read in."""
MOST_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Places:
    """Features of a reference layer on a map's grid."""

    layer: PolygonLayer
    kind: str
    """``points`` or ``polygons``."""
    shapes: Shapes
    """``[n]`` in pixels of the map: x = column, y = row."""
    fields: dict[str, npt.NDArray[Any]]
    """``[n]`` each."""

    def take(self, chosen: npt.NDArray[Any]) -> Places:
        """Some of them."""
        fields = {name: values[chosen] for name, values in self.fields.items()}
        return Places(self.layer, self.kind, self.shapes[chosen], fields)


def is_raster(reference: str) -> bool:
    """Whether a reference names a raster by its suffix."""
    return Path(reference.partition("|")[0]).suffix.lower() in RASTER_SUFFIXES


def read_places(reference: str, fields: Sequence[str], grid: Grid) -> Places:
    """The features of a layer.

    Raises:
        EngineError: ``LAYER_EMPTY``, ``FIELD_MISSING``, ``CRS_MISSING``, or what opening raises.
    """
    layer, geometry = find_layer(reference)
    kind = "points" if "Point" in geometry else "polygons" if "Polygon" in geometry else ""
    if not kind or not layer.count:
        raise EngineError(
            ErrorCode.LAYER_EMPTY,
            f"The layer {layer.shown} holds no points and no polygons.",
            "Give a layer of points or polygons with what is true there.",
        )
    for name in fields:
        layer.check_field(name)
    layer.check_crs(grid.crs)
    found = layer.read(tuple(fields))
    shapes = found.shapes
    there = np.array([s is not None and not s.is_empty for s in shapes], bool)
    if kind == "points":
        shapes[there] = shapely.centroid(shapes[there])
    if grid.crs is not None and layer.crs is not None:
        shapes[there] = reproject_geometry(shapes[there], layer.crs, grid.crs)
    shapes[there] = _in_pixels(shapes[there], grid)
    return Places(layer, kind, shapes[there], {f: v[there] for f, v in found.fields.items()})


def at_points(shapes: Shapes, shape: tuple[int, int], read: Read, absent: Any) -> npt.NDArray[Any]:
    """``[n]`` a raster's numbers at points in pixel coordinates, each block read once.

    Args:
        shapes: ``[n]`` points.
        shape: Of the raster.
        read: Gives its windows.
        absent: What points outside get.
    """
    cols, rows = (np.floor(v) for v in (shapely.get_x(shapes), shapely.get_y(shapes)))
    inside = (rows >= 0) & (cols >= 0) & (rows < shape[0]) & (cols < shape[1])
    found = np.full(len(shapes), absent)
    blocks = np.stack([rows // BLOCK, cols // BLOCK], axis=1)
    for block in np.unique(blocks[inside], axis=0).astype(np.int64):
        window = Window(int(block[0]) * BLOCK, int(block[1]) * BLOCK, BLOCK, BLOCK)
        window = window.intersect(Window(0, 0, *shape))
        mine = np.flatnonzero(inside & (blocks == block).all(axis=1))
        numbers = read(window)
        found[mine] = numbers[
            rows[mine].astype(np.int64) - window.row, cols[mine].astype(np.int64) - window.col
        ]
    return found


def in_polygon(polygon: Any, shape: tuple[int, int], read: Read) -> npt.NDArray[Any]:
    """``[n]`` a raster's numbers at the pixels whose centres lie in a polygon."""
    west, north, east, south = np.floor(polygon.bounds)
    window = Window.from_spans((int(north), int(south) + 1), (int(west), int(east) + 1))
    window = window.intersect(Window(0, 0, *shape))
    if window.is_empty:
        return np.empty(0)
    burnt = rasterio.features.rasterize(
        [(polygon, 1)],
        out_shape=window.shape,
        transform=Affine.translation(window.col, window.row),
        dtype="uint8",
    )
    inside: npt.NDArray[Any] = read(window)[burnt == 1]
    return inside


def numbers_of(places: Places, field: str) -> npt.NDArray[np.float64]:
    """``[n]`` a field's numbers; NaN where it is empty.

    Raises:
        EngineError: ``FIELD_INVALID``, naming what is none.
    """
    found, wrong = [], []
    for value in places.fields[field]:
        text = "" if value is None else str(value).strip()
        try:
            found.append(float(text) if text else np.nan)
        except ValueError:
            wrong.append(text)
            found.append(np.nan)
    if wrong:
        shown = ", ".join(wrong[:MOST_SHOWN]) + (" …" if len(wrong) > MOST_SHOWN else "")
        raise EngineError(
            ErrorCode.FIELD_INVALID,
            f"{len(wrong)} features of {places.layer.shown} have no number in «{field}»: {shown}.",
            "Write numbers, or leave the field empty where nothing is known.",
        )
    return np.array(found, np.float64)


def check_some(count: int, places: Places, found: FinishedMap) -> None:
    """Refuse a reference that the map has nothing to say of.

    Raises:
        EngineError: ``INPUT_GRID_MISMATCH``.
    """
    if not count:
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"None of the {len(places.shapes)} {places.kind} of {places.layer.shown} lies where "
            f"{found.name} has data.",
            "Give a reference of the same place, and check its coordinate reference system.",
        )


def _in_pixels(shapes: Shapes, grid: Grid) -> Shapes:
    inverse = ~grid.transform

    def moved(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        col, row = inverse @ (places[:, 0], places[:, 1])
        return np.column_stack([col, row])

    found: Shapes = shapely.transform(shapes, moved)
    return found
