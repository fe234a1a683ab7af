"""Closed rings from loose edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import shapely
from scipy.sparse.csgraph import breadth_first_order, connected_components

from engine.vectorize.edges import ALWAYS, IF_TURNING, Edges

Bool = npt.NDArray[np.bool_]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
INDEX = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Outlines:
    """Polygons as ragged arrays, laid out as in GeoArrow; no ring visits a point twice."""

    corners: I32
    """``[V, 2]`` (column, row); every ring ends where it began. Exteriors run counter-clockwise as
    seen with row 0 on top, holes clockwise."""
    rings: I64
    """``[R + 1]`` where each ring begins among the corners; a polygon's first ring is outside."""
    polygons: I64
    """``[P + 1]`` where each polygon begins among the rings."""

    def __len__(self) -> int:
        return len(self.polygons) - 1

    @classmethod
    def none(cls) -> Outlines:
        """No polygon at all."""
        return cls(np.zeros((0, 2), np.int32), np.zeros(1, np.int64), np.zeros(1, np.int64))

    @property
    def ring_areas(self) -> npt.NDArray[np.float64]:
        """``[R]`` what each ring encloses, square pixels; below zero for holes."""
        x, y = self.corners.astype(np.int64).T
        # On very many corners the sum wraps around; its differences do not.
        doubled = _offsets(x[1:] * y[:-1] - x[:-1] * y[1:])
        first, last = self.rings[:-1], self.rings[1:] - 1
        areas: npt.NDArray[np.float64] = (doubled[last] - doubled[first]) / 2
        return areas

    @property
    def areas(self) -> npt.NDArray[np.float64]:
        """``[P]`` square pixels."""
        return _sums(self.ring_areas, self.polygons)

    def without_rings(self, gone: Bool) -> Outlines:
        """The polygons without some of their holes."""
        sizes = np.diff(self.rings)
        kept_rings = _sums(~gone, self.polygons).astype(np.int64)
        corners = self.corners[np.repeat(~gone, sizes)]
        return Outlines(corners, _offsets(sizes[~gone]), _offsets(kept_rings))

    def shapes(self, corners: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.object_]:
        """The polygons, with their ``corners [V, 2]`` moved elsewhere if given."""
        place = self.corners.astype(np.float64) if corners is None else corners
        kind = shapely.GeometryType.POLYGON
        made: npt.NDArray[np.object_] = shapely.from_ragged_array(
            kind, place, (self.rings, self.polygons)
        )
        return made


def outlines(edges: Edges, count: int) -> Outlines:
    """The polygons of patches ``0 .. count``, from all edges of each.

    Where a patch touches itself at a corner, the rings part there: a hole touches the exterior or
    another hole, but no ring touches itself.
    """
    if not count:
        return Outlines.none()
    follows = _follows(edges)
    ring_count, ring = _cycles(follows)
    first = np.empty(ring_count, np.intp)
    first[ring[::-1]] = np.arange(len(edges))[::-1]
    order = np.lexsort((first, _is_hole(edges, ring, ring_count), edges.patch[first]))
    walk = _walk(follows, first[order])
    is_corner = _is_corner(edges, follows)
    sizes = np.bincount(ring[is_corner], minlength=ring_count)[order]
    corners, rings = _closed(np.take(edges.start, walk[is_corner[walk]], axis=0), sizes)
    owned = np.bincount(edges.patch[first], minlength=count)
    return Outlines(corners, rings, _offsets(owned))


def _follows(edges: Edges) -> INDEX:
    """The edge after each edge.

    At each point a patch has as many edges that end as edges that start: one, or two where it
    meets itself corner to corner. There, too, they pair off in the order of their headings, those
    that start counted as if seen before a turn to the right: turning right keeps rings simple.
    The sorts are merges, since edges mostly come in order.
    """
    follows = np.empty(len(edges), np.intp)
    ends = np.argsort(_keys(edges, edges.stop, edges.heading), kind="stable")
    right = _keys(edges, edges.start, (edges.heading + 1) & 3)
    follows[ends] = np.argsort(right, kind="stable")
    return follows


def _keys(edges: Edges, points: I32, heading: npt.NDArray[np.integer[Any]]) -> I64:
    """Numbers in the order of point, patch and heading."""
    col, row = points.astype(np.int64).T
    key: I64 = row - row.min()
    for value, count in ((col, col.max() + 1), (edges.patch, edges.patch.max() + 1), (heading, 4)):
        key = (key * count + value).astype(np.int64, copy=False)
    return key


def _cycles(follows: INDEX) -> tuple[int, I32]:
    count, ring = connected_components(_chain(follows), directed=True, connection="strong")
    return count, ring


def _chain(follows: INDEX) -> scipy.sparse.csr_array:
    """The graph in which each edge leads to one other."""
    size = len(follows)
    row_starts = np.arange(size + 1, dtype=np.int32)
    graph = (np.ones(size, np.int8), follows.astype(np.int32), row_starts)
    return scipy.sparse.csr_array(graph, shape=(size, size))


def _walk(follows: INDEX, first: INDEX) -> INDEX:
    """All edges ring by ring, each ring from its ``first`` on.

    The rings are opened and hung one after the other, so that one search runs along all of them.
    """
    last = np.empty(len(follows), np.intp)
    last[follows] = np.arange(len(follows))
    chained = follows.copy()
    chained[last[first]] = np.roll(first, -1)
    walk: INDEX = breadth_first_order(_chain(chained), first[0], return_predecessors=False)
    return walk


def _is_hole(edges: Edges, ring: I32, count: int) -> Bool:
    """Holes have their patch outside, so the area that they enclose has the other sign."""
    drop = edges.stop[:, 1] - edges.start[:, 1]
    doubled = np.bincount(ring, edges.start[:, 0] * drop.astype(np.float64), minlength=count)
    is_hole: Bool = doubled > 0
    return is_hole


def _is_corner(edges: Edges, follows: INDEX) -> Bool:
    turns = np.empty(len(edges), bool)
    turns[follows] = edges.heading[follows] != edges.heading
    is_corner: Bool = (edges.vertex == ALWAYS) | ((edges.vertex == IF_TURNING) & turns)
    return is_corner


def _closed(points: I32, sizes: I64) -> tuple[I32, I64]:
    """The rings' points with each first point repeated at its ring's end, and the offsets."""
    rings = _offsets(sizes + 1)
    index = np.arange(rings[-1]) - np.repeat(np.arange(len(sizes)), sizes + 1)
    index[rings[1:] - 1] = _offsets(sizes)[:-1]
    return np.take(points, index, axis=0), rings


def _sums(values: npt.NDArray[Any], offsets: I64) -> npt.NDArray[np.float64]:
    """Sums of the sections between offsets, none of which is empty."""
    sums: npt.NDArray[np.float64] = np.add.reduceat(values.astype(np.float64), offsets[:-1])
    return sums


def _offsets(sizes: I64) -> I64:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
