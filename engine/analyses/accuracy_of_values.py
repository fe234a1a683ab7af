"""How good a map of amounts is."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from engine.analyses.desk import PAGE, TABLE, Desk
from engine.analyses.finished import FinishedMap
from engine.analyses.reference import (
    Places,
    at_points,
    check_some,
    in_polygon,
    is_raster,
    numbers_of,
    read_places,
)
from engine.assess.estimate import Estimate
from engine.assess.regression import (
    Bin,
    RegressionAgreement,
    measure_bins,
    measure_regression,
    quantile_edges,
    square_blocks,
)
from engine.contract.analyses import AssessRequest
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.io.scene import open_scene
from engine.io.tables import write_table
from engine.pipeline.outcome import Outcome
from engine.report.charts import histogram, scatter
from engine.report.html import rendered
from engine.report.page import Block, Column, Facts, Page, Picture, Points, Section, Table
from engine.version import VERSION

F64 = npt.NDArray[np.float64]

SQUARES = 10
"""Along the longer side of the places' extent: the blocks that the bootstrap draws."""
BINS = 5
LEAST_FOR_BINS = 25
MOST_PIXELS = 1_000_000
"""Of a raster's pixels that are compared, evenly chosen."""
LEVEL = 0.9
NORMAL_90 = 1.6448536269514722


@dataclass(frozen=True, eq=False)
class Compared:
    """Pairs of true and mapped amounts."""

    true: F64
    said: F64
    deviation: F64 | None
    """As the map's second band has it."""
    blocks: npt.NDArray[np.int64]
    notes: tuple[str, ...]


def assess_values(request: AssessRequest, found: FinishedMap, desk: Desk) -> Outcome:
    """Write the page and table of a map of amounts.

    Raises:
        EngineError: see ``accuracy.assess``.
    """
    pairs = _pairs(request, found, desk)
    for note in pairs.notes:
        desk.note(note)
    whole = measure_regression(pairs.true, pairs.said, blocks=pairs.blocks)
    bins = _bins(pairs)
    unit = _unit(found)
    desk.write("report", Path(request.report), PAGE, rendered(_page(request, pairs, whole, bins)))
    path = Path(request.report)
    table = path.with_name(f"{path.stem}_accuracy.csv")
    write_table(desk.place("accuracy", table, TABLE), HEADER, _rows(whole, bins))
    desk.note(_sentence(whole, unit))
    return desk.outcome("accuracy of amounts", whole.n)


def _pairs(request: AssessRequest, found: FinishedMap, desk: Desk) -> Compared:
    if is_raster(request.reference):
        return _against_raster(request.reference, found, desk)
    if request.field is None:
        raise EngineError(
            ErrorCode.FIELD_MISSING,
            "Nobody says which field of the reference holds the true amount.",
            "Name it with --field.",
        )
    places = read_places(request.reference, (request.field,), found.grid)
    true = numbers_of(places, request.field)
    bands = range(1, min(found.bands, 2) + 1)
    said = np.stack([_mapped(places, found, band) for band in bands])
    check_some(int(np.isfinite(said[0]).sum()), places, found)
    both = np.isfinite(true) & np.isfinite(said[0])
    if not both.any():
        raise EngineError(
            ErrorCode.FIELD_INVALID,
            f"«{request.field}» is empty wherever the map has data.",
            "Name the field with the true amounts.",
        )
    points = shapely.centroid(places.shapes[both])
    notes = [_left_out(int((~np.isfinite(said[0])).sum()), "lie where the map has no data", places)]
    notes.append(_left_out(int(np.isnan(true).sum()), "have no amount", places))
    return Compared(
        true[both],
        said[0][both],
        said[1][both] if len(said) > 1 else None,
        _squares(shapely.get_x(points), shapely.get_y(points)),
        tuple(note for note in notes if note),
    )


def _mapped(places: Places, found: FinishedMap, band: int) -> F64:
    """``[n]`` the map below each point, or its mean over each polygon."""
    shape = found.grid.shape
    if places.kind == "points":
        return at_points(places.shapes, shape, lambda w: found.values(w, band), np.nan)
    means = []
    for polygon in places.shapes:
        inside = in_polygon(polygon, shape, lambda w: found.values(w, band))
        known = inside[np.isfinite(inside)]
        means.append(float(known.mean()) if known.size else math.nan)
    return np.array(means)


def _against_raster(reference: str, found: FinishedMap, desk: Desk) -> Compared:
    scene = open_scene(InputSpec((reference,), "raw"))
    step = max(1, math.ceil(math.sqrt(math.prod(found.grid.shape) / MOST_PIXELS)))
    parts = []
    windows = list(found.windows())
    with contextlib.closing(scene.source((), found.grid)) as source:
        for number, window in enumerate(windows, 1):
            chip = source.read(window)
            true = np.where(chip.valid, chip.data[0].astype(np.float64), np.nan)
            said = found.values(window)
            rows, cols = np.mgrid[window.row : window.row_stop, window.col : window.col_stop]
            chosen = np.isfinite(true) & np.isfinite(said)
            chosen &= (rows % step == 0) & (cols % step == 0)
            parts.append(np.stack([true[chosen], said[chosen], rows[chosen], cols[chosen]]))
            desk.step("compare", number, len(windows), "windows")
    true, said, rows, cols = np.concatenate(parts, axis=1)
    if not true.size:
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"No pixel has data both in {found.name} and in the reference.",
            "Give a reference of the same place.",
        )
    told = (f"Of the pixels one in {step * step} is compared.",) if step > 1 else ()
    return Compared(true, said, None, _squares(cols, rows), told)


