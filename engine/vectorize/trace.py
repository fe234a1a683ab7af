"""The patches of one block, and what is needed to join those that go on beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.geo.window import Window
from engine.vectorize.edges import ALWAYS, NEVER, Edges, edges_of
from engine.vectorize.label import label_patches
from engine.vectorize.outline import outlines
from engine.vectorize.patches import Patches, Tally
from engine.vectorize.simplify import kept_corners

Bool = npt.NDArray[np.bool_]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.unsignedinteger[Any]]
"""Class ids: those of a model, or the many kinds of change that two class maps can show."""


@dataclass(frozen=True)
class Frame:
    """What all blocks have in common."""

    region: Window
    """What the blocks cover together."""
    nodata: int
    """The value that is no class."""
    tolerance: float = 0.0
    """Of the simplification, in pixels; 0: outlines follow the pixels."""


@dataclass(frozen=True)
class ClassBlock:
    """The pixels of one block."""

    window: Window
    classes: Ids
    """``[H, W]``"""
    confidence: U8
    """``[H, W]``, any unit."""
    pixel_area: npt.NDArray[np.float64]
    """Of each pixel, any unit; of a shape that broadcasts to ``[H, W]``."""


@dataclass(frozen=True)
class Line:
    """A row or column of pixels along the edge of a block."""

    classes: Ids
    patch: I64
    """Number of the open patch, -1 for none."""

    @classmethod
    def blank(cls, length: int, nodata: int) -> Line:
        """No patch anywhere."""
        return cls(np.full(length, nodata, np.uint16), np.full(length, -1, np.int64))

    def part(self, where: slice) -> Line:
        """A section of the line."""
        return Line(self.classes[where], self.patch[where])

    def put(self, where: slice, part: Line) -> None:
        """Replace a section of the line."""
        self.classes[where], self.patch[where] = part.classes, part.patch

    def counted(self, first: int) -> Line:
        """The line with its patches numbered from ``first`` on."""
        return Line(self.classes, np.where(self.patch >= 0, self.patch + first, -1))

    def renumber(self, number: I64) -> None:
        """Give each patch its new number."""
        is_patch = self.patch >= 0
        self.patch[is_patch] = number[self.patch[is_patch]]


@dataclass(frozen=True)
class Traced:
    """One block's patches: those that end within it, and those that may go on."""

    window: Window
    whole: Patches
    open: Tally
    edges: Edges
    """Of the open patches (``patch`` is an index into ``open``), but for those along a border
    with another block."""
    top: Line
    bottom: Line
    left: Line
    right: Line


def trace(block: ClassBlock, frame: Frame) -> Traced:
    """Find the patches of a block and their outlines along pixel edges."""
    labels, class_id = label_patches(block.classes, frame.nodata)
    tally = _tally(block, labels, class_id)
    edges = _edges(block, labels, frame)
    is_open = _reaching_on(labels, block.window, frame.region, len(tally))
    number = np.where(is_open, np.cumsum(is_open), np.cumsum(~is_open)) - 1
    is_loose = is_open[edges.patch]
    edges = edges.renumbered(number[edges.patch])
    whole = outlines(edges.take(~is_loose), int(np.count_nonzero(~is_open)))
    return Traced(
        block.window,
        Patches(tally.take(~is_open), whole),
        tally.take(is_open),
        edges.take(is_loose),
        *_lines(block.classes, labels, np.where(is_open, number, -1)),
    )


def _lines(classes: Ids, labels: I32, number: I64) -> Iterator[Line]:
    """Top, bottom, left, right."""
    numbers = np.concatenate([[-1], number])
    for values, line in zip(_borders(classes), _borders(labels), strict=True):
        yield Line(values, numbers[line])


def _tally(block: ClassBlock, labels: I32, class_id: Ids) -> Tally:
    area = np.broadcast_to(block.pixel_area, labels.shape)
    pixels, confidence, total = (
        np.bincount(labels.ravel(), values, minlength=len(class_id) + 1)[1:]
        for values in (None, block.confidence.ravel(), area.ravel())
    )
    return Tally(
        class_id, pixels.astype(np.int64), confidence.astype(np.float64), total.astype(np.float64)
    )


def _edges(block: ClassBlock, labels: I32, frame: Frame) -> Edges:
    """Every edge within the block and along the region's border; ``patch`` from 0."""
    corner = (block.window.col, block.window.row)
    padded = _padded(block, frame)
    if not frame.tolerance:
        return edges_of(padded, labels, frame.nodata, corner)
    edges = edges_of(padded, labels, frame.nodata, corner, junctions=True)
    col, row = (edges.start - np.array(corner, np.int32)).T
    kept = kept_corners(block.classes, frame.tolerance)[row, col]
    return edges.with_vertices(np.where(kept, ALWAYS, NEVER))


def _padded(block: ClassBlock, frame: Frame) -> Ids:
    """With nodata around the region, and no edge to see towards other blocks."""
    padded: Ids = np.pad(block.classes, 1, mode="edge")
    window, region = block.window, frame.region
    if window.row == region.row:
        padded[0] = frame.nodata
    if window.row_stop == region.row_stop:
        padded[-1] = frame.nodata
    if window.col == region.col:
        padded[:, 0] = frame.nodata
    if window.col_stop == region.col_stop:
        padded[:, -1] = frame.nodata
    return padded


def _reaching_on(labels: I32, window: Window, region: Window, count: int) -> Bool:
    """Which patches reach an edge beyond which the region goes on."""
    goes_on = (
        window.row > region.row,
        window.row_stop < region.row_stop,
        window.col > region.col,
        window.col_stop < region.col_stop,
    )
    reaching = np.zeros(count + 1, bool)
    for line, beyond in zip(_borders(labels), goes_on, strict=True):
        if beyond:
            reaching[line] = True
    return reaching[1:]


def _borders(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Top, bottom, left, right."""
    return values[0], values[-1], values[:, 0], values[:, -1]
