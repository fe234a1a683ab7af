"""Pieces of patches that are not whole yet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine.vectorize.edges import Edges
from engine.vectorize.label import grouped
from engine.vectorize.outline import outlines
from engine.vectorize.patches import Patches, Tally

I64 = npt.NDArray[np.int64]

_WORTH_SORTING = 1_000_000
"""Edges that come in before whole patches are looked for."""
_PORTION = 1_000_000
"""Edges, about, of the patches that are given back at a time: some 100 MB while they are."""


class Held:
    """Pieces, their edges, and which of them belong together; pieces are numbered as they come."""

    def __init__(self) -> None:
        self._pieces: list[Tally] = []
        self._edges: list[Edges] = []
        self._links: list[I64] = [np.zeros((2, 0), np.int64)]
        self._count = 0
        self._new_edges = 0
        self._old_edges = 0

    @property
    def is_worth_sorting(self) -> bool:
        """Whether so much came in since the last time that it pays to look through everything."""
        return self._new_edges > max(_WORTH_SORTING, self._old_edges)

    def add(self, pieces: Tally, edges: Edges) -> int:
        """Hold a block's open patches; the number of the first."""
        first = self._count
        self._pieces.append(pieces)
        self._count += len(pieces)
        self.bound(edges.renumbered(edges.patch + first))
        return first

    def bound(self, edges: Edges) -> None:
        """Add edges of pieces held."""
        self._edges.append(edges)
        self._new_edges += len(edges)

    def link(self, one: I64, other: I64) -> None:
        """Note which pieces belong together, pair by pair."""
        self._links.append(np.stack([one, other]))

    def split(self, reaching: I64) -> tuple[Iterator[Patches], I64]:
        """Give back what is whole and hold the rest, joined and numbered anew.

        Args:
            reaching: Pieces (-1: none) that blocks to come may continue.

        Returns:
            The patches, and the new number of each piece that is still held.
        """
        if not self._count:
            return iter(()), np.zeros(0, np.int64)
        count, group = grouped(np.concatenate(self._links, axis=1), self._count)
        stays = np.zeros(count, bool)
        stays[group[reaching[reaching >= 0]]] = True
        number = np.where(stays, np.cumsum(stays), np.cumsum(~stays)) - 1
        tally = Tally.joined(self._pieces).merged(group, count)
        whole, kept = self._parted(group, stays, number)
        self._begin(tally.take(stays), kept)
        return _portions(tally.take(~stays), whole), number[group]

    def _parted(
        self, group: npt.NDArray[np.int32], stays: npt.NDArray[np.bool_], number: I64
    ) -> tuple[Edges, Edges]:
        """The edges of the groups that are whole, and of those that stay, by their numbers."""
        edges = Edges.joined(self._edges)
        self._edges = []
        owner = group[edges.patch]
        edges = edges.renumbered(number[owner])
        return edges.take(~stays[owner]), edges.take(stays[owner])

    def _begin(self, pieces: Tally, edges: Edges) -> None:
        """Hold these and nothing else."""
        self._pieces, self._edges = [pieces], [edges]
        self._links = [np.zeros((2, 0), np.int64)]
        self._count = len(pieces)
        self._old_edges, self._new_edges = len(edges), 0


def _portions(tally: Tally, edges: Edges) -> Iterator[Patches]:
    """Patches with the outlines made of their edges, some at a time."""
    if not len(tally):
        return
    before = np.cumsum(np.bincount(edges.patch, minlength=len(tally)))
    bounds = np.unique(np.searchsorted(before, np.arange(0, before[-1], _PORTION)))
    for first, stop in itertools.pairwise([*bounds.tolist(), len(tally)]):
        mine = edges.take((edges.patch >= first) & (edges.patch < stop))
        shapes = outlines(mine.renumbered(mine.patch - first), stop - first)
        yield Patches(tally.take(slice(first, stop)), shapes)