def _squares(x: F64, y: F64) -> npt.NDArray[np.int64]:
    """The square of the places' extent that each lies in."""
    size = max(np.ptp(x), np.ptp(y)) / SQUARES
    return square_blocks(x, y, size) if size > 0 else np.zeros(len(x), np.int64)


def _left_out(count: int, why: str, places: Places) -> str:
    return f"{count} {places.kind} {why} and do not count." if count else ""


def _bins(pairs: Compared) -> tuple[Bin, ...]:
    if len(pairs.true) < LEAST_FOR_BINS or np.ptp(pairs.true) == 0:
        return ()
    edges = quantile_edges(pairs.true, BINS)
    return measure_bins(pairs.true, pairs.said, edges, blocks=pairs.blocks)


HEADER = ("from", "to", "n", "rmse", "rmse_low", "rmse_high", "bias", "bias_low", "bias_high", "r2")


def _rows(whole: RegressionAgreement, bins: tuple[Bin, ...]) -> list[tuple[object, ...]]:
    rows = [_row("", "", whole)]
    rows += [_row(f"{b.low:.6g}", f"{b.high:.6g}", b.agreement) for b in bins if b.agreement]
    return rows


def _row(low: str, high: str, found: RegressionAgreement) -> tuple[object, ...]:
    spans = [f"{v:.6g}" for e in (found.rmse, found.bias) for v in (e.value, e.low, e.high)]
    return (low, high, found.n, *spans, f"{found.r2.value:.6g}")


def _sentence(found: RegressionAgreement, unit: str) -> str:
    end = f" {unit}" if unit else ""
    return (
        f"RMSE {_span(found.rmse)}{end}, bias {_span(found.bias)}{end}, R² {found.r2.value:.3f} "
        f"at {found.n} places."
    )


def _span(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _unit(found: FinishedMap) -> str:
    dataset = found.handles.dataset(found.info.uri)
    return str(dataset.units[0] or "")


def _page(
    request: AssessRequest, pairs: Compared, whole: RegressionAgreement, bins: tuple[Bin, ...]
) -> Page:
    figures = Facts(
        (
            ("places", whole.n),
            ("root mean square error", _span(whole.rmse)),
            ("bias (map less reference)", _span(whole.bias)),
            ("mean absolute error", _span(whole.mae)),
            ("R² (share of the variance explained)", f"{whole.r2.value:.3f}"),
            ("squared correlation", f"{whole.squared_correlation.value:.3f}"),
        )
    )
    pictures = (
        Picture(scatter(pairs.true, pairs.said), "Each dot is a place.", "Map against reference"),
        Picture(
            histogram(pairs.said - pairs.true, "map less reference", 0.0, "no error"),
            "",
            "Histogram of the errors",
        ),
    )
    sections = [Section("All places", (figures, *pictures))]
    if bins:
        sections.append(Section("By the true amount", (_bin_table(bins),)))
    if pairs.deviation is not None:
        sections.append(Section("Does the map know how sure it is?", _coverage(pairs)))
    how = (
        (
            f"Intervals hold 95 %; they come from a bootstrap of {whole.blocks} squares of the "
            "ground, since neighbours err alike."
        ),
        *pairs.notes,
    )
    facts = Facts(
        (("map", request.map), ("reference", request.reference), ("field", request.field))
    )
    sections.append(Section("What this rests on", (Points(how), facts)))
    title = f"Accuracy of «{Path(request.map).name}»"
    return Page(title, _sentence(whole, ""), tuple(sections), f"Swath {VERSION}")


def _bin_table(bins: tuple[Bin, ...]) -> Table:
    columns = tuple(Column(t) for t in ("from", "to", "places", "RMSE", "bias"))
    rows = tuple(
        (b.low, b.high, b.agreement.n, b.agreement.rmse.value, b.agreement.bias.value)
        for b in bins
        if b.agreement
    )
    return Table(columns, rows)


def _coverage(pairs: Compared) -> tuple[Block, ...]:
    """Whether intervals of the map's own deviations hold what they promise."""
    deviation = pairs.deviation
    if deviation is None:
        return ()
    known = np.isfinite(deviation) & (deviation > 0)
    if not known.any():
        return (Points(("Its second band holds no deviations.",)),)
    error = np.abs(pairs.said - pairs.true)[known]
    held = float((error <= NORMAL_90 * deviation[known]).mean())
    return (
        Points(
            (
                (
                    f"90 % intervals by the map's second band, taken as standard deviation, hold "
                    f"{100 * held:.1f} % of the {int(known.sum())} true amounts."
                ),
            )
        ),
    )
