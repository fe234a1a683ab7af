"""What a page tells of a run besides pictures: scenes, checks, method, settings, provenance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.geo.crs import parse_crs
from engine.geo.grid import Grid
from engine.io.stac import ItemAsset, Provenance
from engine.models.card import ModelCard
from engine.models.difference import difference_from_json
from engine.models.inline import inline_content
from engine.pipeline.command import can_tell, command_of
from engine.pipeline.page_pictures import Shown
from engine.pipeline.plan import Plan
from engine.pipeline.preflight import Preflight
from engine.pipeline.provenance import FITTED
from engine.report.numbers import brief, data_size, duration, percent
from engine.report.page import (
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Finding,
    Points,
    Section,
    Table,
    Text,
)

NAMES = {"gsd": "pixel size (m)", "aoi": "only inside"}
"""Of settings, where people say it otherwise."""
UNSAID: tuple[object, ...] = (None, "", (), [], {}, 0.0)
"""What settings are that nobody made."""


def scenes_section(scenes: Sequence[Shown]) -> Section:
    """Which files, of when, with which pixels."""

    def row(shown: Shown) -> tuple[Cell, ...]:
        scene = shown.given.scene
        height, width = scene.grid.shape
        size = scene.grid.pixel_size_m
        metres = math.sqrt(size[0] * size[1]) if size else shown.given.named.input.gsd
        pixel = None if metres is None else brief(metres)
        bands = ", ".join(band.role or band.name for band in scene.bands)
        date = (shown.given.date or "unknown")[:10]
        pixels = f"{width} x {height}"
        profile = scene.profile.name
        return shown.title, shown.name, date, bands, profile, pixels, pixel, _crs_name(scene.grid)

    titles = ("Input", "File", "Date", "Bands", "Input profile", "Pixels")
    columns = tuple(Column(title, align="left") for title in titles)
    more = (Column("Pixel size", "m"), Column("CRS", align="left"))
    return Section("Scenes", (Table((*columns, *more), tuple(map(row, scenes))),))


def checks_section(preflight: Preflight) -> Section:
    """Whether the two dates can be compared, whatever was looked at."""
    findings = tuple(Finding(f.level, f.sentence, f.topic.capitalize()) for f in preflight.findings)
    return Section("Can the two dates be compared?", (*findings, *_figures(preflight)))


def _figures(preflight: Preflight) -> Iterator[Block]:
    shift = preflight.shift
    down, right = (round(n, 2) + 0.0 for n in (shift.rows, shift.cols))  # without -0
    yield Facts(
        (
            ("Covered by both dates", f"{percent(preflight.overlap)} of the first"),
            ("With data at both", f"{percent(preflight.has_data[2])} of that"),
            ("Shift", f"{down:+.2f} rows, {right:+.2f} columns (median)"),
            ("Spread of the shift", f"{shift.spread:.2f} pixels"),
            ("Windows with a clear shift", f"{shift.used} of {shift.tried}"),
            ("Moved by", _moved(preflight.offset)),
        )
    )
    columns = (
        Column("Band", align="left"),
        Column("Median before", digits=4),
        Column("spread", digits=4),
        Column("Median after", digits=4),
        Column("spread", digits=4),
        Column("Correlation", digits=2),
        Column("Slope", digits=2),
    )
    rows = tuple(
        (
            *(band.band, band.before_median, band.before_spread),
            *(band.after_median, band.after_spread, band.correlation, band.slope),
        )
        for band in preflight.bands
    )
    caption = "In physical units, of a sample of pixels with data at both dates; robust spreads."
    yield Table(columns, rows, caption)


def method_section(plan: Plan) -> Section:
    """The model or the statistics that decided, and what is known of them."""
    card = plan.recipe.card
    is_fitted = inline_content(card.file.uri) is not None
    facts = (
        ("Method" if is_fitted else "Model", card.title),
        ("Id", f"{card.id} {card.version}"),
        ("What it does", card.summary),
        ("Change begins at", _cut(card)),
        ("Network", card.architecture),
        ("Bands", "; ".join(dict.fromkeys(", ".join(i.bands) for i in card.inputs))),
        ("Made for", _made_for(card, is_fitted=is_fitted)),
        ("Licence", card.license),
        ("By", card.attribution),
        ("Source", card.citation if card.citation != card.title else ""),
        ("Trained on", card.data_license),
        ("Numbers" if is_fitted else "Weights", FITTED if is_fitted else card.file.uri),
        ("Their sha256", card.file.sha256),
    )
    told = tuple((name, value) for name, value in facts if value)
    blocks: list[Block] = [Facts(told)]
    for title, sentences in (("Known figures:", card.metrics), ("Not for:", card.not_for)):
        blocks += [Text(title), Points(sentences)] if sentences else []
    return Section("Method" if is_fitted else "Model", tuple(blocks))


def notes_section(plan: Plan) -> Section:
    """What the user was told, without what the checks say already."""
    checked = {finding.sentence for finding in plan.preflight.findings} if plan.preflight else ()
    notes = (note for note in (plan.scaling, *plan.notes) if note and note not in checked)
    return Section("Notes", (Points(tuple(dict.fromkeys(notes))),))


def settings_section(provenance: Provenance) -> Section:
    """What was asked for, as far as it differs from nothing."""
    options = {name: value for name, value in provenance.options.items() if name != "region"}
    region = provenance.options.get("region")
    rows = tuple((name, _plain(value)) for name, value in _flat(options))
    if isinstance(region, Mapping):
        rows = (("Part of the grid", _part(region)), *rows)
    return Section("Settings", (Facts(rows),))


def provenance_section(
    plan: Plan, provenance: Provenance, assets: Sequence[ItemAsset], seconds: float
) -> Section:
    """What it takes to make the same again, and to see that it is the same."""
    software = ", ".join(f"{name} {number}" for name, number in provenance.software.items())
    facts = (
        ("Swath", provenance.engine_version),
        ("Finished", _minute(provenance.created)),
        ("Took", duration(seconds)),
        ("Ran on", provenance.device),
        ("Libraries", software),
        ("Digest of the plan", provenance.plan_digest),
    )
    inputs = tuple(
        (r.uri, None if r.size is None else data_size(r.size), _minute(r.modified), r.sha256)
        for r in provenance.inputs
    )
    outputs = tuple((asset.title, str(asset.path)) for asset in assets)
    ends = Column("Input", align="left"), Column("sha256", align="left")
    read = (ends[0], Column("Size"), Column("Changed"), ends[1])
    written = (Column("Output", align="left"), Column("File", align="left"))
    blocks = (Facts(facts), Table(read, inputs), Table(written, outputs), *_again(plan))
    return Section("Provenance", blocks)


def _again(plan: Plan) -> Iterator[Block]:
    if plan.asked is None or plan.asked.allometry is not None:  # which has a command of its own
        return
    yield Text("To run it again:")
    yield Code(command_of(plan.asked, plan.recipe.card))
    if not can_tell(plan.asked):
        yield Text("Bands of the further layers have to be given in QGIS.")


def _minute(time: str | None) -> str | None:
    """A time in UTC as people write it."""
    return f"{time[:16].replace('T', ' ')} UTC" if time else None


def _cut(card: ModelCard) -> str:
    """The place where change begins, of comparisons that have one."""
    if card.file.format != "difference":
        return ""
    content = inline_content(card.file.uri) or b""
    cut = difference_from_json(content.decode()).cut
    return f"{cut:.5g}, the root of the statistic (the notes say how it was found)"


def _made_for(card: ModelCard, *, is_fitted: bool) -> str:
    given = card.input
    return "" if is_fitted else f"{given.quantity.replace('_', ' ')}, pixels of {given.gsd:g} m"


def _moved(offset: tuple[float, float] | None) -> str:
    if offset is None:
        return "nothing"
    return f"{offset[0]:.4g}, {offset[1]:.4g} (x, y in the units of the second date's CRS)"


def _crs_name(grid: Grid) -> str:
    if grid.crs is None:
        return "none"
    crs = parse_crs(grid.crs)
    authority = crs.to_authority()
    return f"{crs.name} ({':'.join(authority)})" if authority else str(crs.name)


def _flat(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        title = f"{above}{NAMES.get(name) or name.replace('_', ' ')}"
        if isinstance(value, Mapping) and name != "bands":
            yield from _flat(value, f"{title}: ")
        elif value not in UNSAID and value is not False:
            yield title.capitalize(), value


def _part(region: Mapping[str, Any]) -> str:
    size = f"{region['height']} rows, {region['width']} columns"
    return f"{size}, from row {region['row']} and column {region['col']} on"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{role} = {band}" for role, band in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return "yes" if value is True else str(value)
