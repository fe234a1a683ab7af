"""Smaller copies of a class raster, each pixel the most frequent class of four.

GDAL's own ``mode`` resampling gives the same kind of picture at several times the cost, and counts
nodata like a class; here a class wins over nodata.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio

from engine.geo.window import Window

STEP = 2048
"""Rows and columns of the overview computed at a time."""

U8 = npt.NDArray[np.uint8]


def halve(classes: U8, nodata: int | None) -> U8:
    """Half as many rows and columns, rounded up.

    Args:
        classes: ``[H, W]``
        nodata: Value that wins only where all four pixels have it.

    Returns:
        The most frequent value of each 2 x 2 pixels; of equally frequent ones the first in
        reading order.
    """
    height, width = classes.shape
    odd = height % 2, width % 2
    even = np.pad(classes, ((0, odd[0]), (0, odd[1])), mode="edge") if any(odd) else classes
    # comparing every other byte takes longer than copying them once
    a, b, c, d = (np.ascontiguousarray(even[i::2, j::2]) for i in (0, 1) for j in (0, 1))
    found = np.where(c == d, c, a)
    np.copyto(found, b, where=(b == c) | (b == d))
    np.copyto(found, a, where=(a == b) | (a == c) | (a == d))
    if nodata is not None:
        _prefer_classes(found, (d, c, b, a), nodata)
    return found


def _prefer_classes(found: U8, quarters: tuple[U8, ...], nodata: int) -> None:
    lost = found == nodata
    if lost.any():
        for quarter in quarters:
            np.copyto(found, quarter, where=lost & (quarter != nodata))


def write_class_overviews(path: Path, layout: dict[str, Any], smallest: int) -> list[Path]:
    """Write overviews of a one-band raster beside it, where GDAL finds them.

    Args:
        path: The raster.
        layout: Profile of the overview files.
        smallest: Halving ends when neither side is longer than this.

    Returns:
        The files, for the caller to remove; also those of a failed attempt exist.
    """
    made: list[Path] = []
    while True:
        with rasterio.open(path) as source:
            if max(source.shape) <= smallest:
                return made
            path = path.with_name(f"{path.name}.ovr")
            made.append(path)
            shape = tuple(-(-n // 2) for n in source.shape)
            size = {"height": shape[0], "width": shape[1]}
            with rasterio.open(path, "w", **{**layout, **size}) as target:
                for window in _steps(shape):
                    part = source.read(1, window=_doubled(window, source.shape))
                    target.write(halve(part, layout["nodata"]), 1, window=_as_rasterio(window))


def _steps(shape: tuple[int, ...]) -> Iterator[Window]:
    whole = Window(0, 0, shape[0], shape[1])
    for row in range(0, shape[0], STEP):
        for col in range(0, shape[1], STEP):
            yield Window(row, col, STEP, STEP).intersect(whole)


def _doubled(window: Window, shape: tuple[int, int]) -> Any:
    double = Window(2 * window.row, 2 * window.col, 2 * window.height, 2 * window.width)
    return _as_rasterio(double.intersect(Window(0, 0, *shape)))


def _as_rasterio(window: Window) -> Any:
    return rasterio.windows.Window(window.col, window.row, window.width, window.height)
