"""Which samples are held out together, so that none is judged by its neighbours."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine.calibrate.samples import F64, Ints

MOST_FOLDS = 10
INNER = 3
"""Parts in which the samples that are not held out choose the model's settings."""


def blocks(places: F64, edge: float) -> Ints:
    """Number of the square block of the ground in which each place ``[n, 2]`` lies."""
    cells = np.floor(places / edge).astype(np.int64)
    found: Ints = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return found


def block_edge(places: F64, wanted: float, least: int) -> float:
    """The edge of blocks of which at least ``least`` hold a place, ``wanted`` if that will do.

    Halved as often as needed; where places coincide there may be fewer blocks whatever the edge.
    """
    span = float(np.ptp(places, axis=0).max()) or 1.0
    edge = min(wanted, span)
    while len(np.unique(blocks(places, edge))) < least and edge > span / 1024:
        edge /= 2
    return edge


def joined(groups: Ints, pairs: Iterable[tuple[int, int]]) -> Ints:
    """Groups that share no pair of samples: those that do become one."""
    found = groups.copy()
    for one, other in pairs:
        low, high = sorted((found[one], found[other]))
        found[found == high] = low
    return found


def folds_of(groups: Ints, kinds: Ints, count: int, seed: int) -> Ints:
    """Number of the fold of each sample, 0 to ``count - 1``.

    Groups stay whole. The largest come first, each into the fold that has fewest samples of its
    kind, then fewest samples.

    Args:
        groups: ``[n]``.
        kinds: ``[n]``: what every fold should have its share of, such as classes.
        count: Folds.
        seed: Settles the order of groups of equal size.
    """
    members, sizes = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(members))
    order = order[np.argsort(-sizes[order], kind="stable")]
    held = np.zeros((count, int(kinds.max()) + 1))
    folds = np.zeros(len(groups), np.int64)
    for number in order:
        mine = groups == members[number]
        parts = np.bincount(kinds[mine], minlength=held.shape[1])
        main = int(parts.argmax())
        fold = min(range(count), key=lambda f: (held[f, main], held[f].sum(), f))
        held[fold] += parts
        folds[mine] = fold
    return folds


def inner_folds(folds: Ints) -> Ints:
    """The folds that are left when one is held out, put together to a few."""
    rank = np.unique(folds, return_inverse=True)[1].reshape(-1)
    found: Ints = (rank % INNER).astype(np.int64)
    return found
