"""Transitions of two class maps: raster, legend, tables, picture, and on demand polygons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.change.transitions import Cell, Coding, Counting, Cover, Matrix
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ClassArea, ModelClass
from engine.geo.window import Window
from engine.io.cog import RasterLayout
from engine.io.matrix_picture import Shown, matrix_svg
from engine.io.pam import pam_xml
from engine.io.stac import ItemAsset
from engine.io.staging import write_text
from engine.io.style import raster_qml
from engine.io.tables import shown_area, write_table
from engine.models.transition import ARROW, Transition, paired
from engine.pipeline.publication import Publication
from engine.pipeline.publish_dates import publish_dates
from engine.tasks.transition import transition_of

U16 = npt.NDArray[np.uint16]

CSV, SVG = "text/csv", "image/svg+xml"
GEOPACKAGE = "application/geopackage+sqlite3"
UNCHANGED, UNCHANGED_COLOR = "no change", "#d9d9d9"
NO_CHANGE = 0xFFFF
"""Stands in blocks to be traced for pixels of which no polygon is made."""
MOST_KINDS = 65_000
"""Transitions that a result may have: all that 254 classes can show, and more than people read."""
MOST_SHOWN = 40
"""Classes in the picture."""
LIGHT, TINGE = 0.7, 0.25
"""Share of white in the colour of what stayed; of the old class in that of what changed."""
WHITE = "#ffffff"
TRANSITIONS = (
    "from_id",
    "from_class",
    "to_id",
    "to_class",
    "pixels",
    "area_m2",
    "area_ha",
    "share",
)
SIZES = ("area_before_m2", "area_after_m2", "unchanged_m2", "lost_m2", "gained_m2")
CLASSES = ("class_id", "class_name", "pixels_before", "pixels_after", *SIZES)


@dataclass(frozen=True)
class Found:
    """What a run found, and what its numbers are called."""

    matrix: Matrix
    transition: Transition
    coding: Coding

    def legend(self) -> tuple[ModelClass, ...]:
        """The raster's: transitions that occur."""
        return tuple(self.member(cell) for cell in self.matrix.cells)

    def member(self, cell: Cell) -> ModelClass:
        """One entry of it: what changed looks like what it became, what stayed is light."""
        names, one = self.transition, self.transition.color(cell.before)
        two = names.color(cell.after)
        color = _mixed(two, one, TINGE) if cell.is_change else _mixed(one, WHITE, LIGHT)
        number = self.coding.number(cell.before, cell.after)
        return ModelClass(number, names.pair_name(cell.before, cell.after), color)


def publish_transitions(work: Publication) -> tuple[ClassArea, ...]:
    """Write what was asked for; what stayed as it was, and each change, the largest first.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` for more transitions than class maps have.
    """
    found = _counted(work)
    _raster(work, found)
    if work.places.has_dates:
        publish_dates(work)
    if work.plan.output.vector is not None:
        _polygons(work, found, Path(work.plan.output.vector))
    _class_table(work, found)
    _transition_table(work, found)
    _picture(work, found)
    return _areas(found)


def _counted(work: Publication) -> Found:
    """A pass of its own: the legend must be known before the first pixel is written."""
    recipe = work.recipe
    counting = Counting(recipe.frame, recipe.flat_pixel_area)
    for window, bands in work.windows("areas"):
        counting.add(window, bands[0])
    matrix = counting.matrix()
    if len(matrix.cells) > MOST_KINDS:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"The two rasters show {len(matrix.cells)} different transitions: they are no class "
            "maps.",
            "Give class maps, or compare scenes with --method irmad.",
        )
    transition = transition_of(recipe.card)
    largest = max((transition.largest, *matrix.codes))
    return Found(matrix, transition, Coding.up_to(largest))


def _raster(work: Publication, found: Found) -> None:
    places, legend, coding = work.places, found.legend(), found.coding
    parts = (
        (work.in_output(window), coding.encoded(bands[:1]))
        for window, bands in work.windows("raster")
    )
    layout = RasterLayout(
        dtype=coding.dtype,
        nodata=coding.nodata,
        descriptions=(f"class before {ARROW} class after",),
        overview="mode",
        classes=legend,
        tags={**work.tags(), "SWATH_CODES": f"class before x {coding.base} + class after"},
    )
    work.raster("raster", places.raster, "Transitions", layout, parts)
    write_text(work.staging.path(places.legend), pam_xml(legend))
    stayed = {coding.number(code, code) for code in found.matrix.codes}
    work.style("raster", places.raster_style, raster_qml(legend, faint=stayed))


def _polygons(work: Publication, found: Found, path: Path) -> None:
    """The patches of equal change."""
    # runs without polygons do without the libraries behind these
    from engine.io.geopackage import VectorLayout, write_polygons  # noqa: PLC0415
    from engine.io.style import polygon_qml  # noqa: PLC0415
    from engine.pipeline.change_polygons import change_fields, transition_batch  # noqa: PLC0415
    from engine.pipeline.polygons import whole_patches  # noqa: PLC0415

    kinds = tuple(cell for cell in found.matrix.cells if cell.is_change)
    legend = tuple(map(found.member, kinds))
    layout = VectorLayout(
        layer=path.stem,
        crs=work.recipe.grid.crs,
        fields=change_fields(work.recipe),
        style_qml=polygon_qml(legend),
    )
    written = work.staging.path(path)
    patches = whole_patches(work.plan, _ranked(work, kinds), NO_CHANGE)
    names = [(found.transition.name(c.before), found.transition.name(c.after)) for c in kinds]
    batches = (transition_batch(work.plan, some, legend, names) for some in patches)
    write_polygons(written, layout, batches)
    asset = ItemAsset("vector", path, written, GEOPACKAGE, "Changes", ("data",), None, legend)
    work.add(asset)


