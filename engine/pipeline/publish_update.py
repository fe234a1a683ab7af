"""The updated map: one layer, its style, a table of what became of the objects, a STAC item."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from engine.change.objects import WHOLE, Match, Matching, Sight
from engine.contract.codec import to_plain
from engine.contract.messages import Artifact, RunSummary, UpdateRequest
from engine.contract.update import ObjectCount
from engine.io.geopackage import PolygonBatch, VectorLayout, write_polygons
from engine.io.layers import PolygonLayer, Shapes
from engine.io.outputs import VECTOR_SUFFIXES, check_suffix, check_targets
from engine.io.stac import ItemAsset, record_input, stac_item, write_stac_item
from engine.io.staging import Staging, write_text
from engine.io.style import status_qml
from engine.io.tables import write_table
from engine.pipeline.map_objects import F64, MapObjects, moved
from engine.pipeline.outcome import Outcome, note_of
from engine.pipeline.plan import Plan
from engine.pipeline.provenance import describe
from engine.pipeline.report import Report, stop_if_cancelled

COLORS = {
    "kept": "#9a9a9a",
    "reshaped": "#e6a700",
    "split": "#8e5bd0",
    "merged": "#d65fb0",
    "new": "#1a9850",
    "gone": "#d7301f",
    "unseen": "#3f7fbf",
    "outside": "#c9c2b2",
}
"""Statuses in the order of table and legend."""
GEOPACKAGE, CSV, ITEM = "application/geopackage+sqlite3", "text/csv", "application/geo+json"
PORTION = 10_000
"""Objects written at a time."""


@dataclass(frozen=True)
class UpdatePlaces:
    """Final names."""

    layer: Path

    @property
    def style(self) -> Path:
        """Beside it."""
        return self.layer.with_suffix(".qml")

    @property
    def table(self) -> Path:
        """Counts and areas by status."""
        return self.layer.with_name(f"{self.layer.stem}_statuses.csv")

    @property
    def item(self) -> Path:
        """The STAC item."""
        return self.layer.with_suffix(".json")

    @property
    def every(self) -> tuple[Path, ...]:
        """All files."""
        return self.layer, self.style, self.table, self.item

    def check(self, *, overwrite: bool, inputs: Sequence[str]) -> None:
        """Refuse what could not be delivered in the end.

        Raises:
            EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE`` or ``DISK_FULL``.
        """
        check_suffix(self.layer, VECTOR_SUFFIXES)
        check_targets(self.every, overwrite, inputs)


@dataclass(frozen=True, eq=False)
class Update:
    """A comparison that is done."""

    request: UpdateRequest
    plan: Plan
    """Of the run on the image."""
    layer: PolygonLayer
    """The old map."""
    old: MapObjects
    new: MapObjects
    sight: Sight
    matching: Matching
    places: UpdatePlaces


def publish_update(
    update: Update, ran: RunSummary, began: float, journal: Path, report: Report
) -> Outcome:
    """Write every output; all appear, or none.

    Args:
        update: What was found.
        ran: Of the run on the image.
        began: When the job did, on the monotonic clock.
        journal: Where a successor of this process finds how far it came.
        report: Told of progress and of finished files.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE``, ``OUTPUT_EXISTS``, ``DISK_FULL``, ``CANCELLED``; no
            output has been touched then.
    """
    counts = counted(update)
    sentence = told(counts)
    report.message("info", sentence)
    overwrite = update.request.run.output.overwrite
    with Staging(overwrite=overwrite, journal=journal) as staging:
        artifacts = _written(update, counts, ran.device, staging, report)
        stop_if_cancelled(report)
        summary = replace(
            ran,
            seconds=round(time.monotonic() - began, 3),
            areas=(),
            notes=(*ran.notes, sentence),
            objects=counts,
        )
        outcome = Outcome(artifacts, summary)
        staging.commit(note_of(update.plan, outcome))
    for artifact in artifacts:
        report.artifact(artifact)
    return outcome


def counted(update: Update) -> tuple[ObjectCount, ...]:
    """How many objects, and how much area, of each status; each object counts once."""
    has_areas = update.plan.recipe.area_field == "area_m2"
    rows = []
    for status, color in COLORS.items():
        old, new = (
            np.array(side, object) == status if side else np.zeros(0, bool)
            for side in (update.matching.old, update.matching.new)
        )
        areas = [float(side.areas[chosen].sum()) for side, chosen in _sides(update, old, new)]
        known = areas if has_areas else [None, None]
        rows.append(ObjectCount(status, color, int(old.sum()), int(new.sum()), *known))
    return tuple(rows)


def _sides(
    update: Update, old: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]
) -> tuple[tuple[MapObjects, npt.NDArray[np.bool_]], ...]:
    return (update.old, old), (update.new, new)


def told(counts: Sequence[ObjectCount]) -> str:
    """One sentence for people."""
    olds = [f"{c.old} {c.status}" for c in counts if c.old]
    total, came = sum(c.old for c in counts), sum(c.new for c in counts if c.status == "new")
    return f"Of {total} objects of the old map: {', '.join(olds)}. New: {came}."


def _written(
    update: Update, counts: Sequence[ObjectCount], device: str, staging: Staging, report: Report
) -> tuple[Artifact, ...]:
    places = update.places
    qml = status_qml(COLORS)
    layer = staging.path(places.layer)
    layout = VectorLayout(
        layer=places.layer.stem,
        crs=update.layer.crs,
        fields=_fields(update.plan.recipe.area_field),
        style_qml=qml,
        geometry="MultiPolygon",
    )
    write_polygons(layer, layout, _batches(update, report))
    write_text(staging.path(places.style), qml)
    table = staging.path(places.table)
    write_table(table, _header(update.plan.recipe.area_field), _rows(update, counts))
    assets = (
        ItemAsset("vector", places.layer, layer, GEOPACKAGE, "Updated map", ("data",)),
        ItemAsset("statuses", places.table, table, CSV, "Objects by status", ("metadata",)),
    )
    _item(update, device, staging, assets)
    return (
        Artifact("vector", str(places.layer), GEOPACKAGE, str(places.style)),
        Artifact("statuses", str(places.table), CSV),
        Artifact("item", str(places.item), ITEM),
    )


def _item(update: Update, device: str, staging: Staging, assets: Sequence[ItemAsset]) -> None:
    known = describe(update.plan, device)
    provenance = replace(
        known,
        title=f"Updated map: {update.layer.name}",
        inputs=(record_input(update.request.options.map), *known.inputs),
        options={**known.options, "update": to_plain(update.request.options)},
    )
    path = update.places.item
    item = stac_item(path, update.plan.recipe.output_grid, provenance, assets)
    write_stac_item(staging.path(path), item)


def _header(area: str) -> tuple[str, ...]:
    return "status", "old_objects", "new_objects", f"old_{area}", f"new_{area}"


def _rows(update: Update, counts: Sequence[ObjectCount]) -> Iterator[tuple[object, ...]]:
    for count in counts:
        sides = ((update.old, update.matching.old), (update.new, update.matching.new))
        areas = [
            sum(a for a, status in zip(objects.areas, found, strict=True) if status == count.status)
            for objects, found in sides
        ]
        yield count.status, count.old, count.new, *(f"{area:.2f}" for area in areas)


def _fields(area: str) -> dict[str, str]:
    """The layer's columns; ids are text, since a merged object has several old ones."""
    texts = ("status", "old_id", "new_id", "old_class", "new_class")
    numbers = ("iou", "seen", "confidence")
    sizes = (f"old_{area}", f"new_{area}", "shift_m" if area == "area_m2" else "shift_px")
    return {
        **dict.fromkeys(texts, "str"),
        **dict.fromkeys(numbers, "float32"),
        **dict.fromkeys(sizes, "float64"),
        "date_from": "str",
        "date_to": "str",
    }


