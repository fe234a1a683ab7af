"""Rasters of continuous values, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.geo.window import Window
from engine.io.cog import RasterLayout
from engine.io.style import values_qml
from engine.pipeline.publication import Publication
from engine.tasks.task import Bands

SAMPLE = 2_000
"""Values of each block that decide on the range of colours."""
TAILS = (2, 98)
"""Percentiles between which the colours run."""
LARGEST = 65534
"""Of whole numbers in two bytes; the next one means no data."""
ROUNDED = (
    f"Values are rounded to whole numbers from 0 to {LARGEST}, those outside are held there; "
    f"{LARGEST + 1} means no data."
)


def whole_numbers(values: Bands) -> Bands:
    """Values, NaN where there are none, as unsigned numbers of two bytes."""
    held = np.clip(np.nan_to_num(values, nan=0.0), 0, LARGEST)
    found: Bands = np.rint(held).astype(np.uint16)
    found[np.isnan(values)] = LARGEST + 1
    return found


def publish_values(work: Publication) -> int:
    """Write the raster and its style; the number of pixels that have values."""
    bands = work.recipe.card.output.values
    is_whole = work.plan.output.value_type == "uint16"
    seen = _Seen()

    def watched() -> Iterator[tuple[Window, Bands]]:
        for window, values in work.windows("raster"):
            seen.add(values[0])
            yield work.in_output(window), whole_numbers(values) if is_whole else values

    layout = RasterLayout(
        dtype=work.plan.output.value_type,
        nodata=LARGEST + 1 if is_whole else float("nan"),
        descriptions=tuple(band.name for band in bands),
        overview="average",
        units=tuple(band.unit for band in bands),
        tags=work.tags(),
    )
    title = ", ".join(band.name for band in bands[:3])
    work.raster("raster", work.places.raster, title, layout, watched())
    label = f" {bands[0].unit}" if bands[0].unit else ""
    work.style("raster", work.places.raster_style, values_qml(seen.span, label))
    return seen.pixels


class _Seen:
    """Counts the pixels of the first band, and keeps a few of them."""

    def __init__(self) -> None:
        self.pixels = 0
        self._kept: list[Bands] = []

    def add(self, values: Bands) -> None:
        found = values[np.isfinite(values)]
        self.pixels += found.size
        self._kept.append(found[:: max(1, found.size // SAMPLE)])

    @property
    def span(self) -> tuple[float, float]:
        """Where most of the values lie."""
        every = np.concatenate(self._kept) if self._kept else np.zeros(0)
        if not every.size:
            return 0.0, 1.0
        low, high = (float(v) for v in np.percentile(every, TAILS))
        return (low, high) if low < high else (low - 0.5, low + 0.5)
