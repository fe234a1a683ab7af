"""A map of amounts per hectare as zones of areas, amounts and deviations."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from engine.analyses.coverage import covered
from engine.analyses.finished import FinishedMap
from engine.assess.covariance import Spacing, variance_of_sum
from engine.assess.totals import Zone, ZoneSums, ZoneTotal, sum_zone, total_from_sums
from engine.assess.variogram import Correlation, Shape
from engine.contract.analyses import TotalsRequest
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.areas import pixel_areas_m2
from engine.geo.crs import areas_m2
from engine.geo.window import Window

F64 = npt.NDArray[np.float64]

PRACTICAL = 3.0
"""Ranges of an exponential model at which 5 % of the correlation are left."""
HECTARE = 1e4
ROUNDING = 1e-4
"""Share of a zone's area by which sums of pixels and its own area may differ."""
BEND = 64.0
"""Pixels along a zone's edge that are straight in any projection."""
PIECE = 1024
"""Pixels along the windows that a zone is summed in."""
MASSES = {"Mg/ha": "Mg", "t/ha": "t", "Mg ha-1": "Mg", "t ha-1": "t"}
"""Units of biomass, of which there is carbon."""
RESIDUALS = "SWATH_RESIDUALS"


@dataclass(frozen=True)
class Errors:
    """How a map errs."""

    correlation: Correlation
    common: float
    """Share of the amount by which all pixels err alike, as a standard deviation."""
    deviation: float | None
    """Of every pixel; None: the map's second band."""


@dataclass(frozen=True)
class AmountMap:
    """One date."""

    found: FinishedMap
    errors: Errors

    @property
    def spacing(self) -> Spacing:
        """Metres between pixels."""
        return Spacing(*(self.found.grid.pixel_size_m or (1.0, 1.0)))

    def zone(self, polygon: Any, window: Window) -> Zone:
        """What lies of a polygon (pixel coordinates) in a window; weights in hectares."""
        grid = self.found.grid
        weight = covered(polygon, window)
        weight *= pixel_areas_m2(grid, grid.crs or "", window) / HECTARE
        value = self.found.values(window)
        if self.errors.deviation is not None:
            sd = np.full(value.shape, self.errors.deviation)
        else:
            sd = self.found.values(window, 2)
        value = np.where(np.isfinite(sd), value, np.nan)
        sd = np.where(np.isfinite(value), sd, 0.0)
        return Zone(value, sd, weight, np.abs(np.nan_to_num(value)) * self.errors.common)

    def total(self, polygon: Any, carbon: Any) -> ZoneTotal:
        """The total over a polygon of any size, read piece by piece."""
        frame = frame_of(polygon, self.found.grid.shape)
        sums = ZoneSums(0.0, 0.0, 0.0, 0.0, 0.0)
        for piece in pieces(frame):
            sums += sum_zone(self.zone(polygon, piece))
        sums += ZoneSums(0.0, self._beyond(polygon, sums.area + sums.missing), 0.0, 0.0, 0.0)
        if frame.is_empty:
            return total_from_sums(sums, 0.0, carbon=carbon)

        def read(window: Window) -> F64:
            zone = self.zone(polygon, window.shift(frame.row, frame.col))
            return zone.times(zone.sd)

        variance = variance_of_sum(read, frame.shape, self.spacing, self.errors.correlation)
        return total_from_sums(sums, variance, carbon=carbon)

    def _beyond(self, polygon: Any, inside: float) -> float:
        """Hectares of a polygon beyond the map's edge."""
        grid = self.found.grid
        ground = shapely.transform(shapely.segmentize(polygon, BEND), grid.place)
        whole = float(areas_m2(np.array([ground], object), grid.crs or "")[0]) / HECTARE
        return whole - inside if whole - inside > ROUNDING * whole else 0.0


def frame_of(polygon: Any, shape: tuple[int, int]) -> Window:
    """The pixels that a polygon touches."""
    west, north, east, south = polygon.bounds
    rows, cols = (math.floor(north), math.ceil(south)), (math.floor(west), math.ceil(east))
    return Window.from_spans(rows, cols).intersect(Window(0, 0, *shape))


def pieces(frame: Window) -> list[Window]:
    """Windows that share a frame out."""
    return [
        Window(row, col, PIECE, PIECE).intersect(frame)
        for row in range(frame.row, frame.row_stop, PIECE)
        for col in range(frame.col, frame.col_stop, PIECE)
    ]


def checked(found: FinishedMap, request: TotalsRequest) -> tuple[AmountMap, str]:
    """The map with how it errs, and the unit of its totals.

    Raises:
        EngineError: ``CRS_MISSING``, ``MODEL_UNSUITABLE`` for amounts that are not per hectare,
            ``REQUEST_INVALID`` when nobody knows how sure a pixel is or how errors correlate.
    """
    if found.grid.crs is None:
        raise EngineError(
            ErrorCode.CRS_MISSING,
            f"{found.name} has no georeference: nobody knows the area of its pixels.",
            "Georeference the map first.",
        )
    return AmountMap(found, _errors(found, request)), _unit(found)


def _unit(found: FinishedMap) -> str:
    told = str(found.handles.dataset(found.info.uri).units[0] or "").strip()
    if not told:
        return "Mg"
    mass, _, area = told.partition("/")
    if told in MASSES:
        return MASSES[told]
    if area.strip() != "ha":
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"{found.name} holds {told}, and totals are of amounts per hectare.",
            "Convert the map to an amount per hectare, such as Mg/ha.",
        )
    return mass.strip()


def _errors(found: FinishedMap, request: TotalsRequest) -> Errors:
    if request.deviation is None and found.bands < 2:  # noqa: PLR2004 - amounts, deviations
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"{found.name} has no second band with standard deviations.",
            "Say how far its pixels deviate with --deviation, for example their RMSE by `swath "
            "assess`.",
        )
    return Errors(_correlation(found, request), request.systematic, request.deviation)


def _correlation(found: FinishedMap, request: TotalsRequest) -> Correlation:
    if request.correlation_m is not None:
        if request.correlation_m == 0:
            return Correlation(Shape.NUGGET, 0.0)
        return Correlation(Shape.EXPONENTIAL, request.correlation_m / PRACTICAL)
    told = found.info.tags.get(RESIDUALS)
    if told is None:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"Nobody knows how far errors of {found.name} resemble each other, and without that "
            "no total can say how sure it is.",
            "Give the distance in metres with --correlation, for example the range of the "
            "residuals' variogram; the size of a stand is a cautious guess.",
        )
    known = json.loads(told)
    whole = known["nugget"] + known["sill"]
    if not whole or not known["sill"] or not known["range_m"]:
        return Correlation(Shape.NUGGET, 0.0)
    return Correlation(
        Shape.EXPONENTIAL, known["range_m"] / PRACTICAL, min(1.0, known["nugget"] / whole)
    )