def _batches(update: Update, report: Report) -> Iterator[PolygonBatch]:
    matches = update.matching.matches
    for first in range(0, len(matches), PORTION):
        stop_if_cancelled(report)
        some = matches[first : first + PORTION]
        yield _batch(update, some)
        report.progress("polygons", first + len(some), len(matches), "objects")


def _batch(update: Update, matches: Sequence[Match]) -> PolygonBatch:
    old, new, sight = update.old, update.new, update.sight
    area = update.plan.recipe.area_field
    # the first old object stands for all of a merged one; -1 is nobody
    one = np.array([m.old[0] if m.old else -1 for m in matches], int)
    other = np.array([-1 if m.new is None else m.new for m in matches], int)
    dates = (update.request.options.date, update.plan.acquired)
    columns = {
        "status": _texts(m.status for m in matches),
        "old_id": _texts(",".join(str(old.ids[n]) for n in m.old) or None for m in matches),
        "new_id": _texts(None if m.new is None else str(new.ids[m.new]) for m in matches),
        "old_class": _texts(_classes(old, m.old) for m in matches),
        "new_class": _texts(None if m.new is None else new.classes[m.new] for m in matches),
        "iou": np.array([math.nan if m.iou is None else m.iou for m in matches]),
        "seen": _taken(sight.inside * sight.seen, one),
        "confidence": _taken(new.confidence, other),
        f"old_{area}": np.array(
            [old.areas[list(m.old)].sum() if m.old else math.nan for m in matches]
        ),
        f"new_{area}": _taken(new.areas, other),
        "shift_m" if area == "area_m2" else "shift_px": _shifts(update, one, other),
        "date_from": np.full(len(matches), dates[0], object),
        "date_to": np.full(len(matches), dates[1], object),
    }
    return PolygonBatch(_outlines(update, matches, one, other), columns)


