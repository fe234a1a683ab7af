"""Polygons with a class, as a class map on a raster's pixels.

A pixel has the class of the polygon that holds its centre; of several the last one in the file's
order. Where no polygon is, or one without a class, there is no data. Only the polygons around a
window are read for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from affine import Affine

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, ModelClass
from engine.geo.chip import Chip
from engine.geo.crs import reproject_geometry, transform_bounds
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.aoi import in_pixels
from engine.io.inputs import term_of
from engine.io.layers import (
    Bounds,
    PolygonLayer,
    Shapes,
    no_polygons,
    open_layer,
    polygons_of,
)
from engine.io.source import Band, ResolvedProfile, Scaling, Source
from engine.io.warped import is_same_crs

LARGEST = 65_534
"""Of the codes: with one more they are 16 bits."""
EDGE_PIECES = 64
"""Parts of the raster's extent by which edges go to another CRS: straight lines bend."""
MOST_SHOWN = 12
"""Values that a message lists."""
SENTENCE = "The polygons' classes are taken as codes."


@dataclass(frozen=True)
class BurntScene:
    """A ``Scene`` of one band, made of polygons; it keeps no file open."""

    grid: Grid
    bands: tuple[Band, ...]
    profile: ResolvedProfile
    resolved: InputSpec
    notes: tuple[str, ...]
    acquired: str | None
    layer: PolygonLayer
    field: str
    codes: Mapping[str, int]
    """By value, as ``_text`` writes it."""

    @property
    def files(self) -> tuple[str, ...]:
        """What is read."""
        file = Path(self.layer.file)
        beside = file.with_suffix(".dbf")  # where a shapefile keeps its fields
        return (str(file), str(beside)) if file.suffix.lower() == ".shp" else (self.layer.file,)

    def thinned(self, times: float) -> BurntScene:  # noqa: ARG002 - polygons have no pixels
        """The same: they are burnt on whatever grid is asked for."""
        return self

    def source(
        self,
        roles: tuple[str, ...],
        grid: Grid | None = None,
        stand_in: Callable[[str], str] | None = None,  # noqa: ARG002 - as every scene has it
        *,
        is_class_map: bool = False,  # noqa: ARG002 - the same
    ) -> Source:
        """The codes on a grid.

        Raises:
            EngineError: ``BAND_MISSING`` when more than one band is wanted.
        """
        if len(roles) > 1:
            raise EngineError(
                ErrorCode.BAND_MISSING,
                f"The model takes the bands {', '.join(roles)}, and polygons have one class each.",
                "Give a raster with these bands.",
            )
        bands = tuple(replace(self.bands[0], role=role) for role in roles) or self.bands
        return BurntSource(grid or self.grid, bands, self)


@dataclass(frozen=True)
class BurntSource:
    """A ``Source``: safe to read from several threads, since each read opens the file anew."""

    grid: Grid
    bands: tuple[Band, ...]
    scene: BurntScene

    def read(self, window: Window) -> Chip:
        """The codes of a window's pixels."""
        layer, scene = self.scene.layer, self.scene
        around = _bounds_in(layer, self.grid, window.expand(1, 1))
        found = layer.read((scene.field,), around)
        coded = np.array([scene.codes.get(_text(v), -1) for v in found.fields[scene.field]], int)
        shapes = self._on_grid(polygons_of(found.shapes[coded >= 0]))
        burnt = _burnt(shapes, coded[coded >= 0], window)
        return Chip(np.maximum(burnt - 1, 0).astype(np.uint16)[None], burnt > 0, window)

    def close(self) -> None:
        """Nothing is open."""

    def _on_grid(self, shapes: Shapes) -> Shapes:
        """In pixels. Edges are cut the same way for every window, so that there are no seams."""
        crs, target = self.scene.layer.crs, self.grid.crs
        if crs is not None and target is not None and not is_same_crs(crs, target):
            west, south, east, north = self._reach
            inside = shapely.clip_by_rect(shapes, west, south, east, north)
            cut = shapely.segmentize(inside, max(east - west, north - south) / EDGE_PIECES)
            shapes = reproject_geometry(cut, crs, target)
        return in_pixels(shapes, self.grid)

    @functools.cached_property
    def _reach(self) -> Bounds:
        """The raster's extent and as much around it, in the layer's CRS."""
        west, south, east, north = _bounds_in(self.scene.layer, self.grid, self.grid.window)
        wide, high = east - west, north - south
        return west - wide, south - high, east + wide, north + high


