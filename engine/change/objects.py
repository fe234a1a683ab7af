"""Which objects of an old map a new one shows again: polygons matched by their overlap.

Two objects are the same from a certain intersection over union on; where several pairs compete,
those are taken whose sum is largest (assignment problem, Kuhn 1955). Of the objects left, those
that overlap by a quarter of the smaller one belong together: one and one are a reshaped object, one
and several a split or a merged one.

Of an old object only that area counts which the new image shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Status = Literal["kept", "reshaped", "split", "merged", "new", "gone", "unseen", "outside"]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Shapes = npt.NDArray[np.object_]

BELONGS = 0.25
"""Share of the smaller of two objects that both must cover to have to do with each other."""
LEAST_SEEN = 0.5
"""Share of an old object that must be seen before it can be gone."""
WHOLE = 1 - 1e-6
"""Share of an object inside an image from which on nothing of it is outside."""
PORTION = 20_000
"""Old objects that are compared at a time."""
LARGEST = 4_000_000
"""Numbers in the matrix of one assignment; beyond it the best pair is taken first."""


@dataclass(frozen=True, eq=False)
class Sight:
    """How much of each old object the new image shows."""

    inside: F64
    """``[n]`` share of its area within the image and the area asked for."""
    seen: F64
    """``[n]`` share of that where there is data."""

    @classmethod
    def full(cls, count: int) -> Sight:
        """All of everything."""
        return cls(np.ones(count), np.ones(count))


@dataclass(frozen=True)
class Match:
    """One object of the updated map; objects are named by their place in the two maps."""

    status: Status
    old: tuple[int, ...]
    """Usually one or none; several of a merged object."""
    new: int | None
    iou: float | None
    """Of both sides; None with one side only."""


@dataclass(frozen=True, eq=False)
class Matching:
    """What became of all objects of both maps."""

    matches: tuple[Match, ...]
    """Old objects in their order, then new ones."""
    old: tuple[Status, ...]
    """What became of each old object."""
    new: tuple[Status, ...]
    """What each new object is."""


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Objects that overlap, pair by pair."""

    old: I64
    new: I64
    common: F64
    """Area."""
    iou: F64
    share: F64
    """Common area of the smaller one's."""

    def take(self, chosen: npt.NDArray[Any]) -> _Pairs:
        return _Pairs(*(values[chosen] for values in vars(self).values()))


def match_objects(old: Shapes, new: Shapes, sight: Sight, least_iou: float = 0.5) -> Matching:
    """Find every object of two maps again in the other.

    Args:
        old: ``[n]`` valid polygons or multipolygons; empty ones are outside.
        new: ``[m]`` the same, of the new image; they lie where it shows something.
        sight: How much of each old object that image shows.
        least_iou: From which intersection over union on an object is the same, above 0.
    """
    visible = shapely.area(old) * sight.inside * sight.seen
    sizes = shapely.area(new)
    pairs = _overlapping(old, new, visible, sizes)
    pairs = pairs.take(pairs.share >= min(BELONGS, least_iou))
    work = _Work(visible, sizes, pairs)
    work.keep(pairs.take(pairs.iou >= least_iou))
    free = np.isin(pairs.old, list(work.old), invert=True)
    free &= np.isin(pairs.new, list(work.new), invert=True)
    for group in _groups(pairs.take(free)):
        work.join(group)
    work.attach(pairs)
    work.leave(sight)
    return work.result()


