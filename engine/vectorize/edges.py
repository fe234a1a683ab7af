"""The borders between pixels of different patches, as directed edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

EAST, NORTH, WEST, SOUTH = range(4)
"""Headings, counter-clockwise; north is towards row 0."""
IF_TURNING, ALWAYS, NEVER = range(3)
"""Whether an edge's start is a vertex of the outline."""


@dataclass(frozen=True)
class Edges:
    """Straight edges along pixel borders; the patch that one bounds lies on its left."""

    start: I32
    """``[n, 2]`` (column, row) of a pixel corner."""
    stop: I32
    heading: U8
    patch: I64
    """Number of the patch; what it counts is the holder's business."""
    vertex: U8
    """``IF_TURNING``, ``ALWAYS`` or ``NEVER``."""

    def __len__(self) -> int:
        return len(self.patch)

    def renumbered(self, patch: I64) -> Edges:
        """The same edges of other patches."""
        return replace(self, patch=patch)

    def with_vertices(self, vertex: npt.NDArray[np.integer[Any]]) -> Edges:
        """The same edges with another say on which starts are vertices."""
        return replace(self, vertex=vertex.astype(np.uint8))

    def take(self, chosen: Bool) -> Edges:
        """Some of the edges, in their order."""
        index = np.flatnonzero(chosen)
        return Edges(*(np.take(column, index, axis=0) for column in vars(self).values()))

    @classmethod
    def joined(cls, parts: Iterable[Edges]) -> Edges:
        """All edges of all parts."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def edges_of(
    classes: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    none: int,
    corner: tuple[int, int],
    *,
    junctions: bool = False,
) -> Edges:
    """All edges of an image; the patch with label ``n`` gets the number ``n - 1``.

    Args:
        classes: ``[H + 2, W + 2]`` the image and the pixels around it.
        labels: ``[H, W]``
        none: The class that has no edges of its own.
        corner: (column, row) of the image's first pixel corner.
        junctions: As in ``edges_across``.
    """
    patch = np.pad(labels, 1) - 1
    rows = edges_across(classes[:, 1:-1], patch[:, 1:-1], none, corner, junctions=junctions)
    across = np.ascontiguousarray(classes[1:-1].T)
    columns = edges_across(across, patch[1:-1].T, none, corner, upright=True, junctions=junctions)
    return Edges.joined([rows, columns])


def edges_across(
    pixels: npt.NDArray[Any],
    patch: npt.NDArray[Any],
    none: int,
    corner: tuple[int, int],
    *,
    upright: bool = False,
    junctions: bool = False,
) -> Edges:
    """The edges between each row of pixels and the next.

    Args:
        pixels: ``[N + 1, L]`` classes; with ``upright`` the columns of an image.
        patch: ``[N + 1, L]`` number of each pixel's patch.
        none: The class that has no edges of its own.
        corner: (column, row) where the border of the first two rows begins.
        upright: Whether ``pixels`` is transposed.
        junctions: End edges also where the class on the other side changes, and make every end a
            vertex.
    """
    sides = []
    for side, (line, first, last) in enumerate(_runs(pixels, none, junctions=junctions)):
        owner = patch[line + side, first].astype(np.int64)
        ends = [np.column_stack([first, line]), np.column_stack([last, line])]
        is_forward = (side == 0) != upright
        start, stop = ends if is_forward else ends[::-1]
        heading = (SOUTH, NORTH)[side == 0] if upright else (WEST, EAST)[side == 0]
        vertex = ALWAYS if junctions else IF_TURNING
        sides.append(
            Edges(
                _placed(start, corner, upright=upright),
                _placed(stop, corner, upright=upright),
                np.full(len(line), heading, np.uint8),
                owner,
                np.full(len(line), vertex, np.uint8),
            )
        )
    return Edges.joined(sides)


def _placed(points: npt.NDArray[np.intp], corner: tuple[int, int], *, upright: bool) -> I32:
    """(Position along, line) as (column, row)."""
    if upright:
        points = points[:, ::-1]
    placed: I32 = (points + np.array(corner)).astype(np.int32)
    return placed


_Runs = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]


def _runs(pixels: npt.NDArray[Any], none: int, *, junctions: bool) -> list[_Runs]:
    """Longest edges of the pixels above each line, then of those below: (line, first, last).

    Edges on one side of a line do not overlap, so their starts and their stops, both in reading
    order, belong together one by one.
    """
    upper, lower = pixels[:-1], pixels[1:]
    differ = upper != lower
    both = differ[:, 1:] & differ[:, :-1]
    if junctions:
        both &= (upper[:, 1:] == upper[:, :-1]) & (lower[:, 1:] == lower[:, :-1])
    found = []
    for side in (upper, lower):
        opens = differ & (side != none)
        goes_on = both & (side[:, 1:] == side[:, :-1])
        closes = opens.copy()
        opens[:, 1:] &= ~goes_on
        closes[:, :-1] &= ~goes_on
        line, first = np.divmod(np.flatnonzero(opens), pixels.shape[1])
        last = np.flatnonzero(closes) - line * pixels.shape[1] + 1
        found.append((line, first, last))
    return found
