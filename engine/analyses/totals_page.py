"""The page of totals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from engine.assess.estimate import Estimate
from engine.contract.analyses import TotalsRequest
from engine.report.charts import interval_plot
from engine.report.numbers import brief
from engine.report.page import Block, Cell, Column, Facts, Page, Picture, Points, Section, Table
from engine.version import VERSION

if TYPE_CHECKING:
    from engine.analyses.totals import Totals, ZoneResult

MOST_BARS = 40


def totals_page(request: TotalsRequest, totals: Totals) -> Page:
    """What a reader wants to know of totals."""
    sections = [Section("Zones", _zones(totals))]
    if totals.every.change is not None:
        sections.append(Section("Change between the dates", _changes(totals)))
    if totals.assisted:
        sections.append(Section("Corrected by plots", _assisted(totals)))
    facts: list[tuple[str, Cell]] = [
        ("map", request.map),
        ("zones", request.zones),
        ("later map", request.later),
        ("carbon fraction (IPCC 2006, volume 4, table 4.3: 0.47)", request.carbon_fraction),
        ("error that all pixels share", request.systematic),
    ]
    known = tuple(row for row in facts if row[1] is not None)
    sections.append(Section("What this rests on", (Points(totals.notes), Facts(known))))
    title = f"Totals of «{Path(request.map).name}»"
    return Page(title, lead(totals), tuple(sections), f"Swath {VERSION}")


def lead(totals: Totals) -> str:
    """What a reader in a hurry must know."""
    every = totals.every.total
    found = f"All zones, {brief(every.area)} ha: {span(every.total, totals.unit)}."
    if totals.has_carbon:
        found += f" Carbon {span(every.carbon, totals.unit)}; CO₂ equivalent "
        found += f"{span(every.co2e, totals.unit)}."
    if totals.every.change is not None:
        found += f" Change {span(totals.every.change.change, totals.unit)}."
    return found


def span(estimate: Estimate, unit: str) -> str:
    """A figure with its 95 % interval."""
    if math.isnan(estimate.value):
        return "unknown"
    low, high = brief(estimate.low), brief(estimate.high)
    return f"{brief(estimate.value)} {unit} (95 % interval {low} to {high})"


def _zones(totals: Totals) -> tuple[Block, ...]:
    columns = [
        Column("zone", align="left"),
        Column("area", "ha"),
        Column("mean", f"{totals.unit}/ha"),
        Column("total", totals.unit),
        Column("standard error", totals.unit),
        Column("95 % interval", totals.unit),
    ]
    if totals.has_carbon:
        columns += [Column("carbon", totals.unit), Column("CO₂e", totals.unit)]
    rows = [_row(totals, zone) for zone in (*totals.zones, totals.every)]
    shown = [zone for zone in totals.zones if zone.total.area][:MOST_BARS]
    chart = interval_plot(
        [zone.name for zone in shown],
        [zone.total.total.value for zone in shown],
        [zone.total.total.low for zone in shown],
        [zone.total.total.high for zone in shown],
        f"total ({totals.unit}), 95 % interval",
    )
    table = Table(tuple(columns), tuple(rows))
    return table, Picture(chart, "", "Totals with their intervals")


def _row(totals: Totals, zone: ZoneResult) -> tuple[Cell, ...]:
    found = zone.total
    if not found.area:
        return (zone.name, 0.0, *[None] * (6 if totals.has_carbon else 4))
    cells: list[Cell] = [zone.name, _known(found.area), _known(found.mean.value)]
    cells += [_known(found.total.value), _known(found.total.se), _ends(found.total)]
    if totals.has_carbon:
        cells += [_known(found.carbon.value), _known(found.co2e.value)]
    return tuple(cells)


def _ends(estimate: Estimate) -> str:
    return f"{brief(estimate.low)} to {brief(estimate.high)}"


def _known(value: float) -> float | None:
    """With the digits that a reader needs; the table beside the page has all."""
    return None if math.isnan(value) else float(f"{value:.4g}")


def _changes(totals: Totals) -> tuple[Block, ...]:
    names = ("change", "standard error", "95 % interval")
    columns = (Column("zone", align="left"), *(Column(n, totals.unit) for n in names))
    rows = tuple(
        (zone.name, _known(c.value), _known(c.se), _ends(c))
        for zone in (*totals.zones, totals.every)
        if zone.change is not None
        for c in (zone.change.change,)
    )
    return (Table(columns, rows, "Second date less first."),)


def _assisted(totals: Totals) -> tuple[Block, ...]:
    columns = (
        Column("estimator", align="left"),
        Column("plots"),
        Column("mean", f"{totals.unit}/ha"),
        Column("95 % interval", f"{totals.unit}/ha"),
        Column("total", totals.unit),
        Column("design effect", digits=2),
    )
    rows: list[tuple[Cell, ...]] = []
    for one in totals.assisted:
        found = one.found
        rows.append(
            (
                one.method.value,
                found.n,
                _known(found.mean.value),
                _ends(found.mean),
                _known(found.total.value),
                _known(found.design_effect),
            )
        )
    alone = totals.assisted[0].found.plots_alone
    rows.append(
        ("plots alone", totals.assisted[0].found.n, _known(alone.value), _ends(alone), None, 1.0)
    )
    caption = (
        "These intervals rest on how the plots were drawn, not on the map's own errors: they hold "
        "for plots drawn at random over the zones, measured in the map's unit. A design effect of "
        "0.5 is worth twice the plots."
    )
    return (Table(columns, tuple(rows), caption),)
