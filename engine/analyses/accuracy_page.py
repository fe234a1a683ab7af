"""The page of a map's accuracy."""

from __future__ import annotations

import math

from engine.analyses.judgement import HECTARE, Judgement
from engine.assess.estimate import Estimate
from engine.contract.analyses import AssessRequest
from engine.report.charts import heat_map, interval_plot
from engine.report.numbers import brief
from engine.report.page import Cell, Column, Facts, Page, Picture, Points, Section, Swatch, Table
from engine.version import VERSION

PERCENT = 100


def class_page(
    request: AssessRequest, name: str, judgement: Judgement, more: tuple[Section, ...] = ()
) -> Page:
    """What a reader wants to know of a class map."""
    sections = [
        Section("How well each class is mapped", (_classes(judgement),)),
        Section("Which class was taken for which", (_matrix(judgement),)),
    ]
    if judgement.adjusted is not None:
        sections.insert(1, Section("Areas, corrected for the map's errors", _areas(judgement)))
    sections += more
    sections.append(Section("What this rests on", (Points(judgement.how), _facts(request))))
    return Page(
        f"Accuracy of {name}",
        f"Overall accuracy: {shown_overall(judgement)}.",
        tuple(sections),
        f"Swath {VERSION}",
    )


def shown_overall(judgement: Judgement) -> str:
    """The overall accuracy, with its interval where there is one."""
    return _percent(judgement.overall, with_interval=judgement.has_intervals)


def _percent(estimate: Estimate, *, with_interval: bool) -> str:
    if math.isnan(estimate.value):
        return "unknown"
    shown = f"{PERCENT * estimate.value:.1f} %"
    if not with_interval or math.isnan(estimate.low):
        return shown
    return f"{shown} (95 % interval {PERCENT * estimate.low:.1f} to {PERCENT * estimate.high:.1f})"


def _classes(judgement: Judgement) -> Table:
    columns = [Column("class", align="left")]
    columns += [Column(t, "%", 1) for t in ("user's", "producer's", "F1", "IoU")]
    if judgement.has_intervals:
        columns[2:2] = [Column("interval", "%")]
        columns[4:4] = [Column("interval", "%")]
    rows = []
    for index, member in enumerate(judgement.mapped):
        user, producer, f1, iou = judgement.figures(index)
        cells: list[Cell] = [Swatch(member.color, member.name)]
        for estimate in (user, producer):
            cells.append(_share(estimate))
            cells += [_span(estimate)] if judgement.has_intervals else []
        rows.append((*cells, _share(f1), _share(iou)))
    caption = (
        "User's accuracy: of what is mapped as the class, how much is it. Producer's accuracy: of "
        "what is the class, how much is mapped as it."
    )
    return Table(tuple(columns), tuple(rows), caption)


def _share(estimate: Estimate) -> float | None:
    return None if math.isnan(estimate.value) else PERCENT * estimate.value


def _span(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return "–"
    return f"{PERCENT * estimate.low:.1f} to {PERCENT * estimate.high:.1f}"


def _areas(judgement: Judgement) -> tuple[Table | Picture | Points, ...]:
    found = [(row, judgement.area(i)) for i, row in enumerate(judgement.mapped)]
    known = [(row, area) for row, area in found if area is not None and row.area_m2 is not None]
    if not known:
        return (Points(("The map has no georeference: areas are unknown.",)),)
    columns = (
        Column("class", align="left"),
        Column("mapped", "ha"),
        Column("corrected", "ha"),
        Column("standard error", "ha"),
        Column("95 % interval", "ha"),
    )
    rows = tuple(
        (
            Swatch(r.color, r.name),
            _rounded((r.area_m2 or 0) / HECTARE),
            _rounded(a.value),
            _rounded(a.se),
            f"{brief(a.low)} to {brief(a.high)}",
        )
        for r, a in known
    )
    chart = interval_plot(
        [row.name for row, _ in known],
        [area.value for _, area in known],
        [area.low for _, area in known],
        [area.high for _, area in known],
        "corrected area (ha), 95 % interval",
    )
    return Table(columns, rows), Picture(chart, "", "Corrected areas with their intervals")


def _rounded(value: float) -> float:
    """With the digits that a reader needs; the table beside the page has all."""
    return float(f"{value:.4g}")


def _matrix(judgement: Judgement) -> Picture:
    names = [row.name for row in judgement.mapped]
    unit = "polygons" if judgement.kind == "polygons" else "samples"
    shown = "pixels" if judgement.kind == "raster" else unit
    chart = heat_map(names, names, judgement.confusion.matrix.tolist(), ("map", "reference"), shown)
    return Picture(chart, "Rows: the map. Columns: the reference.", "Confusion matrix")


def _facts(request: AssessRequest) -> Facts:
    rows: list[tuple[str, Cell]] = [("map", request.map), ("reference", request.reference)]
    rows += [("field", request.field)] if request.field else []
    rows += [("strata", request.strata)] if request.strata else []
    return Facts(tuple(rows))
