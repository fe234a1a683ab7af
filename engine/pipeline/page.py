"""The page about a run: what was found, whether it can be trusted, and how it was made."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.contract.errors import EngineError
from engine.contract.messages import ClassArea
from engine.io.stac import ItemAsset, Provenance
from engine.io.staging import write_text
from engine.models.two_dates import is_change, tells_change, unchanged_class
from engine.pipeline.inputs import open_inputs
from engine.pipeline.outcome import Run
from engine.pipeline.page_facts import (
    checks_section,
    method_section,
    notes_section,
    provenance_section,
    scenes_section,
    settings_section,
)
from engine.pipeline.page_pictures import Gallery, Shown, pictures_of, shown_scenes
from engine.pipeline.plan import Plan
from engine.pipeline.publication import Publication
from engine.report import charts, numbers
from engine.report.html import rendered
from engine.report.page import Block, Column, Page, Picture, Section, Swatch, Table, Text

HTML = "text/html"
UNCHANGED = "no change"
"""What all that stayed is called where transitions are counted."""
MOST_ROWS, MOST_BARS = 60, 20
"""Classes in the table, and in the chart."""
MAPPED = "Areas as mapped, not corrected for the map's own errors."


def publish_page(
    work: Publication, run: Run, provenance: Provenance, areas: Sequence[ClassArea], path: Path
) -> None:
    """Write the page; all other files but the item are there already, under temporary names.

    Raises:
        EngineError: ``DISK_FULL``, ``OUTPUT_UNWRITABLE``, ``CANCELLED``.
    """
    page = _page(work, run, provenance, areas)
    written = work.staging.path(path)
    write_text(written, rendered(page))
    work.add(ItemAsset("report", path, written, HTML, "Report", ("overview",)))


def _page(work: Publication, run: Run, provenance: Provenance, areas: Sequence[ClassArea]) -> Page:
    plan, card = work.plan, work.recipe.card
    scenes, trouble = _scenes(plan)
    raster = work.staging.path(work.places.raster)
    gallery = Gallery(plan, scenes, raster, areas, work.pause)
    found = Section(
        "Result", (*trouble, *pictures_of(gallery), *_tables(work, areas), *_spread(gallery))
    )
    sections = [
        found,
        *([checks_section(plan.preflight)] if plan.preflight else []),
        *([scenes_section(scenes)] if scenes else []),
        method_section(plan),
        notes_section(plan),
        settings_section(provenance),
        provenance_section(plan, provenance, work.assets, time.monotonic() - run.began),
    ]
    made = f"Made by Swath {provenance.engine_version} with {card.id} {card.version}."
    return Page(_title(plan, scenes), _lead(plan, areas), tuple(sections), made)


def _scenes(plan: Plan) -> tuple[tuple[Shown, ...], tuple[Block, ...]]:
    """The scenes; or why they cannot be read any more, which is no reason to lose the result."""
    recipe = plan.recipe
    try:
        return shown_scenes(plan, open_inputs(recipe.card, recipe.input, recipe.others)), ()
    except EngineError as error:
        return (), (Text(f"The scenes cannot be shown: {error.message}"),)


def _title(plan: Plan, scenes: Sequence[Shown]) -> str:
    card = plan.recipe.card
    names = [shown.name for shown in scenes]
    if not tells_change(card):
        return f"{card.title}: {names[0]}" if names else card.title
    days = [shown.given.date for shown in scenes]
    if days and all(days) and len(set(days)) == len(days):
        return f"Change from {' to '.join((day or '')[:10] for day in days)}"
    return f"Change: {' → '.join(names)}" if names else "Change"


def _lead(plan: Plan, areas: Sequence[ClassArea]) -> str:
    """What was found, in a sentence or two."""
    card = plan.recipe.card
    same = unchanged_class(card)
    stayed = {UNCHANGED, same.name if same else UNCHANGED}
    if not areas:
        names = ", ".join(band.name for band in card.output.values)
        return f"{names} by the model {card.id}."
    if tells_change(card):
        changed = [a for a in areas if a.name not in stayed and is_change(card, a.name)]
        share = sum(area.share for area in changed)
        sentence = f"{numbers.percent(share)} of what has data at both dates changed"
        sentence = f"{sentence}{_of_all(changed, areas)}."
    else:
        largest = sorted(areas, key=lambda area: -area.pixels)[:3]
        shares = (f"{area.name} {numbers.percent(area.share)}" for area in largest)
        sentence = f"Mostly {', '.join(shares)}{_of_all(areas, ())}."
    return f"{sentence}{_warning(plan)}"


def _of_all(some: Sequence[ClassArea], every: Sequence[ClassArea]) -> str:
    sums = [sum(area.area_m2 or 0 for area in several) for several in (some, every)]
    if not sum(sums):
        return ""
    whole = f" of {numbers.area(sums[1])}" if every else ""
    return f": {numbers.area(sums[0])}{whole}"


def _warning(plan: Plan) -> str:
    levels = {finding.level for finding in plan.preflight.findings} if plan.preflight else set()
    if "bad" in levels:
        return " A check of the two dates found a problem: see below before you trust it."
    return " Some checks of the two dates ask for a look: see below." if "look" in levels else ""


def _tables(work: Publication, areas: Sequence[ClassArea]) -> Iterator[Block]:
    """Areas by class; of class maps also which became which."""
    if not areas:
        return
    is_known = areas[0].area_m2 is not None
    yield _table(areas, is_known=is_known)
    bars = [area for area in areas if area.pixels]
    if len(bars) > 2:  # noqa: PLR2004 - kinds of change, beside which what stayed is too large
        bars = [area for area in bars if area.name != UNCHANGED]
    if bars:
        yield _chart(bars[:MOST_BARS], is_known=is_known)
    if work.places.has_transitions:
        matrix = work.staging.path(work.places.matrix).read_text("utf-8")
        caption = "Which class became which: rows are the classes before, columns those after"
        yield Picture(matrix, caption, "Matrix of transitions")


def _table(areas: Sequence[ClassArea], *, is_known: bool) -> Table:
    shares = [("Share", "%", 2), ("Pixels", "", 0)]
    sizes = [("Area", "ha", 2), ("Area", "m²", 0)] if is_known else []
    columns = (Column("Class", align="left"), *(Column(*told) for told in (*sizes, *shares)))

    def row(area: ClassArea) -> tuple[Swatch | float, ...]:
        size = area.area_m2 or 0.0
        known = (size / numbers.HECTARE, size) if is_known else ()
        return Swatch(area.color, area.name), *known, 100 * area.share, area.pixels

    left = len(areas) - MOST_ROWS
    caption = f"{MAPPED} … and {left} more classes in the table of areas." if left > 0 else MAPPED
    return Table(columns, tuple(map(row, areas[:MOST_ROWS])), caption)


def _chart(areas: Sequence[ClassArea], *, is_known: bool) -> Picture:
    unit, size = ("pixels", 1.0)
    if is_known:
        largest = max(area.area_m2 or 0 for area in areas)
        units = (("km²", numbers.SQUARE_KM), ("ha", numbers.HECTARE), ("m²", 1.0))
        unit, size = next((one for one in units if largest >= 10 * one[1]), units[-1])
    values = [(area.pixels if area.area_m2 is None else area.area_m2) / size for area in areas]
    names, colors = [area.name for area in areas], [area.color for area in areas]
    return Picture(charts.area_bars(names, colors, values, unit), "Area by class", "Bars of areas")


def _spread(gallery: Gallery) -> Iterator[Block]:
    """How often which values occur."""
    bands = gallery.plan.recipe.card.output.values
    if gallery.areas or not bands or not gallery.values.size:
        return
    label = f"{bands[0].name} ({bands[0].unit})" if bands[0].unit else bands[0].name
    drawn = charts.histogram(gallery.values, label)
    yield Picture(drawn, f"Values of {label}, of a sample of pixels", "Histogram of the values")
