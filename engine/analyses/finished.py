"""A finished map: its grid, its legend, its pixels in windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.handles import Handles
from engine.io.legend import read_legend
from engine.io.raster import FileInfo, FileRaster, describe

F64 = npt.NDArray[np.float64]
B = npt.NDArray[np.bool_]

EDGE = 1024
"""Pixels along the windows in which a map streams by."""
LARGEST = 65_535
MOST_CLASSES = 256
COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
"""Of classes whose legend has none (Okabe and Ito 2008)."""


@dataclass(frozen=True)
class FinishedMap:
    """One file; it keeps handles open until they are closed."""

    info: FileInfo
    handles: Handles

    @property
    def grid(self) -> Grid:
        """Of its pixels."""
        return self.info.grid

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"«{Path(self.info.name).name}»"

    @property
    def bands(self) -> int:
        """Besides one of transparency."""
        return len(self.info.data_bands)

    def read(self, window: Window, band: int = 1) -> tuple[npt.NDArray[np.generic], B]:
        """Stored numbers ``[H, W]`` and where there is data."""
        data, valid = FileRaster(self.info, self.handles).read((band,), window)
        return data[0], valid

    def values(self, window: Window, band: int = 1) -> F64:
        """Numbers ``[H, W]`` by the band's own scale and offset; NaN without data."""
        data, valid = self.read(window, band)
        scaling = self.info.scalings[band - 1]
        return np.where(valid, data.astype(np.float64) * scaling.scale + scaling.offset, np.nan)

    def windows(self) -> Iterator[Window]:
        """All of it, row by row."""
        height, width = self.grid.shape
        for row in range(0, height, EDGE):
            for col in range(0, width, EDGE):
                yield Window(row, col, EDGE, EDGE).intersect(self.grid.window)


def open_map(uri: str, handles: Handles) -> FinishedMap:
    """Look at a map.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``, ``INPUT_ROTATED``.
    """
    return FinishedMap(describe(uri, handles), handles)


def codes(found: FinishedMap, window: Window) -> npt.NDArray[np.int64]:
    """Class ids ``[H, W]`` of a window; -1 without data.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` for numbers that are no classes.
    """
    data, valid = found.read(window)
    numbers = np.where(valid, data, 0)
    if not (np.mod(numbers, 1) == 0).all() or numbers.min() < 0 or numbers.max() > LARGEST:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"{found.name} holds numbers that are no classes.",
            "Give a map of classes, or say --values for one of amounts.",
        )
    return np.where(valid, numbers.astype(np.int64), -1)


def legend_of(found: FinishedMap, present: npt.NDArray[np.int64]) -> tuple[ModelClass, ...]:
    """Its classes by id: those that its legend names, and others that are present.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` when there are too many to be classes.
    """
    told = {c.id: c for c in read_legend(found.info.uri).classes if c.name}
    every = sorted({*told, *present.tolist()} - {-1})
    if len(every) > MOST_CLASSES:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"{found.name} has {len(every)} different numbers, too many for classes.",
            "Give a map of classes, or say --values for one of amounts.",
        )
    known = [told.get(i, ModelClass(i, f"class {i}", "")) for i in every]
    colors = itertools.cycle(COLORS)
    return tuple(ModelClass(c.id, c.name, c.color or next(colors)) for c in known)
