"""The objects of a map and of an image, side by side in the pixels of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from engine.geo.crs import areas_m2, reproject_geometry
from engine.io.aoi import in_pixels
from engine.io.layers import PolygonLayer, Shapes, find_layer, polygons_of
from engine.io.warped import is_same_crs
from engine.pipeline.plan import Recipe

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MapObjects:
    """``[n]`` objects."""

    ids: npt.NDArray[np.int64]
    """Feature ids in their file."""
    outlines: Shapes
    """As the file has them."""
    shapes: Shapes
    """Valid, in pixels of the run's frame; empty where they cannot be brought there."""
    areas: F64
    """Square metres on the ellipsoid; pixels without georeference."""
    classes: npt.NDArray[np.object_]
    """Names or numbers as text; None where there is none."""
    confidence: F64
    """NaN where nobody knows."""


def known_objects(layer: PolygonLayer, field: str | None, recipe: Recipe) -> MapObjects:
    """The objects of an old map; features without an area are left out."""
    features = layer.read(() if field is None else (field,))
    valid = polygons_of(features.shapes)
    has_area = shapely.area(valid) > 0
    features, valid = features.take(has_area), valid[has_area]
    classes = np.full(len(features), None, object)
    if field is not None:
        told = features.fields[field]
        classes[:] = [None if v is None or v != v else str(v) for v in told]  # noqa: PLR0124 - NaN
    unknown = np.full(len(features), np.nan)
    shapes, areas = _placed(valid, layer.crs, recipe)
    return MapObjects(features.ids, features.shapes, shapes, areas, classes, unknown)


def found_objects(path: Path, recipe: Recipe) -> MapObjects:
    """The objects that a run has found."""
    layer, _ = find_layer(str(path))
    features = layer.read(("class_name", "confidence"))
    classes = features.fields["class_name"].astype(object)
    confidence = features.fields["confidence"].astype(np.float64)
    valid = polygons_of(features.shapes)
    shapes, areas = _placed(valid, recipe.grid.crs, recipe)
    return MapObjects(features.ids, features.shapes, shapes, areas, classes, confidence)


def moved(shapes: Shapes, source: str | None, target: str | None) -> Shapes:
    """Shapes in another CRS; as they are where one is unknown."""
    if source is None or target is None or is_same_crs(source, target):
        return shapes
    return reproject_geometry(shapes, source, target)


def _placed(valid: Shapes, crs: str | None, recipe: Recipe) -> tuple[Shapes, F64]:
    """Shapes in pixels of the frame, and their areas."""
    frame = recipe.frame
    shapes = in_pixels(moved(valid, crs, frame.crs), frame)
    is_there = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    shapes = np.where(is_there, shapes, shapely.Polygon())
    if crs is not None and frame.crs is not None:
        return shapes, areas_m2(valid, crs)
    return shapes, shapely.area(shapes) * (recipe.flat_pixel_area or 1.0)