def _ranked(
    work: Publication, kinds: tuple[Cell, ...]
) -> Iterator[tuple[Window, U16, npt.NDArray[np.uint8]]]:
    """Blocks of the place of each pixel's change among ``kinds``."""
    before, after = (np.array([getattr(c, side) for c in kinds]) for side in ("before", "after"))
    known = paired(before, after)  # in order, since cells are
    for window, bands in work.windows("polygons"):
        rank = np.searchsorted(known, bands[0])
        is_change = known[np.minimum(rank, len(known) - 1)] == bands[0] if len(known) else rank < 0
        ranked = np.where(is_change, rank, NO_CHANGE).astype(np.uint16)
        likely = bands[1].astype(np.uint8) if len(bands) > 1 else np.zeros(window.shape, np.uint8)
        yield window, ranked, likely


def _class_table(work: Publication, found: Found) -> None:
    """What each class covered at both dates."""
    matrix = found.matrix
    rows = []
    for code in matrix.codes:
        before, after = matrix.before(code), matrix.after(code)
        stayed = sum((c.cover.area_m2 or 0) for c in matrix.cells if c.before == c.after == code)
        sizes: tuple[str, ...] = ("",) * len(SIZES)
        if before.area_m2 is not None and after.area_m2 is not None:
            lost, gained = before.area_m2 - stayed, after.area_m2 - stayed
            numbers = (before.area_m2, after.area_m2, stayed, lost, gained)
            sizes = tuple(f"{number:.2f}" for number in numbers)
        rows.append((code, found.transition.name(code), before.pixels, after.pixels, *sizes))
    path = work.places.areas
    written = work.staging.path(path)
    write_table(written, CLASSES, rows)
    work.add(ItemAsset("areas", path, written, CSV, "Area per class", ("metadata",)))


def _transition_table(work: Publication, found: Found) -> None:
    """Every transition that occurs, the unchanged ones too."""
    matrix, name = found.matrix, found.transition.name

    def row(cell: Cell) -> tuple[object, ...]:
        classes = (cell.before, name(cell.before), cell.after, name(cell.after))
        cover = cell.cover
        return *classes, cover.pixels, *shown_area(cover.area_m2), f"{matrix.share(cover):.6f}"

    path = work.places.transitions
    written = work.staging.path(path)
    write_table(written, TRANSITIONS, map(row, matrix.cells))
    work.add(ItemAsset("transitions", path, written, CSV, "Area per transition", ("metadata",)))


def _picture(work: Publication, found: Found) -> None:
    matrix, path = found.matrix, work.places.matrix
    unit, size = ("ha", 10_000.0) if matrix.has_areas else ("pixels", 1.0)
    if matrix.has_areas and (matrix.whole.area_m2 or 0) < 10 * size:
        unit, size = "m²", 1.0

    def number(cover: Cover) -> float:
        return (cover.pixels if cover.area_m2 is None else cover.area_m2) / size

    codes = _most_common(matrix)
    of = "" if len(codes) == len(matrix.codes) else f", the {len(codes)} largest classes"
    known = {(c.before, c.after): number(c.cover) for c in matrix.cells}
    shown = Shown(
        title=f"From (rows) {ARROW} to (columns){of}",
        unit=unit,
        names=tuple(map(found.transition.name, codes)),
        colors=tuple(map(found.transition.color, codes)),
        cells=tuple(tuple(known.get((row, col)) for col in codes) for row in codes),
        rows=tuple(number(matrix.before(code)) for code in codes),
        columns=tuple(number(matrix.after(code)) for code in codes),
    )
    written = work.staging.path(path)
    write_text(written, matrix_svg(shown))
    work.add(ItemAsset("matrix", path, written, SVG, "Matrix of transitions", ("overview",)))


def _most_common(matrix: Matrix) -> tuple[int, ...]:
    """The classes that a picture has room for."""
    size = {code: matrix.before(code).pixels + matrix.after(code).pixels for code in matrix.codes}
    return tuple(sorted(sorted(size, key=lambda code: -size[code])[:MOST_SHOWN]))


def _areas(found: Found) -> tuple[ClassArea, ...]:
    """All that stayed in one row, and every change in one of its own, the largest first."""
    matrix = found.matrix
    stayed = [c.cover for c in matrix.cells if not c.is_change]
    changes = [c for c in matrix.cells if c.is_change]
    rows = [_area(matrix, found.member(c), c.cover) for c in changes]
    rows.sort(key=lambda row: (-row.pixels, row.class_id))
    if not stayed:
        return tuple(rows)
    same = ModelClass(found.coding.nodata, UNCHANGED, UNCHANGED_COLOR)
    return (_area(matrix, same, Cover.joined(stayed)), *rows)


def _area(matrix: Matrix, member: ModelClass, cover: Cover) -> ClassArea:
    share = matrix.share(cover)
    return ClassArea(member.id, member.name, member.color, cover.pixels, cover.area_m2, share)


def _mixed(color: str, other: str, share: float) -> str:
    pairs = zip(*(bytes.fromhex(c.lstrip("#")) for c in (color, other)), strict=True)
    return "#" + "".join(f"{math.floor(a + share * (b - a)):02x}" for a, b in pairs)
