"""Patches cut by block edges become whole again.

Blocks come row by row. A patch is held only while a block that may continue it is still to come:
memory follows the patches on one row of blocks, not the raster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from engine.geo.window import Window
from engine.vectorize.trace import Pieces

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Patch:
    """One whole patch."""

    class_id: int
    pixels: int
    confidence: float
    """Summed over the pixels."""
    polygon: shapely.Polygon
    """In pixels of the whole grid: ``x`` = column, ``y`` = row."""


@dataclass
class _Group:
    """Pieces that are known to belong together."""

    class_id: int
    pixels: int
    confidence: float
    polygons: list[shapely.Polygon]


@dataclass
class _Seam:
    """Open pieces along an edge: column (or row) of the grid to serial number, 0 for none."""

    serial: I64
    class_id: npt.NDArray[np.uint8]


@dataclass
class _Held:
    """Open groups under a union-find forest over serial numbers."""

    parent: dict[int, int] = field(default_factory=dict)
    group: dict[int, _Group] = field(default_factory=dict)

    def add(self, serial: int, group: _Group) -> None:
        self.parent[serial] = serial
        self.group[serial] = group

    def root(self, serial: int) -> int:
        while self.parent[serial] != serial:
            self.parent[serial] = self.parent[self.parent[serial]]
            serial = self.parent[serial]
        return serial

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.root(a), self.root(b)))
        if a == b:
            return
        mine, other = self.group[a], self.group.pop(b)
        self.parent[b] = a
        mine.pixels += other.pixels
        mine.confidence += other.confidence
        mine.polygons += other.polygons

    def release(self, keep: set[int]) -> list[_Group]:
        """Give back the groups whose roots are not in ``keep``."""
        done = sorted(r for r in self.group if r not in keep)
        found = [self.group.pop(r) for r in done]
        self.parent = {s: self.root(s) for s in list(self.parent) if self.root(s) in keep}
        return found


def stitch(blocks: Iterable[Pieces], region: Window) -> Iterator[Patch]:
    """All patches of the region, each exactly once.

    Args:
        blocks: The pieces of blocks that partition ``region``, row by row, left to right.
        region: What the blocks cover together.
    """
    stitcher = _Stitcher(region)
    for pieces in blocks:
        yield from stitcher.feed(pieces)
    yield from stitcher.finish()


class _Stitcher:
    def __init__(self, region: Window) -> None:
        self._region = region
        self._held = _Held()
        self._next = 1
        self._above = _seam(region.width)
        self._below = _seam(region.width)
        self._left: _Seam | None = None

    def feed(self, pieces: Pieces) -> Iterator[Patch]:
        window = pieces.window
        if window.col == self._region.col:
            yield from self._start_row(window)
        serials = np.arange(self._next, self._next + len(pieces.class_id))
        self._next += len(serials)
        open_labels = _touching(pieces, self._region)
        for index in np.flatnonzero(~open_labels).tolist():
            yield _patch(_group(pieces, index))
        for index in np.flatnonzero(open_labels).tolist():
            self._held.add(int(serials[index]), _group(pieces, index))
        self._connect(pieces, np.concatenate([[0], np.where(open_labels, serials, 0)]))

    def finish(self) -> Iterator[Patch]:
        for group in self._held.release(set()):
            yield _patch(group)

    def _start_row(self, window: Window) -> Iterator[Patch]:
        """The row above is complete: what does not reach its lower edge is whole."""
        self._left = None
        if window.row == self._region.row:
            return
        self._above, self._below = self._below, _seam(self._region.width)
        alive = {self._held.root(int(s)) for s in np.unique(self._above.serial) if s}
        for group in self._held.release(alive):
            yield _patch(group)

    def _connect(self, pieces: Pieces, serial_of: I64) -> None:
        """Join the block to its neighbours above and left, and remember its other edges."""
        window = pieces.window
        edges = _edges(pieces, serial_of)
        cols = slice(window.col - self._region.col, window.col_stop - self._region.col)
        above = _Seam(self._above.serial[cols], self._above.class_id[cols])
        self._join(above, edges["top"])
        if self._left is not None:
            self._join(self._left, edges["left"])
        self._left = edges["right"]
        self._below.serial[cols] = edges["bottom"].serial
        self._below.class_id[cols] = edges["bottom"].class_id

    def _join(self, one: _Seam, other: _Seam) -> None:
        same = (one.serial > 0) & (other.serial > 0) & (one.class_id == other.class_id)
        pairs = np.unique(np.stack([one.serial[same], other.serial[same]]), axis=1)
        for a, b in pairs.T:
            self._held.join(int(a), int(b))


def _seam(length: int) -> _Seam:
    return _Seam(np.zeros(length, np.int64), np.zeros(length, np.uint8))


def _edges(pieces: Pieces, serial_of: I64) -> dict[str, _Seam]:
    class_of = np.concatenate([[0], pieces.class_id]).astype(np.uint8)
    labels = pieces.labels
    lines = {"top": labels[0], "bottom": labels[-1], "left": labels[:, 0], "right": labels[:, -1]}
    return {name: _Seam(serial_of[line], class_of[line]) for name, line in lines.items()}


def _touching(pieces: Pieces, region: Window) -> npt.NDArray[np.bool_]:
    """Which pieces reach an edge beyond which the region goes on."""
    labels, window = pieces.labels, pieces.window
    lines = []
    if window.row > region.row:
        lines.append(labels[0])
    if window.row_stop < region.row_stop:
        lines.append(labels[-1])
    if window.col > region.col:
        lines.append(labels[:, 0])
    if window.col_stop < region.col_stop:
        lines.append(labels[:, -1])
    touching = np.zeros(len(pieces.class_id) + 1, bool)
    for line in lines:
        touching[line] = True
    return touching[1:]


def _group(pieces: Pieces, index: int) -> _Group:
    return _Group(
        class_id=int(pieces.class_id[index]),
        pixels=int(pieces.pixels[index]),
        confidence=float(pieces.confidence[index]),
        polygons=[pieces.polygon[index]],
    )


def _patch(group: _Group) -> Patch:
    polygon = group.polygons[0]
    if len(group.polygons) > 1:
        polygon = shapely.simplify(shapely.union_all(group.polygons), 0)
    return Patch(group.class_id, group.pixels, group.confidence, polygon)
