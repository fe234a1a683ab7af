"""The classes of each of two dates as rasters, and how likely they differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.io.cog import RasterLayout
from engine.io.pam import pam_xml
from engine.io.staging import write_text
from engine.io.style import probability_qml, raster_qml
from engine.models.transition import NO_PAIR, Pairs, split
from engine.pipeline.destination import ClassRaster
from engine.pipeline.publication import Publication
from engine.tasks.segment import PROBABILITY_NODATA, PROBABILITY_SCALE

U8 = npt.NDArray[np.uint8]
BEFORE, AFTER = 0, 1
"""Places of the dates in a pair."""


def publish_dates(work: Publication) -> None:
    """Write both dates' classes; the probability of change where it was asked for."""
    _date(work, "from", work.places.before, BEFORE)
    _date(work, "to", work.places.after, AFTER)
    if work.plan.output.probability is not None:
        _probability(work, Path(work.plan.output.probability))


def _date(work: Publication, role: str, place: ClassRaster, which: int) -> None:
    """One class raster, with names and colours as of any single date."""
    output = work.recipe.card.output
    parts = (
        (work.in_output(window), _codes(bands[:1], which, output.nodata))
        for window, bands in work.windows(role)
    )
    layout = RasterLayout(
        dtype="uint8",
        nodata=output.nodata,
        descriptions=(("class before", "class after")[which],),
        overview="mode",
        classes=output.classes,
        tags=work.tags(),
    )
    work.raster(role, place.path, ("Classes before", "Classes after")[which], layout, parts)
    write_text(work.staging.path(place.legend), pam_xml(output.classes))
    work.style(role, place.style, raster_qml(output.classes))


def _codes(pairs: Pairs, which: int, nodata: int) -> U8:
    codes: U8 = np.where(pairs == NO_PAIR, nodata, split(pairs)[which]).astype(np.uint8)
    return codes


def _probability(work: Publication, path: Path) -> None:
    """One band, stored as uint8."""
    layout = RasterLayout(
        dtype="uint8",
        nodata=PROBABILITY_NODATA,
        descriptions=("probability of change",),
        overview="average",
        scale=PROBABILITY_SCALE,
        offset=0.0,
        tags=work.tags(),
    )
    parts = (
        (work.in_output(window), bands[1:].astype(np.uint8))
        for window, bands in work.windows("probability")
    )
    work.raster("probability", path, "Probability of change", layout, parts)
    work.style("probability", work.places.probability_style, probability_qml())
