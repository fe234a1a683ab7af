"""Patches of equal class become rows of the vector output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import shapely

from engine.geo.areas import pixel_areas_m2
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.geopackage import PolygonBatch
from engine.pipeline.plan import Plan
from engine.tasks.segment import PROBABILITY_SCALE
from engine.vectorize.patches import Patches
from engine.vectorize.stitch import stitch
from engine.vectorize.trace import ClassBlock, Frame, trace

U8 = npt.NDArray[np.uint8]


def polygon_batches(plan: Plan, blocks: Iterable[tuple[Window, U8, U8]]) -> Iterator[PolygonBatch]:
    """Polygons with their class, area and mean confidence, in the CRS of the grid.

    Args:
        plan: Knows grid, region, legend and the smallest area.
        blocks: Window on the source grid, class ids ``[H, W]``, stored probability of the class
            decided ``[H, W]``; row by row, covering the region.
    """
    recipe = plan.recipe
    frame = Frame(recipe.region, recipe.card.output.nodata)
    traced = (
        trace(ClassBlock(window, classes, probability, _pixel_area(plan, window)), frame)
        for window, classes, probability in blocks
    )
    for patches in stitch(traced, frame):
        yield _batch(plan, patches)


def _batch(plan: Plan, patches: Patches) -> PolygonBatch:
    tally = patches.tally
    geometry = _on_map(patches, plan.recipe.grid)
    mean = tally.confidence / tally.pixels * PROBABILITY_SCALE
    kept = tally.area >= plan.min_area
    fields = {
        "class_id": tally.class_id.astype(np.int32),
        "class_name": _names(plan)[tally.class_id],
        plan.recipe.area_field: tally.area,
        "confidence": mean.astype(np.float32),
    }
    return PolygonBatch(geometry[kept], {key: values[kept] for key, values in fields.items()})


def _names(plan: Plan) -> npt.NDArray[np.object_]:
    """Class names by class id."""
    names = np.full(256, "", object)
    for member in plan.recipe.card.output.classes:
        names[member.id] = member.name
    return names


def _on_map(patches: Patches, grid: Grid) -> npt.NDArray[np.object_]:
    """The polygons in map coordinates, exteriors counter-clockwise."""
    corners = grid.place(patches.outlines.corners.astype(np.float64))
    polygons = patches.outlines.shapes(corners)
    if grid.transform.determinant > 0:
        polygons = shapely.orient_polygons(polygons)
    return polygons


def _pixel_area(plan: Plan, window: Window) -> npt.NDArray[np.float64]:
    """Values of the area field for single pixels."""
    grid, flat = plan.recipe.grid, plan.recipe.flat_pixel_area
    if grid.crs is not None:
        return pixel_areas_m2(grid, grid.crs, window)
    return np.array([[1.0 if flat is None else flat]])
