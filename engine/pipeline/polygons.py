"""Patches of equal class become rows of the vector output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import shapely

from engine.contract.messages import PolygonOptions
from engine.geo.areas import pixel_areas_m2
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.geopackage import PolygonBatch
from engine.pipeline.plan import Plan, Recipe
from engine.tasks.segment import PROBABILITY_SCALE
from engine.vectorize.patches import Patches
from engine.vectorize.refine import fill_holes, measured_by_outline
from engine.vectorize.square import squared
from engine.vectorize.stitch import stitch
from engine.vectorize.trace import ClassBlock, Frame, trace

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
Shapes = npt.NDArray[np.object_]

REACH = 2.0
"""Pixels by which a wall may move to make angles right: as many as a slanting wall's steps need."""
REACH_METRES = 1.0
"""Where pixels are finer than that: maps of buildings have rounded corners and wavy walls."""
REACH_SHARE = 0.12
"""But not more than this share of a square's side of the same area."""


def polygon_batches(plan: Plan, blocks: Iterable[tuple[Window, U8, U8]]) -> Iterator[PolygonBatch]:
    """Polygons with their class, area and mean confidence, in the CRS of the grid.

    Args:
        plan: Knows grid, region, legend, and what outlines are to look like.
        blocks: Window on the source grid, class ids ``[H, W]``, stored probability of the class
            decided ``[H, W]``; row by row, covering the region.
    """
    for patches in whole_patches(plan, blocks, plan.recipe.card.output.nodata):
        yield _batch(plan, patches)


def whole_patches(
    plan: Plan, blocks: Iterable[tuple[Window, U8 | U16, U8]], nodata: int
) -> Iterator[Patches]:
    """The patches of equal number, stitched and as the user wants their outlines."""
    recipe, options = plan.recipe, plan.polygons
    tolerance = options.simplify / math.sqrt(math.prod(_pixel_size(recipe)))
    frame = Frame(recipe.result, nodata, tolerance)
    traced = (
        trace(ClassBlock(window, classes, probability, _pixel_area(recipe, window)), frame)
        for window, classes, probability in blocks
    )
    for patches in stitch(traced, frame):
        yield _refined(patches, options)


def cell_batches(plan: Plan, blocks: Iterable[tuple[Window, U8, U8]]) -> Iterator[PolygonBatch]:
    """Every cell as a square of its own, with its class and how sure that is.

    Args:
        plan: As ``polygon_batches``; outlines of squares are not refined.
        blocks: As there.
    """
    recipe = plan.recipe
    for window, classes, probability in blocks:
        rows, cols = np.nonzero(classes != recipe.card.output.nodata)
        ids = classes[rows, cols]
        area = np.broadcast_to(_pixel_area(recipe, window), window.shape)[rows, cols]
        kept = (area >= plan.polygons.min_area) & np.isin(ids, _wanted_ids(plan))
        left, top = cols + window.col, rows + window.row
        shapes = shapely.transform(shapely.box(left, top, left + 1, top + 1), recipe.frame.place)
        fields = {
            "class_id": ids.astype(np.int32),
            "class_name": _names(plan)[ids],
            recipe.area_field: area,
            "confidence": (probability[rows, cols] * PROBABILITY_SCALE).astype(np.float32),
        }
        yield PolygonBatch(
            shapely.orient_polygons(shapes)[kept], {k: v[kept] for k, v in fields.items()}
        )


def _refined(patches: Patches, options: PolygonOptions) -> Patches:
    if options.fill_holes:
        patches = fill_holes(patches, options.fill_holes)
    if options.fill_holes or options.simplify:
        patches = measured_by_outline(patches)
    return patches


def _batch(plan: Plan, patches: Patches) -> PolygonBatch:
    recipe, tally = plan.recipe, patches.tally
    chosen = np.flatnonzero(np.isin(tally.class_id, _square_ids(plan)))
    geometry = on_map(patches, recipe.frame)
    area = tally.area.copy()
    if len(chosen):
        shapes = _squared(patches.outlines.shapes()[chosen], _pixel_size(recipe))
        area[chosen] *= shapely.area(shapes) / patches.outlines.areas[chosen]
        geometry[chosen] = _upright(shapely.transform(shapes, recipe.frame.place), recipe.frame)
    mean = tally.confidence / tally.pixels * PROBABILITY_SCALE
    kept = (area >= plan.polygons.min_area) & np.isin(tally.class_id, _wanted_ids(plan))
    fields = {
        "class_id": tally.class_id.astype(np.int32),
        "class_name": _names(plan)[tally.class_id],
        recipe.area_field: area,
        "confidence": mean.astype(np.float32),
    }
    return PolygonBatch(geometry[kept], {key: values[kept] for key, values in fields.items()})


def _wanted_ids(plan: Plan) -> list[int]:
    """Classes whose polygons are written."""
    named = plan.polygons.classes
    return [c.id for c in plan.recipe.card.output.classes if not named or c.name in named]


def _square_ids(plan: Plan) -> list[int]:
    """Classes whose polygons get right angles."""
    return [c.id for c in plan.recipe.card.output.classes if c.name in plan.polygons.square]


def _names(plan: Plan) -> npt.NDArray[np.object_]:
    """Class names by class id."""
    names = np.full(256, "", object)
    for member in plan.recipe.card.output.classes:
        names[member.id] = member.name
    return names


def on_map(patches: Patches, grid: Grid) -> Shapes:
    """The polygons in map coordinates."""
    corners = grid.place(patches.outlines.corners.astype(np.float64))
    return _upright(patches.outlines.shapes(corners), grid)


def _upright(polygons: Shapes, grid: Grid) -> Shapes:
    """With exteriors counter-clockwise, also on a map that mirrors the pixels as they are seen."""
    if grid.transform.determinant < 0:
        return polygons
    turned: Shapes = shapely.orient_polygons(polygons)
    return turned


def _squared(pixels: Shapes, size: tuple[float, float]) -> Shapes:
    """Polygons with right angles on the ground, both in pixel coordinates."""
    height, width = np.array(size) / math.sqrt(math.prod(size))
    ground = np.array([width, height])
    shapes = shapely.transform(pixels, lambda xy: xy * ground)
    metres = REACH_METRES / math.sqrt(math.prod(size))
    reach = np.clip(REACH_SHARE * np.sqrt(shapely.area(shapes)), REACH, max(metres, REACH))
    found = np.array([squared(s, r) for s, r in zip(shapes, reach, strict=True)], object)
    oriented = shapely.orient_polygons(found, exterior_cw=True)
    back: Shapes = shapely.transform(oriented, lambda xy: xy / ground)
    return back


def _pixel_size(recipe: Recipe) -> tuple[float, float]:
    """Metres (height, width); 1 where nobody knows."""
    flat = math.sqrt(recipe.flat_pixel_area or 1.0)
    return recipe.frame.pixel_size_m or (flat, flat)


def _pixel_area(recipe: Recipe, window: Window) -> npt.NDArray[np.float64]:
    """Values of the area field for single pixels."""
    if recipe.frame.crs is not None:
        return pixel_areas_m2(recipe.frame, recipe.frame.crs, window)
    return np.array([[recipe.flat_pixel_area or 1.0]])