def _texts(values: Iterator[str | None]) -> npt.NDArray[np.object_]:
    found = list(values)
    column = np.empty(len(found), object)
    column[:] = found
    return column


def _classes(old: MapObjects, places: Sequence[int]) -> str | None:
    known = dict.fromkeys(old.classes[n] for n in places if old.classes[n] is not None)
    return ",".join(known) or None


def _taken(values: F64, places: npt.NDArray[np.int_]) -> F64:
    """A number of each object; NaN for nobody."""
    found: F64 = np.append(values, math.nan)[places]
    return found


def _shifts(update: Update, one: npt.NDArray[np.int_], other: npt.NDArray[np.int_]) -> F64:
    """Between the centroids, in metres at the object; pixels without georeference."""
    recipe = update.plan.recipe
    height, width = recipe.frame.pixel_size_m or (1.0, 1.0)
    found = np.full(len(one), math.nan)
    both = (one >= 0) & (other >= 0)
    before, after = update.old.shapes[one[both]], update.new.shapes[other[both]]
    apart = _middles(after) - _middles(before)
    planar = shapely.area(after) * (height * width if recipe.frame.crs else 1.0)
    scale = np.sqrt(update.new.areas[other[both]] / planar) if recipe.frame.crs else 1.0
    found[both] = np.hypot(apart[:, 0] * width, apart[:, 1] * height) * scale
    return found


def _middles(shapes: Shapes) -> F64:
    centroids = shapely.centroid(shapes)
    return np.column_stack([shapely.get_x(centroids), shapely.get_y(centroids)])


def _outlines(
    update: Update,
    matches: Sequence[Match],
    one: npt.NDArray[np.int_],
    other: npt.NDArray[np.int_],
) -> Shapes:
    """The new outline where there is one, in the old map's CRS; else the old one.

    What is kept has the old one where that is wished for, and where the image shows a part only;
    so has what went into an object that is kept as another one, which has the new outline.
    """
    sight = update.sight.inside * update.sight.seen
    stays = np.array([m.status == "kept" for m in matches], bool)
    stays &= update.request.options.keep_outlines | ~(_taken(sight, one) >= WHOLE)
    stays |= [m.status == "merged" and update.matching.new[m.new or 0] == "kept" for m in matches]
    is_old = (other < 0) | stays
    shapes = np.empty(len(matches), object)
    shapes[is_old] = update.old.outlines[one[is_old]]
    found = update.new.outlines[other[~is_old]]
    shapes[~is_old] = moved(found, update.plan.recipe.grid.crs, update.layer.crs)
    return shapes
