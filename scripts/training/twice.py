"""One place of Dubai on two days, both labelled: parts of two tiles of ``dubai_mbrsc``.

The right of tile 4 and the lower left of tile 8 overlap. The files say nothing of where they are;
the shift between both is found from the pictures, coarsely for the tiles and then for windows,
whose shifts an affine transform joins. Labels outline whole blocks, in another way on each day:
most of what differs between them is no change on the ground.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from engine.change.shift import Pair, estimate_shift
from training.crops import IGNORED
from training.edits import change
from training.landcover import COLOURS, Tile, read_tile

BEFORE, AFTER = 4, 8
COARSE = 4
"""Pixels of the tiles along one of those that are first compared."""
WINDOW = 256
BUILDING = list(COLOURS).index("building")
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Place:
    """The ground that both tiles show, on the grid of tile 4."""

    before: npt.NDArray[np.uint8]
    """``[3, H, W]``"""
    after: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    """``[H, W]``: 0 no change, 1 new building, 2 building gone, 255 unknown."""

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Where both days are labelled."""
        known: npt.NDArray[np.bool_] = self.labels != IGNORED
        return known


def read_place(folder: Path) -> Place:
    """Both days on one grid."""
    before, after = read_tile(folder, BEFORE), read_tile(folder, AFTER)
    down, right = _apart(before, after)
    rows = slice(max(0, -down), min(before.labels.shape[0], after.labels.shape[0] - down))
    cols = slice(max(0, -right), min(before.labels.shape[1], after.labels.shape[1] - right))
    here = Tile(before.pixels[:, rows, cols], before.labels[rows, cols])
    move = np.array([[1.0, 0, rows.start + down], [0, 1.0, cols.start + right]])
    for _ in range(ROUNDS):
        move[:, :] += _remaining(here.pixels, _taken(after, move, here.labels.shape).pixels)
    there = _taken(after, move, here.labels.shape)
    roofs = [_roofs(tile.labels) for tile in (here, there)]
    return Place(here.pixels, there.pixels, change(*roofs))


def _roofs(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.where(labels == IGNORED, IGNORED, labels == BUILDING).astype(np.uint8)


def _apart(one: Tile, other: Tile) -> tuple[int, int]:
    """Rows and columns of the other tile at the first pixel of the one."""
    edges = [_edges(tile.pixels) for tile in (one, other)]
    shape = [sum(lengths) for lengths in zip(*(e.shape for e in edges), strict=True)]
    first, second = (np.fft.rfft2(e, shape) for e in edges)
    cross = second * np.conj(first)
    surface = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), shape)
    best = np.unravel_index(surface.argmax(), surface.shape)
    moves = [m if m < n else m - s for m, n, s in zip(best, edges[1].shape, shape, strict=True)]
    return COARSE * int(moves[0]), COARSE * int(moves[1])


def _edges(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    height, width = (n // COARSE for n in pixels.shape[1:])
    grey = pixels[:, : height * COARSE, : width * COARSE].mean(0)
    small = grey.reshape(height, COARSE, width, COARSE).mean((1, 3))
    steep: npt.NDArray[np.float64] = np.hypot(*np.gradient(small))
    return steep - steep.mean()


def _remaining(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """``[2, 3]``: rows and columns still missing, linear in row, column and 1."""
    places, shifts = [], []
    for row, col, pair in _windows(before, after):
        found = estimate_shift([pair])
        if found.used:
            places.append((row + WINDOW / 2, col + WINDOW / 2, 1.0))
            shifts.append((found.rows, found.cols))
    return np.linalg.lstsq(np.array(places), np.array(shifts))[0].T


def _windows(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]
) -> Iterator[tuple[int, int, Pair]]:
    has = np.ones((WINDOW, WINDOW), bool)
    for row in range(0, before.shape[1] - WINDOW + 1, WINDOW):
        for col in range(0, before.shape[2] - WINDOW + 1, WINDOW):
            here = (slice(None), slice(row, row + WINDOW), slice(col, col + WINDOW))
            one, two = (day[here].astype(np.float32) for day in (before, after))
            yield row, col, Pair(one, two, has, has)


def _taken(tile: Tile, move: npt.NDArray[np.float64], shape: tuple[int, int]) -> Tile:
    """What a tile shows on another grid; beyond its edge labels are unknown."""
    turn, start = move[:, :2], move[:, 2]
    pixels = [
        ndimage.affine_transform(band, turn, start, shape, order=1, mode="nearest")
        for band in tile.pixels
    ]
    labels = ndimage.affine_transform(tile.labels, turn, start, shape, order=0, cval=IGNORED)
    return Tile(np.stack(pixels), labels)
