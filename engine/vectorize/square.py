"""Right angles for buildings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely.affinity import rotate

F64 = npt.NDArray[np.float64]

AREA_CHANGE = 0.05
"""Share of its area that a polygon may win or lose."""
_CORNERS = 4
"""A rectangle's: the fewest."""
_MITRE = 10.0
"""Right angles stay sharp when walls move; a limit is only for sharper ones."""


@dataclass(frozen=True)
class _Wall:
    """Consecutive edges that become one straight line along an axis."""

    axis: int
    """0: it runs along x, 1: along y."""
    length: float
    """Along its axis, without sign."""
    level: float
    """Mean position across, times ``length``."""

    def __add__(self, other: _Wall) -> _Wall:
        return _Wall(self.axis, self.length + other.length, self.level + other.level)


def squared(polygon: shapely.Polygon, reach: float) -> shapely.Polygon:
    """The polygon with right angles only, turned as its walls are, of about the same area.

    Args:
        polygon: An outline along pixels; coordinates of equal unit both ways.
        reach: No wall moves further; about two pixels straighten the steps of slanting walls.

    Returns:
        The polygon itself where no such shape lies within reach.
    """
    best, least = polygon, math.inf
    for turn in _directions(polygon, reach / 2):
        shape = _along(polygon, turn, reach)
        if shape is None or not _is_alike(shape, polygon, reach):
            continue
        difference = shapely.symmetric_difference(shape, polygon).area
        if difference < least:
            best, least = shape, difference
    return best


def _directions(polygon: shapely.Polygon, tolerance: float) -> Iterator[float]:
    """Angles (radians) of the walls modulo a right one: their mean, and that of the least box."""
    for ring in (
        shapely.simplify(polygon, tolerance).exterior,
        shapely.oriented_envelope(polygon).exterior,
    ):
        edge = np.diff(shapely.get_coordinates(ring), axis=0)
        fourfold = (edge[:, 0] + 1j * edge[:, 1]) ** 4 / np.maximum(np.hypot(*edge.T), 1e-12) ** 3
        yield float(np.angle(fourfold.sum())) / 4


def _along(polygon: shapely.Polygon, turn: float, reach: float) -> shapely.Polygon | None:
    """The rectilinear polygon whose walls run in the direction ``turn``."""
    pivot = polygon.centroid
    turned = rotate(polygon, -turn, origin=pivot, use_radians=True)
    simple = shapely.simplify(turned, reach / 2)
    exterior = _rectilinear(shapely.get_coordinates(simple.exterior), reach)
    if exterior is None:
        return None
    holes = [_rectilinear(shapely.get_coordinates(ring), reach) for ring in simple.interiors]
    shape = shapely.Polygon(exterior, [hole for hole in holes if hole is not None])
    if not shape.is_valid:
        return None
    return rotate(_of_area(shape, polygon.area), turn, origin=pivot, use_radians=True)


def _rectilinear(ring: F64, reach: float) -> F64 | None:
    """Corners of the ring drawn with lines along the axes; None where it has too few."""
    walls = _without_jogs(_walls(ring), reach / 2)
    if len(walls) < _CORNERS:
        return None
    following = [*walls[1:], walls[0]]
    corners = [
        (b.level / b.length, a.level / a.length)[:: 1 if a.axis == 0 else -1]
        for a, b in zip(walls, following, strict=True)
    ]
    return np.array(corners)


def _walls(ring: F64) -> list[_Wall]:
    """The ring's edges, consecutive ones of one axis taken together; axes take turns."""
    edges = np.diff(ring, axis=0)
    middle = (ring[1:] + ring[:-1]) / 2
    walls: list[_Wall] = []
    for edge, (x, y) in zip(np.abs(edges), middle, strict=True):
        axis = int(edge[1] > edge[0])
        length = float(edge[axis])
        _append(walls, _Wall(axis, length, length * float(y if axis == 0 else x)))
    if len(walls) > 1 and walls[0].axis == walls[-1].axis:
        walls[0] += walls.pop()
    return walls


def _append(walls: list[_Wall], wall: _Wall) -> None:
    if walls and walls[-1].axis == wall.axis:
        walls[-1] += wall
    else:
        walls.append(wall)


def _without_jogs(walls: list[_Wall], shortest: float) -> list[_Wall]:
    """Walls shorter than ``shortest`` go, and their neighbours become one wall."""
    while len(walls) > _CORNERS:
        at = min(range(len(walls)), key=lambda i: walls[i].length)
        if walls[at].length >= shortest:
            break
        rest = walls[at + 1 :] + walls[:at]
        walls = [*rest[1:-1], rest[-1] + rest[0]]
    return walls


def _of_area(shape: shapely.Polygon, area: float) -> shapely.Polygon:
    """All walls moved outwards or inwards by the same so that the area is about right."""
    shift = (area - shape.area) / shape.length
    moved = shapely.buffer(shape, shift, join_style="mitre", mitre_limit=_MITRE)
    return moved if moved.geom_type == "Polygon" and not moved.is_empty else shape


def _is_alike(shape: shapely.Polygon, polygon: shapely.Polygon, reach: float) -> bool:
    """Whether neither is much larger, or reaches out of the other further than ``reach``."""
    return bool(
        shape.is_valid
        and abs(shape.area / polygon.area - 1) <= AREA_CHANGE
        and shapely.covers(shapely.buffer(polygon, reach), shape)
        and shapely.covers(shapely.buffer(shape, reach), polygon)
    )
