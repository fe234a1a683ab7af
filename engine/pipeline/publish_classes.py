"""Class maps: raster, legend, areas, and on demand probabilities and polygons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.assess.mapped import MappedArea
from engine.contract.messages import ClassArea
from engine.geo.window import Window
from engine.io.cog import RasterLayout
from engine.io.pam import pam_xml
from engine.io.stac import ItemAsset
from engine.io.staging import write_text
from engine.io.style import polygon_qml, probability_qml, raster_qml
from engine.io.tables import write_area_table
from engine.models.two_dates import tells_change, unchanged_class
from engine.pipeline.publication import Publication
from engine.tasks.segment import PROBABILITY_NODATA, PROBABILITY_SCALE

U8 = npt.NDArray[np.uint8]
CLASSES, WINNER, FIRST_CLASS = 0, 1, 2
"""Bands of a block."""
GEOPACKAGE = "application/geopackage+sqlite3"
CSV = "text/csv"


def publish_classes(work: Publication) -> tuple[ClassArea, ...]:
    """Write what was asked for, and the areas of the classes, which come back too."""
    output = work.plan.output
    areas = _classes(work)
    if output.probability is not None:
        _probability(work, Path(output.probability))
    if output.vector is not None:
        _polygons(work, Path(output.vector))
    _table(work, areas)
    return areas


def _classes(work: Publication) -> tuple[ClassArea, ...]:
    """The class raster with its legend, and the areas counted on the way."""
    recipe, places = work.recipe, work.places
    legend = recipe.card.output.classes
    areas = MappedArea(recipe.frame, legend, recipe.flat_pixel_area)

    def counted() -> Iterator[tuple[Window, U8]]:
        for window, bands in work.windows("raster"):
            areas.add(window, bands[CLASSES])
            yield work.in_output(window), bands[CLASSES : CLASSES + 1]

    layout = RasterLayout(
        dtype="uint8",
        nodata=recipe.card.output.nodata,
        descriptions=("class",),
        overview="mode",
        classes=legend,
        tags=work.tags(),
    )
    work.raster("raster", places.raster, "Classes", layout, counted())
    write_text(work.staging.path(places.legend), pam_xml(legend))
    work.style("raster", places.raster_style, raster_qml(legend, unseen=_unseen(work)))
    return areas.table()


def _unseen(work: Publication) -> tuple[int, ...]:
    """Codes of what did not change: a map of change lies above the image that it is about."""
    member = unchanged_class(work.recipe.card)
    return (member.id,) if member else ()


def _probability(work: Publication, path: Path) -> None:
    """One band a class, stored as uint8."""
    legend = work.recipe.card.output.classes
    layout = RasterLayout(
        dtype="uint8",
        nodata=PROBABILITY_NODATA,
        descriptions=tuple(f"probability of {c.name}" for c in legend),
        overview="average",
        scale=PROBABILITY_SCALE,
        offset=0.0,
        tags=work.tags(),
    )
    parts = (
        (work.in_output(window), bands[FIRST_CLASS:])
        for window, bands in work.windows("probability")
    )
    work.raster("probability", path, "Probability of each class", layout, parts)
    work.style("probability", work.places.probability_style, probability_qml())


def _polygons(work: Publication, path: Path) -> None:
    """The patches of equal class; of a model that labels cells, every cell."""
    # runs without polygons do without the libraries behind these
    from engine.io.geopackage import (  # noqa: PLC0415
        VectorLayout,
        class_fields,
        write_polygons,
    )
    from engine.pipeline.change_polygons import change_batches, change_fields  # noqa: PLC0415
    from engine.pipeline.polygons import cell_batches, polygon_batches  # noqa: PLC0415

    recipe, named = work.recipe, work.plan.polygons.classes
    legend = tuple(c for c in recipe.card.output.classes if not named or c.name in named)
    parts = ((window, bands[CLASSES], bands[WINNER]) for window, bands in work.windows("polygons"))
    make = cell_batches if recipe.cells.cell > 1 else polygon_batches
    batches, fields = make(work.plan, parts), class_fields(recipe.area_field)
    if tells_change(recipe.card):
        batches, fields = change_batches(work.plan, batches), change_fields(recipe)
    layout = VectorLayout(path.stem, recipe.grid.crs, fields, polygon_qml(legend))
    written = work.staging.path(path)
    write_polygons(written, layout, batches)
    title = "Polygons by class"
    work.add(ItemAsset("vector", path, written, GEOPACKAGE, title, ("data",), None, legend))


def _table(work: Publication, areas: tuple[ClassArea, ...]) -> None:
    """Areas per class."""
    path = work.places.areas
    written = work.staging.path(path)
    write_area_table(written, areas)
    work.add(ItemAsset("areas", path, written, CSV, "Area per class", ("metadata",)))
