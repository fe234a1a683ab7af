"""Patches cut by block edges become whole again.

Blocks come row by row. A patch is held only while a block that may continue it is still to come:
memory follows the patches that cross one row of blocks, not the raster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from engine.vectorize.edges import edges_across
from engine.vectorize.held import Held
from engine.vectorize.patches import Patches
from engine.vectorize.trace import Frame, Line, Traced


def stitch(blocks: Iterable[Traced], frame: Frame) -> Iterator[Patches]:
    """All patches of the region, each exactly once.

    Args:
        blocks: Blocks that partition the region, row by row, left to right.
        frame: The frame in which they were traced.
    """
    stitcher = _Stitcher(frame)
    for traced in blocks:
        yield from stitcher.feed(traced)
    yield from stitcher.finish()


class _Stitcher:
    """Holds the pieces of open patches; a piece's number is its index among them."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._held = Held()
        # What blocks to come will touch; no patch any more where they have come.
        self._above, self._below, self._left = self._blank(), self._blank(), self._blank()

    def feed(self, traced: Traced) -> Iterator[Patches]:
        if len(traced.whole):
            yield traced.whole
        if traced.window.col == self._frame.region.col:
            self._above, self._below, self._left = self._below, self._blank(), self._blank()
        self._connect(traced, self._held.add(traced.open, traced.edges))
        if self._held.is_worth_sorting:
            yield from self._release()

    def finish(self) -> Iterator[Patches]:
        self._above, self._below, self._left = self._blank(), self._blank(), self._blank()
        yield from self._release()

    def _connect(self, traced: Traced, first: int) -> None:
        """Join the block to its neighbours above and left, and remember its other edges."""
        window, region = traced.window, self._frame.region
        cols = slice(window.col - region.col, window.col_stop - region.col)
        if window.row > region.row:
            self._join(self._above.part(cols), traced.top.counted(first), traced, upright=False)
            self._above.patch[cols] = -1
        if window.col > region.col:
            self._join(self._left, traced.left.counted(first), traced, upright=True)
        self._left = traced.right.counted(first)
        self._below.put(cols, traced.bottom.counted(first))

    def _join(self, one: Line, other: Line, traced: Traced, *, upright: bool) -> None:
        """Note what belongs together across a border of blocks, and the edges along it."""
        same = (one.patch >= 0) & (one.classes == other.classes)
        self._held.link(one.patch[same], other.patch[same])
        classes = np.stack([one.classes, other.classes])
        patch = np.stack([one.patch, other.patch])
        corner = (traced.window.col, traced.window.row)
        edges = edges_across(
            classes,
            patch,
            self._frame.nodata,
            corner,
            upright=upright,
            junctions=self._frame.tolerance > 0,
        )
        self._held.bound(edges)

    def _release(self) -> Iterator[Patches]:
        lines = (self._above, self._below, self._left)
        whole, number = self._held.split(np.concatenate([line.patch for line in lines]))
        for line in lines:
            line.renumber(number)
        yield from whole

    def _blank(self) -> Line:
        return Line.blank(self._frame.region.width, self._frame.nodata)