class _Work:
    """Decides on objects; each is decided on once."""

    def __init__(self, visible: F64, sizes: F64, pairs: _Pairs) -> None:
        self.old: dict[int, Status] = {}
        self.new: dict[int, Status] = {}
        self._visible, self._sizes = visible, sizes
        keys = zip(pairs.old.tolist(), pairs.new.tolist(), strict=True)
        self._common = dict(zip(keys, pairs.common.tolist(), strict=True))
        self._matches: list[Match] = []

    def keep(self, candidates: _Pairs) -> None:
        """The same objects: the best pairs, one to one."""
        for group in _groups(candidates):
            for one, other in _assigned(group):
                self._add("kept", (one,), other)

    def join(self, group: _Pairs) -> None:
        """Objects that overlap each other, and no other one that is free."""
        olds, news = np.unique(group.old).tolist(), np.unique(group.new).tolist()
        if len(olds) > 1 and len(news) == 1:
            self._add("merged", tuple(olds), news[0])
            return
        status: Status = "split" if len(olds) == 1 < len(news) else "reshaped"
        partners: dict[int, list[int]] = defaultdict(list)
        for one, other in zip(group.old.tolist(), group.new.tolist(), strict=True):
            partners[other].append(one)
        for other in news:
            self._add(status, tuple(sorted(partners[other])), other)

    def attach(self, pairs: _Pairs) -> None:
        """Parts of objects that are kept as a whole: of the old one, or in the new one."""
        for n in np.argsort(-pairs.common, kind="stable").tolist():
            one, other = int(pairs.old[n]), int(pairs.new[n])
            if other not in self.new and self.old.get(one) == "kept":
                self._add("split", (one,), other)
            elif one not in self.old and self.new.get(other) == "kept":
                self._add("merged", (one,), other)

    def leave(self, sight: Sight) -> None:
        """Objects without a partner."""
        for other in range(len(self._sizes)):
            if other not in self.new:
                self._add("new", (), other)
        for one in range(len(self._visible)):
            if one not in self.old:
                self._add(_lost(float(sight.inside[one]), float(sight.seen[one])), (one,), None)

    def result(self) -> Matching:
        """All of it."""

        def place(match: Match) -> tuple[int, int]:
            first = match.old[0] if match.old else len(self._visible)
            return first, -1 if match.new is None else match.new

        return Matching(
            tuple(sorted(self._matches, key=place)),
            tuple(self.old[n] for n in range(len(self._visible))),
            tuple(self.new[n] for n in range(len(self._sizes))),
        )

    def _add(self, status: Status, olds: tuple[int, ...], new: int | None) -> None:
        for one in olds:
            self.old.setdefault(one, status)
        if new is not None:
            self.new.setdefault(new, status)
        self._matches.append(Match(status, olds, new, self._iou(olds, new)))

    def _iou(self, olds: Sequence[int], new: int | None) -> float | None:
        if new is None or not olds:
            return None
        common = sum(self._common[one, new] for one in olds)
        union = sum(self._visible[one] for one in olds) + self._sizes[new] - common
        return min(1.0, float(common / union))


def _lost(inside: float, seen: float) -> Status:
    """What an old object is that the new image does not show."""
    if inside < WHOLE:
        return "outside"
    return "gone" if seen >= LEAST_SEEN else "unseen"


def _overlapping(old: Shapes, new: Shapes, visible: F64, sizes: F64) -> _Pairs:
    """All pairs with a common area, in the order of old objects."""
    tree = shapely.STRtree(new)
    parts = [_found(old, new, tree, n) for n in range(0, len(old), PORTION)]
    ones, others, common = (
        np.concatenate([np.zeros(0, kind), *column])
        for column, kind in zip(
            zip(*parts, strict=True) if parts else ((), (), ()), "iid", strict=True
        )
    )
    has_area = (common > 0) & (visible[ones] > 0)
    ones, others, common = ones[has_area], others[has_area], common[has_area]
    smaller = np.minimum(visible[ones], sizes[others])
    common = np.minimum(common, smaller)
    union = visible[ones] + sizes[others] - common
    return _Pairs(
        ones.astype(np.int64), others.astype(np.int64), common, common / union, common / smaller
    )


def _found(
    old: Shapes, new: Shapes, tree: shapely.STRtree, first: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], F64]:
    ones, others = tree.query(old[first : first + PORTION], predicate="intersects")
    order = np.lexsort((others, ones))
    ones, others = ones[order] + first, others[order]
    return ones, others, shapely.area(shapely.intersection(old[ones], new[others]))


def _groups(pairs: _Pairs) -> Iterator[_Pairs]:
    """Pairs that hang together, group by group, in the order of their first old object."""
    if not len(pairs.old):
        return
    olds, one = np.unique(pairs.old, return_inverse=True)
    news, other = np.unique(pairs.new, return_inverse=True)
    size = len(olds) + len(news)
    links = coo_array((np.ones(len(one), np.int8), (one, other + len(olds))), shape=(size, size))
    _, group = connected_components(links, directed=False)
    member = group[one]
    order = np.argsort(member, kind="stable")
    cuts = np.flatnonzero(np.diff(member[order])) + 1
    for chosen in np.split(order, cuts):
        yield pairs.take(chosen)


def _assigned(group: _Pairs) -> list[tuple[int, int]]:
    """The pairs of a group, one to one, whose IoUs add up to most."""
    if len(group.old) == 1:
        return [(int(group.old[0]), int(group.new[0]))]
    olds, one = np.unique(group.old, return_inverse=True)
    news, other = np.unique(group.new, return_inverse=True)
    if len(olds) * len(news) > LARGEST:
        return _greedy(group)
    worth = np.zeros((len(olds), len(news)))
    worth[one, other] = group.iou
    rows, cols = linear_sum_assignment(worth, maximize=True)
    real = worth[rows, cols] > 0
    return list(zip(olds[rows[real]].tolist(), news[cols[real]].tolist(), strict=True))


def _greedy(group: _Pairs) -> list[tuple[int, int]]:
    """The best pair first, then the best of what is left."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for n in np.argsort(-group.iou, kind="stable").tolist():
        one, other = int(group.old[n]), int(group.new[n])
        if one not in found and other not in taken:
            found[one] = other
            taken.add(other)
    return list(found.items())
