"""Plots of a calibration: where they are, and what was found on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from engine.calibrate.footprints import circles, in_pixels
from engine.calibrate.samples import F64
from engine.contract.analyses import CalibrateRequest
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import reproject_geometry
from engine.geo.grid import Grid
from engine.io.layers import PolygonLayer, find_layer, polygons_of
from engine.io.warped import is_same_crs

Shapes = npt.NDArray[np.object_]
SHOWN = 5
"""Plots that a message names."""
GAP = 1.5
"""Decades without any amount that look like two units."""
GAP_SHARE = 0.05
"""Of the plots on either side of it at least."""
HEAVIEST = 2000.0
"""Mg/ha; no forest's above-ground biomass is more."""


@dataclass(frozen=True, eq=False)
class Plots:
    """What the layer says."""

    ids: npt.NDArray[np.int64]
    """Feature ids."""
    shapes: Shapes
    """Points or polygons, in the layer's CRS."""
    crs: str | None
    values: npt.NDArray[Any]
    """Of the field, as the file has them."""
    errors: F64 | None
    groups: npt.NDArray[Any] | None
    is_areal: bool
    shown: str
    """What messages call the layer."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, kept: npt.NDArray[np.int64]) -> Plots:
        """Some of them."""
        return replace(
            self,
            ids=self.ids[kept],
            shapes=self.shapes[kept],
            values=self.values[kept],
            errors=None if self.errors is None else self.errors[kept],
            groups=None if self.groups is None else self.groups[kept],
        )

    def named(self, chosen: npt.NDArray[np.bool_]) -> str:
        """Which plots these are, in words."""
        ids = self.ids[chosen]
        more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
        return f"feature {', '.join(str(i) for i in ids[:SHOWN])}{more}"


def read_plots(request: CalibrateRequest) -> Plots:
    """All plots of the layer.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``, ``FIELD_MISSING``,
            ``FIELD_INVALID``, ``LAYER_EMPTY``, ``REQUEST_INVALID``.
    """
    layer, kind = find_layer(request.plots)
    asked = (request.field, request.error, request.group)
    for option, name in zip(("--field", "--error", "--group"), asked, strict=True):
        _check_field(layer, option, name)
    found = layer.read(tuple(dict.fromkeys(name for name in asked if name)))
    is_there = ~(shapely.is_missing(found.shapes) | shapely.is_empty(found.shapes))
    if not len(found) or not is_there.any() or "Line" in kind:
        raise EngineError(
            ErrorCode.LAYER_EMPTY,
            f"The layer {layer.shown} holds no points or polygons.",
            "Give a layer of plots.",
        )
    errors = None if request.error is None else _numbers(layer, request.error, found.fields)
    plots = Plots(
        found.ids,
        found.shapes,
        layer.crs,
        found.fields[request.field],
        errors,
        None if request.group is None else found.fields[request.group],
        "Point" not in kind,
        layer.shown,
    )
    _check_whole(plots, ~is_there)
    return plots


def amounts(plots: Plots, field: str, unit: str) -> tuple[F64, tuple[str, ...]]:
    """The field as amounts, and sentences about what looks odd.

    Raises:
        EngineError: ``FIELD_INVALID`` for text, what is missing, negative or the same everywhere.
    """
    values = _as_numbers(plots, field)
    low = values < 0
    if low.any():
        raise _invalid(
            f"«{field}» of {plots.shown} is below 0 in {low.sum()} of {len(plots)} plots "
            f"({plots.named(low)}).",
            "Correct them, or take them out of the layer.",
        )
    if np.ptp(values) == 0:
        raise _invalid(
            f"«{field}» of {plots.shown} is {values[0]:g} everywhere: there is nothing to learn.",
            "Name the field with the amounts.",
        )
    return values, (*_two_units(values, field), *_too_heavy(values, field, unit))


def classes(plots: Plots, field: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """The field as numbers of classes, and their names in the order of the alphabet.

    Raises:
        EngineError: ``FIELD_INVALID`` for what is missing, or one class alone.
    """
    is_text = plots.values.dtype.kind in "OUS"
    gone = (
        np.array([v is None or not str(v).strip() for v in plots.values])
        if is_text
        else ~np.isfinite(plots.values.astype(np.float64))
    )
    if gone.any():
        raise _missing(plots, field, gone)
    texts = [str(v).strip() if is_text else f"{v:g}" for v in plots.values]
    names, numbers = np.unique(texts, return_inverse=True)
    if len(names) < 2:  # noqa: PLR2004 - a choice needs two
        raise _invalid(
            f"«{field}» of {plots.shown} is «{names[0]}» everywhere: nothing is to be told apart.",
            "Name the field with the classes.",
        )
    return numbers.astype(np.int64), tuple(str(name) for name in names)


def shapes_on(plots: Plots, grid: Grid, radius: float | None) -> tuple[Shapes, Shapes]:
    """Plots in pixels of the grid (x the column, y the row), and their middles in its CRS.

    Raises:
        EngineError: ``CRS_MISSING``, ``REQUEST_INVALID`` for a radius that means nothing.
    """
    _check_crs(plots, grid)
    shapes = polygons_of(plots.shapes) if plots.is_areal else _points(plots.shapes)
    middles = shapely.centroid(shapes)
    if radius is not None:
        _check_radius(plots, grid, radius)
        shapes = circles(shapes, plots.crs or "", radius)
    if grid.crs is not None and plots.crs is not None and not is_same_crs(plots.crs, grid.crs):
        shapes = reproject_geometry(shapes, plots.crs, grid.crs)
        middles = reproject_geometry(middles, plots.crs, grid.crs)
    return in_pixels(shapes, grid), middles


def _points(shapes: Shapes) -> Shapes:
    """Of several points in one feature their middle."""
    found: Shapes = shapely.centroid(shapely.force_2d(shapes))
    return found


def _check_field(layer: PolygonLayer, option: str, name: str | None) -> None:
    if name is None or name in layer.fields:
        return
    raise EngineError(
        ErrorCode.FIELD_MISSING,
        f"The layer {layer.shown} has no field «{name}».",
        f"Name one of {', '.join(layer.fields)} with {option}.",
    )


def _check_whole(plots: Plots, empty: npt.NDArray[np.bool_]) -> None:
    if empty.any():
        raise EngineError(
            ErrorCode.LAYER_EMPTY,
            f"{empty.sum()} of {len(plots)} plots of {plots.shown} have no geometry "
            f"({plots.named(empty)}).",
            "Draw them, or take them out of the layer.",
        )


def _check_crs(plots: Plots, grid: Grid) -> None:
    if (plots.crs is None) != (grid.crs is None):
        who, other = ("raster", "plots") if grid.crs is None else ("layer of plots", "raster")
        raise EngineError(
            ErrorCode.CRS_MISSING,
            f"The first {who} does not tell its coordinate reference system, and the {other} do."
            if other == "plots"
            else f"The {who} does not tell its coordinate reference system, and the {other} does.",
            "Give it the right one, for example with QGIS' Define projection tool.",
        )


def _check_radius(plots: Plots, grid: Grid, radius: float) -> None:
    if plots.is_areal:
        why = "the plots are polygons, which tell what they cover"
    elif grid.crs is None:
        why = "without georeference nobody knows how long a metre is"
    elif not 0 < radius < np.inf:
        why = "it is not above 0"
    else:
        return
    raise EngineError(
        ErrorCode.REQUEST_INVALID,
        f"A radius of {radius:g} m cannot be used: {why}.",
        "Leave out --radius, or give points and rasters with a coordinate reference system.",
    )


def _numbers(layer: PolygonLayer, name: str, fields: dict[str, npt.NDArray[Any]]) -> F64:
    """The field of errors."""
    values = fields[name]
    is_number = values.dtype.kind in "iuf"
    found = values.astype(np.float64) if is_number else np.full(len(values), np.nan)
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise _invalid(
            f"The errors in «{name}» of {layer.shown} are not all numbers of 0 or more.",
            "Correct them, or leave out --error.",
        )
    return found


def _as_numbers(plots: Plots, field: str) -> F64:
    values = plots.values
    if values.dtype.kind in "iuf":
        found = values.astype(np.float64)
    else:
        found = np.array([_number(v) for v in values])
        gone = np.array([v is None or not str(v).strip() for v in values])
        text = np.isnan(found) & ~gone
        if text.any():
            raise _invalid(
                f"«{field}» of {plots.shown} holds text where a number must be, in {text.sum()} of "
                f"{len(plots)} plots ({plots.named(text)}: «{values[text][0]}»).",
                "Correct them; where the field holds classes, say --classes.",
            )
    if not np.isfinite(found).all():
        raise _missing(plots, field, ~np.isfinite(found))
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _two_units(values: F64, field: str) -> tuple[str, ...]:
    """Amounts in two heaps far apart may be in two units."""
    logs = np.sort(np.log10(values[values > 0]))
    if len(logs) < 4:  # noqa: PLR2004 - two on either side
        return ()
    gaps = np.diff(logs)
    at = int(gaps.argmax())
    least = max(2, GAP_SHARE * len(values))
    if gaps[at] < GAP or min(at + 1, len(logs) - at - 1) < least:
        return ()
    below, above = 10 ** logs[at], 10 ** logs[at + 1]
    sentence = (
        f"{at + 1} plots have «{field}» up to {below:.3g} and {len(logs) - at - 1} from "
        f"{above:.3g} on, with nothing between: are they in different units?"
    )
    return (sentence,)


def _too_heavy(values: F64, field: str, unit: str) -> tuple[str, ...]:
    if unit != "Mg/ha" or values.max() <= HEAVIEST:
        return ()
    sentence = (
        f"«{field}» goes up to {values.max():.4g} {unit}, more than any forest holds: is it in "
        "another unit?"
    )
    return (sentence,)


def _missing(plots: Plots, field: str, gone: npt.NDArray[np.bool_]) -> EngineError:
    return _invalid(
        f"«{field}» of {plots.shown} is empty in {gone.sum()} of {len(plots)} plots "
        f"({plots.named(gone)}).",
        "Fill it, or take these plots out of the layer.",
    )


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.FIELD_INVALID, message, hint)