def open_burnt(spec: InputSpec, classes: Sequence[ModelClass], grid: Grid) -> BurntScene:
    """Understand polygons as a class map.

    Args:
        spec: Names ``FILE|layername=NAME|field=NAME``; the field holds class names, in capitals
            or not, or numbers.
        classes: Names and numbers that the model knows.
        grid: Of the run.

    Raises:
        EngineError: ``FIELD_MISSING``, ``CLASS_UNKNOWN`` for values that no class has,
            ``LAYER_EMPTY``, ``CRS_MISSING``, ``INPUT_GRID_MISMATCH`` when no polygon overlaps the
            raster; or what opening the file raises.
    """
    layer = open_layer(spec.uris[0])
    field = layer.check_field(term_of(spec.uris[0], "field"))
    layer.check_crs(grid.crs)
    found = layer.read((field,), _bounds_in(layer, grid, grid.window))
    values = sorted({_text(v) for v in found.fields[field]} - {""})
    _check_found(layer, found.shapes, values, field)
    codes = codes_of(values, classes, f"The field «{field}» of {layer.shown}")
    named = ", ".join(f"{value} = {codes[value]}" for value in values[:MOST_SHOWN])
    note = (
        f"The class of a pixel is that of the polygon of {layer.shown} that holds its centre "
        f"({named}{', …' if len(values) > MOST_SHOWN else ''}); elsewhere there is no data."
    )
    return BurntScene(
        grid,
        (Band("", field, "uint16", None, Scaling()),),
        ResolvedProfile("raw", "raw", SENTENCE),
        replace(spec, profile="raw"),
        (note,),
        None,
        layer,
        field,
        codes,
    )


def codes_of(values: Sequence[str], classes: Sequence[ModelClass], where: str) -> dict[str, int]:
    """The class number of each value: of a name the class's, of a number itself.

    Raises:
        EngineError: ``CLASS_UNKNOWN``, listing all values that are neither, or both kinds.
    """
    exact = {member.name: member.id for member in classes}
    names = {member.name.strip().casefold(): member.id for member in reversed(classes)} | exact
    named = {v: names[k] for v in values for k in (v, v.casefold()) if k in names}
    numbers = {v: int(float(v)) for v in values if v not in named and _is_code(v)}
    wrong = [v for v in values if v not in named and v not in numbers]
    known = ", ".join(f"{member.name} ({member.id})" for member in classes)
    if wrong:
        shown = ", ".join(wrong[:MOST_SHOWN]) + (" …" if len(wrong) > MOST_SHOWN else "")
        raise EngineError(
            ErrorCode.CLASS_UNKNOWN,
            f"{where} holds values that are no class of the model: {shown}.",
            f"Its classes are {known}; write their names or numbers, or leave the field empty.",
        )
    if named and numbers:
        raise EngineError(
            ErrorCode.CLASS_UNKNOWN,
            f"{where} mixes names ({next(iter(named))}) and numbers ({next(iter(numbers))}).",
            f"Write names, or numbers alone; the classes are {known}.",
        )
    return named or numbers


def _burnt(shapes: Shapes, codes: npt.NDArray[np.int_], window: Window) -> npt.NDArray[np.int32]:
    """Code + 1 of each pixel whose centre lies in a polygon, 0 elsewhere."""
    inside = ~shapely.is_empty(shapes) & np.isfinite(shapely.bounds(shapes)).all(axis=1)
    if not inside.any():
        return np.zeros(window.shape, np.int32)
    # The offset is whole pixels, so the answer for a pixel is the same in every window.
    burnt: npt.NDArray[np.int32] = rasterio.features.rasterize(
        zip(shapes[inside], (codes[inside] + 1).tolist(), strict=True),
        out_shape=window.shape,
        transform=Affine.translation(window.col, window.row),
        dtype="int32",
    )
    return burnt


def _bounds_in(layer: PolygonLayer, grid: Grid, window: Window) -> Bounds:
    """Of a window, in the layer's CRS."""
    bounds = grid.crop(window).bounds
    if layer.crs is None or grid.crs is None:
        return bounds
    return transform_bounds(bounds, grid.crs, layer.crs)


def _check_found(layer: PolygonLayer, shapes: Shapes, values: list[str], field: str) -> None:
    if not len(shapes):
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"No polygon of {layer.shown} overlaps the raster.",
            "Give polygons of the same place, and check their coordinate reference system.",
        )
    if shapely.is_empty(polygons_of(shapes)).all():
        raise no_polygons(layer, "what overlaps the raster is none")
    if not values:
        raise EngineError(
            ErrorCode.CLASS_UNKNOWN,
            f"The field «{field}» of {layer.shown} is empty wherever the raster is.",
            "Name the field with the classes.",
        )


def _text(value: Any) -> str:
    """A field's value as text: 3.0 and 3 are the same, and missing ones are empty."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    text = str(value).strip()
    return f"{float(text):.0f}" if _is_code(text) else text


def _is_code(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return number.is_integer() and 0 <= number <= LARGEST
