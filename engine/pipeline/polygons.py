"""Patches of equal class become rows of the vector output."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import shapely

from engine.geo.crs import areas_m2
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.geopackage import PolygonBatch
from engine.pipeline.plan import Plan
from engine.tasks.segment import PROBABILITY_SCALE
from engine.vectorize.stitch import Patch, stitch
from engine.vectorize.trace import Pieces, trace

U8 = npt.NDArray[np.uint8]
BATCH = 10_000
"""Polygons written at a time."""


def polygon_batches(plan: Plan, blocks: Iterable[tuple[Window, U8, U8]]) -> Iterator[PolygonBatch]:
    """Polygons with their class, area and mean confidence, in the CRS of the grid.

    Args:
        plan: Knows grid, region, legend and the smallest area.
        blocks: Window on the source grid, class ids ``[H, W]``, stored probability of the class
            decided ``[H, W]``; row by row, covering the region.
    """
    recipe = plan.recipe
    nodata = recipe.card.output.nodata
    pieces: Iterator[Pieces] = (trace(c, p, nodata, window) for window, c, p in blocks)
    patches = stitch(pieces, recipe.region)
    while chosen := list(itertools.islice(patches, BATCH)):
        yield _batch(plan, chosen)


def _batch(plan: Plan, patches: list[Patch]) -> PolygonBatch:
    names = {c.id: c.name for c in plan.recipe.card.output.classes}
    polygons = np.array([p.polygon for p in patches], object)
    geometry = _on_map(polygons, plan.recipe.grid)
    pixels = np.array([p.pixels for p in patches], np.int64)
    area = _areas(geometry, pixels, plan)
    mean = np.array([p.confidence for p in patches]) / pixels * PROBABILITY_SCALE
    kept = area >= plan.min_area
    fields = {
        "class_id": np.array([p.class_id for p in patches], np.int32),
        "class_name": np.array([names[p.class_id] for p in patches], object),
        plan.recipe.area_field: area,
        "confidence": mean.astype(np.float32),
    }
    return PolygonBatch(geometry[kept], {key: values[kept] for key, values in fields.items()})


def _on_map(polygons: npt.NDArray[np.object_], grid: Grid) -> npt.NDArray[np.object_]:
    """Pixel coordinates to map coordinates, exteriors counter-clockwise."""
    placed: npt.NDArray[np.object_] = shapely.orient_polygons(
        shapely.transform(polygons, grid.place)
    )
    return placed


def _areas(
    geometry: npt.NDArray[np.object_], pixels: npt.NDArray[np.int64], plan: Plan
) -> npt.NDArray[np.float64]:
    """Values of the area field."""
    crs, pixel_area = plan.recipe.grid.crs, plan.recipe.flat_pixel_area
    if crs is not None:
        return areas_m2(geometry, crs)
    return pixels.astype(np.float64) * (1.0 if pixel_area is None else pixel_area)
