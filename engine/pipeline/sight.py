"""How much of the objects of an old map a new result shows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.features
import shapely
from affine import Affine
from rasterio.windows import Window as FileWindow

from engine.change.objects import Sight
from engine.geo.window import Window
from engine.io.aoi import Aoi
from engine.io.layers import Shapes
from engine.pipeline.plan import Recipe

EDGE = 1024
"""Pixels of a window that is looked at."""
Mask = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]


def sight_of(
    shapes: Shapes,
    recipe: Recipe,
    classes: Path,
    aoi: Aoi | None,
    *,
    hidden: Collection[int] = (),
    step: Callable[[int, int], None] = lambda _done, _total: None,
) -> Sight:
    """Which share of each object lies in the result, and which share of that was seen.

    Args:
        shapes: ``[n]`` valid polygons, in pixels of the recipe's frame.
        recipe: Of the run.
        classes: Its class raster.
        aoi: The area that was asked for, on the same pixels.
        hidden: Classes that hide the ground.
        step: Told how many windows of how many are done.
    """
    area = np.maximum(shapely.area(shapes), np.finfo(float).tiny)
    box = recipe.result
    within = _clipped(shapes, box)
    apart, unseen = np.zeros(len(shapes)), np.zeros(len(shapes))
    tree = shapely.STRtree(shapes)
    nothing = [recipe.card.output.nodata, *hidden]
    windows = list(_windows(box))
    with rasterio.open(classes) as raster:
        for number, window in enumerate(windows, 1):
            is_seen = ~np.isin(_read(raster, window.shift(-box.row, -box.col)), nothing)
            wanted = np.ones(window.shape, bool) if aoi is None else aoi.mask(window)
            if not (is_seen & wanted).all():
                near = tree.query(shapely.box(*_edges(window)), predicate="intersects")
                apart[near] += _covered(shapes[near], window, ~wanted)
                unseen[near] += _covered(shapes[near], window, wanted & ~is_seen)
            step(number, len(windows))
    inside = np.clip(within - apart, 0, area)
    seen = np.clip(1 - unseen / np.where(inside > 0, inside, 1), 0, 1)
    return Sight(inside / area, seen)


def _clipped(shapes: Shapes, box: Window) -> F64:
    """Areas of what lies in a window."""
    found: F64 = shapely.area(shapely.clip_by_rect(shapes, *_edges(box)))
    return found


def _covered(shapes: Shapes, window: Window, mask: Mask) -> F64:
    """The area of each shape within a window where the mask is True, by its pixels' centres.

    Of a shape that holds no centre all of it, or nothing, as its middle has it.
    """
    found = np.zeros(len(shapes))
    if not mask.any():
        return found
    parts = _clipped(shapes, window)
    for n, shape in enumerate(shapes):
        if mask.all():
            found[n] = parts[n]
        else:
            found[n] = parts[n] * _share(shape, window, mask)
    return found


def _share(shape: shapely.Geometry, window: Window, mask: Mask) -> float:
    """Of the pixels of a shape that are in the window, those where the mask is True."""
    west, north, east, south = shape.bounds
    around = Window.from_spans(
        (int(np.floor(north)), int(np.ceil(south))), (int(np.floor(west)), int(np.ceil(east)))
    ).intersect(window)
    if around.is_empty:
        return 0.0
    part = mask[around.slices_in(window)]
    burnt = rasterio.features.rasterize(
        [(shape, 1)],
        out_shape=around.shape,
        transform=Affine.translation(around.col, around.row),
        dtype="uint8",
    )
    chosen = part[burnt == 1]
    return float((chosen if chosen.size else part).mean())


def _windows(box: Window) -> Iterator[Window]:
    rows = range(box.row, box.row_stop, EDGE)
    cols = range(box.col, box.col_stop, EDGE)
    for row, col in itertools.product(rows, cols):
        yield Window(row, col, EDGE, EDGE).intersect(box)


def _read(raster: rasterio.DatasetReader, window: Window) -> npt.NDArray[np.uint8]:
    place = FileWindow(window.col, window.row, window.width, window.height)
    found: npt.NDArray[np.uint8] = raster.read(1, window=place)
    return found


def _edges(window: Window) -> tuple[int, int, int, int]:
    return window.col, window.row, window.col_stop, window.row_stop
