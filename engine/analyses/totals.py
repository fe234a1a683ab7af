"""What a map of amounts adds up to in polygons, and how sure that is."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from engine.analyses.amounts import AmountMap, checked, frame_of
from engine.analyses.assistance import Assisted, assisted
from engine.analyses.desk import GEOPACKAGE, PAGE, TABLE, Desk
from engine.analyses.finished import open_map
from engine.analyses.reference import Places, read_places
from engine.analyses.totals_page import lead, totals_page
from engine.assess.estimate import Estimate
from engine.assess.totals import Carbon, ZoneChange, ZoneTotal, estimate_change
from engine.contract.analyses import TotalsRequest
from engine.contract.errors import EngineError, ErrorCode
from engine.io.geopackage import PolygonBatch, VectorLayout, write_polygons
from engine.io.handles import Handles
from engine.io.layers import find_layer
from engine.io.style import status_qml
from engine.io.tables import write_table
from engine.pipeline.outcome import Outcome
from engine.report.html import rendered

LARGEST_CHANGE = 4_000_000
"""Pixels of a zone whose change is computed, all at once."""
LEAST_MISSING = 1e-6
"""Share of the area below which what is missing is rounding."""
CARBON_OF = frozenset({"Mg", "t"})
BIOMASS = ("biomass", "carbon", "co2e")


@dataclass(frozen=True)
class ZoneResult:
    """One polygon."""

    name: str
    total: ZoneTotal
    change: ZoneChange | None


@dataclass(frozen=True)
class Maps:
    """What zones are summed from."""

    request: TotalsRequest
    first: AmountMap
    second: AmountMap | None
    carbon: Carbon


@dataclass(frozen=True)
class Totals:
    """All of them."""

    unit: str
    """Of totals."""
    zones: tuple[ZoneResult, ...]
    every: ZoneResult
    """Of all polygons together, whatever overlaps counted once."""
    assisted: tuple[Assisted, ...]
    notes: tuple[str, ...]

    @property
    def has_carbon(self) -> bool:
        """Whether amounts are of biomass."""
        return self.unit in CARBON_OF


def add_up(request: TotalsRequest, desk: Desk) -> Outcome:
    """Write the polygons with their totals, the table, and the page.

    Raises:
        EngineError: what opening the files raises, ``CRS_MISSING``, ``MODEL_UNSUITABLE``,
            ``REQUEST_INVALID``, ``INPUT_GRID_MISMATCH`` when no polygon lies on the map.
    """
    _check_numbers(request)
    with contextlib.closing(Handles()) as handles:
        first, unit = checked(open_map(request.map, handles), request)
        second = _second(request, first, handles)
        places = read_places(request.zones, _fields(request), first.found.grid)
        if places.kind != "polygons":
            raise EngineError(
                ErrorCode.LAYER_EMPTY,
                f"The layer {places.layer.shown} holds points, and totals are of polygons.",
                "Give a layer of polygons.",
            )
        shapes = [_valid(shape) for shape in places.shapes]
        maps = Maps(request, first, second, Carbon(request.carbon_fraction))
        zones = tuple(_zones(maps, shapes, places, desk))
        union = shapely.union_all([s for s in shapes if not s.is_empty])
        every = _result(maps, "all zones", union)
        helped = assisted(request, first, union, every.total) if request.plots else ()
    totals = Totals(unit, zones, every, helped, _notes(request, first, every))
    for note in (*totals.notes, lead(totals)):
        desk.note(note)
    _write(request, totals, places, desk)
    return desk.outcome("totals", 0)


def _check_numbers(request: TotalsRequest) -> None:
    wrong = None
    if not 0 < request.carbon_fraction <= 1:
        wrong = f"{request.carbon_fraction:g} is no carbon fraction", "Give one such as 0.47."
    elif not 0 <= request.systematic < 1:
        wrong = f"{request.systematic:g} is no share", "Give --systematic between 0 and 1."
    elif not 0 <= request.between_dates <= 1:
        wrong = (
            f"{request.between_dates:g} is no correlation between dates",
            "Give --between-dates between 0 and 1.",
        )
    elif (request.correlation_m or 0) < 0 or (request.deviation or 0) < 0:
        wrong = "Distances and deviations are not below 0", "Give numbers from 0 on."
    if wrong is not None:
        raise EngineError(ErrorCode.REQUEST_INVALID, f"{wrong[0]}.", wrong[1])


def _second(request: TotalsRequest, first: AmountMap, handles: Handles) -> AmountMap | None:
    if request.later is None:
        return None
    later = open_map(request.later, handles)
    if first.found.grid.aligned_offset(later.grid) != (0, 0) or later.grid.shape != (
        first.found.grid.shape
    ):
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"{later.name} and {first.found.name} have other pixels.",
            "Make both maps on one grid, for example by giving the second run the extent and pixel "
            "size of the first.",
        )
    return checked(later, request)[0]


def _fields(request: TotalsRequest) -> tuple[str, ...]:
    return find_layer(request.zones)[0].fields


def _valid(shape: Any) -> Any:
    return shape if shapely.is_valid(shape) else shapely.make_valid(shape)


def _zones(maps: Maps, shapes: Sequence[Any], places: Places, desk: Desk) -> Iterator[ZoneResult]:
    names = _names(places)
    inside = 0
    for number, (shape, name) in enumerate(zip(shapes, names, strict=True), 1):
        found = _result(maps, name, shape)
        inside += found.total.area > 0
        yield found
        desk.step("add up", number, len(shapes), "zones")
    if not inside:
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"No polygon of {places.layer.shown} lies where {maps.first.found.name} has data.",
            "Give polygons of the same place, and check their coordinate reference system.",
        )


def _names(places: Places) -> list[str]:
    """By the first field of text, else by number."""
    for values in places.fields.values():
        if values.dtype == object and all(v is not None and str(v).strip() for v in values):
            return [str(v) for v in values]
    return [str(number) for number in range(1, len(places.shapes) + 1)]


def _result(maps: Maps, name: str, shape: Any) -> ZoneResult:
    first, second = maps.first, maps.second
    total = first.total(shape, maps.carbon)
    if second is None or not total.area:
        return ZoneResult(name, total, None)
    frame = frame_of(shape, first.found.grid.shape)
    if frame.height * frame.width > LARGEST_CHANGE:
        raise EngineError(
            ErrorCode.OUT_OF_MEMORY,
            f"Zone {name} has more than {LARGEST_CHANGE:,} pixels, too many for a change at once.",
            "Split the zone, or average both maps to larger pixels.",
        )
    change = estimate_change(
        first.zone(shape, frame),
        second.zone(shape, frame),
        first.spacing,
        first.errors.correlation,
        residuals_between=maps.request.between_dates,
        common_between=1.0,
        carbon=maps.carbon,
    )
    return ZoneResult(name, total, change)


def _notes(request: TotalsRequest, first: AmountMap, every: ZoneResult) -> tuple[str, ...]:
    correlation = first.errors.correlation
    reach = 3 * correlation.range
    source = "as given" if request.correlation_m is not None else "as the map's file says"
    notes = [
        (
            f"Errors of pixels resemble each other within {reach:.4g} m ({source}; exponential, "
            f"{100 * correlation.nugget:.3g} % shared with no neighbour). Were they independent, "
            f"the standard error of all zones would seem {every.total.se_independent:.4g} instead "
            f"of {every.total.total.se:.4g}."
        )
    ]
    if first.errors.common == 0:
        notes.append(
            "No error that all pixels share is counted (--systematic): intervals are too narrow if "
            "the model itself is off."
        )
    if request.later is not None:
        notes.append(
            f"Errors at one place correlate by {request.between_dates:g} between the dates, as "
            "given; what all pixels share is taken as the same at both."
        )
    if every.total.missing > LEAST_MISSING * every.total.area:
        notes.append(f"{every.total.missing:.4g} ha of the zones have no data and are not counted.")
    return tuple(notes)


def _columns(totals: Totals) -> list[str]:
    kinds = BIOMASS if totals.has_carbon else ("amount",)
    ends = ("", "_se", "_low", "_high")
    names = [f"{kind}{end}" for kind in kinds for end in ends]
    changes = [f"change_{name}" for name in names] if totals.every.change else []
    return ["area_ha", "missing_ha", "mean", "mean_se", *names, "se_independent", *changes]


def _numbers(totals: Totals, zone: ZoneResult) -> list[float]:
    total, change = zone.total, zone.change
    if not total.area:
        return [0.0, total.missing, *[math.nan] * (len(_columns(totals)) - 2)]
    found = [total.area, total.missing, total.mean.value, total.mean.se]
    kinds = [total.total, total.carbon, total.co2e] if totals.has_carbon else [total.total]
    found += [*itertools.chain.from_iterable(_four(e) for e in kinds), total.se_independent]
    if totals.every.change is not None and change is None:
        found += [math.nan] * (4 * len(kinds))
    if change is not None:
        several = [change.change, change.carbon, change.co2e]
        several = several if totals.has_carbon else several[:1]
        found += itertools.chain.from_iterable(_four(e) for e in several)
    return found


def _four(estimate: Estimate) -> tuple[float, float, float, float]:
    return estimate.value, estimate.se, estimate.low, estimate.high


def _write(request: TotalsRequest, totals: Totals, places: Places, desk: Desk) -> None:
    columns = _columns(totals)
    numbers = np.array([_numbers(totals, zone) for zone in totals.zones], np.float64)
    _write_layer(request, columns, numbers, places, desk)
    path = Path(request.output)
    table = desk.place("totals", path.with_name(f"{path.stem}_totals.csv"), TABLE)
    rows = [(zone.name, *_shown(_numbers(totals, zone))) for zone in (*totals.zones, totals.every)]
    write_table(table, ("zone", *columns), rows)
    if request.report is not None:
        page = rendered(totals_page(request, totals))
        desk.write("report", Path(request.report), PAGE, page)


def _shown(numbers: Sequence[float]) -> list[str]:
    return ["" if math.isnan(v) else f"{v:.8g}" for v in numbers]


def _write_layer(
    request: TotalsRequest,
    columns: Sequence[str],
    numbers: npt.NDArray[np.float64],
    places: Places,
    desk: Desk,
) -> None:
    """The polygons as they were, with their own fields and the new ones."""
    original = places.layer.read(places.layer.fields)
    there = np.array([s is not None and not s.is_empty for s in original.shapes], bool)
    taken = {name.casefold() for name in columns} | {"fid", "geom"}
    kept = {n: v[there] for n, v in original.fields.items() if n.casefold() not in taken}
    kinds = {name: _kind(values) for name, values in kept.items()}
    layout = VectorLayout(
        "totals",
        places.layer.crs,
        kinds | dict.fromkeys(columns, "float64"),
        status_qml({}),
        f"Totals of {Path(request.map).name}",
        geometry="MultiPolygon",
    )
    fields = {n: _as_text(v) if kinds[n] == "str" else v for n, v in kept.items()}
    fields |= {name: numbers[:, i] for i, name in enumerate(columns)}
    batch = PolygonBatch(original.shapes[there], fields)
    path = Path(request.output)
    write_polygons(desk.place("vector", path, GEOPACKAGE), layout, iter([batch]))


def _kind(values: npt.NDArray[Any]) -> str:
    return values.dtype.name if values.dtype.kind in "iuf" else "str"


def _as_text(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array(["" if v is None else str(v) for v in values], object)
