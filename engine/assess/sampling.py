"""Designing a stratified random sample of a class map, and drawing it while the map streams by."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.window import Window

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Blocks = Iterable[tuple[Window, npt.NDArray[np.integer]]]
"""A map's blocks in an order that does not vary: where they lie, and class ids ``[h, w]``."""


@enum.unique
class Allocation(enum.StrEnum):
    """How samples are shared out among the classes."""

    PROPORTIONAL = "proportional"
    """By area: best for the overall accuracy."""
    EQUAL = "equal"
    """The same for each: best for comparing user's accuracies."""
    NEYMAN = "neyman"
    """By area times the expected standard deviation: least variance of the overall accuracy."""


@dataclass(frozen=True)
class Drawn:
    """One place of the sample."""

    class_id: int
    row: int
    col: int


def sample_size(
    weights: Sequence[float], expected: Sequence[float], target: float, population: float = math.inf
) -> int:
    """Samples for a standard error of the overall accuracy.

    Cochran 1977, equation 5.25, as equation 13 of Olofsson et al. 2014 (Remote Sensing of
    Environment 148), which leaves out the finite population.

    Args:
        weights: ``[K]`` the classes' shares of the area, or numbers in their proportion.
        expected: ``[K]`` user's accuracies that are expected.
        target: Standard error of the overall accuracy to reach, such as 0.01.
        population: Pixels of the map.

    Raises:
        ValueError: when a figure is not possible.
    """
    share, spread = _shares(weights), _spread(expected)
    if target <= 0 or population <= 0:
        raise ValueError("the target standard error and the population must be above 0")
    if len(share) != len(spread):
        raise ValueError("there are not as many expected accuracies as classes")
    variance = target**2 + float(share @ spread**2) / population
    return max(math.ceil(float(share @ spread) ** 2 / variance - 1e-9), 1)


def allocate(
    total: int,
    counts: Mapping[int, int],
    *,
    method: Allocation = Allocation.PROPORTIONAL,
    least: int = 0,
    expected: Mapping[int, float] | None = None,
) -> dict[int, int]:
    """Share a sample out among the classes.

    Each class first gets ``least``, then what is left goes by the method to those whose part is
    larger (section 5.1.1 of Olofsson et al. 2014); no class gets more than it has pixels, so that
    less than ``total`` is drawn only when all pixels are.

    Args:
        total: Samples to share out.
        counts: Pixels of each class; those without any get nothing.
        method: How to share.
        least: For every class that has so many pixels.
        expected: User's accuracies, for ``NEYMAN``.

    Raises:
        ValueError: when ``least`` takes more than ``total``, there are no pixels, or ``NEYMAN``
            lacks an accuracy.
    """
    names = [name for name, count in counts.items() if count > 0]
    if not names:
        raise ValueError("there is no class with a pixel to sample")
    size = np.array([counts[name] for name in names], np.int64)
    floor = np.minimum(size, least)
    if floor.sum() > total:
        raise ValueError(f"{least} samples a class are {floor.sum()}, more than the {total} asked")
    shares = _ideal(names, size, method, expected or {})
    given = _fill(min(total, int(size.sum())), shares, floor, size)
    return dict.fromkeys(counts, 0) | dict(zip(names, given.tolist(), strict=True))


def count_classes(blocks: Blocks, classes: Sequence[int]) -> dict[int, int]:
    """The first pass: pixels of each class; other ids are not part of the population."""
    total = dict.fromkeys(classes, 0)
    for _, ids in blocks:
        found, counts = np.unique(ids, return_counts=True)
        for name, count in zip(found.tolist(), counts.tolist(), strict=True):
            if name in total:
                total[name] += count
    return total


def choose_ordinals(
    counts: Mapping[int, int], allocation: Mapping[int, int], seed: int
) -> dict[int, I64]:
    """Which pixels of each class, counted from 0 as they stream by: without replacement, sorted.

    A class' choice depends on the seed, its id and its counts alone.

    Raises:
        ValueError: when more is asked of a class than it has.
    """
    for name, n in allocation.items():
        if n > counts[name]:
            raise ValueError(f"class {name} has {counts[name]} pixels, fewer than the {n} asked")
    return {
        name: np.sort(
            np.random.default_rng([seed, abs(name), int(name < 0)]).choice(
                counts[name], n, replace=False, shuffle=False
            )
        ).astype(np.int64)
        for name, n in allocation.items()
        if n > 0
    }


def locate(blocks: Blocks, ordinals: Mapping[int, I64]) -> Iterator[Drawn]:
    """The second pass: where the chosen pixels lie, in the order of the blocks.

    Holds one block and the chosen numbers in memory.

    Args:
        blocks: The same blocks in the same order as were counted.
        ordinals: From ``choose_ordinals``.

    Raises:
        ValueError: at the end, when some were not met: the blocks differ from those counted.
    """
    passed = dict.fromkeys(ordinals, 0)
    missing = sum(map(len, ordinals.values()))
    for window, ids in blocks:
        for name, wanted in ordinals.items():
            flat = np.flatnonzero(ids == name)
            first, last = np.searchsorted(wanted, [passed[name], passed[name] + len(flat)])
            rows, cols = np.divmod(flat[wanted[first:last] - passed[name]], ids.shape[1])
            for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
                yield Drawn(name, window.row + row, window.col + col)
            passed[name] += len(flat)
            missing -= last - first
    if missing:
        raise ValueError(f"{missing} chosen pixels are not there: the map differs from the counted")


def _shares(weights: Sequence[float] | I64 | F64) -> F64:
    weight = np.asarray(weights, float)
    if not weight.size or (weight < 0).any() or weight.sum() <= 0:
        raise ValueError("class weights must not be negative, and one of them above 0")
    return np.asarray(weight / weight.sum(), float)


def _spread(expected: Sequence[float]) -> F64:
    accuracy = np.asarray(expected, float)
    if not ((accuracy >= 0) & (accuracy <= 1)).all():
        raise ValueError("expected accuracies must lie between 0 and 1")
    return np.asarray(np.sqrt(accuracy * (1 - accuracy)), float)


def _ideal(
    names: Sequence[int], size: I64, method: Allocation, expected: Mapping[int, float]
) -> F64:
    if method is Allocation.EQUAL:
        return np.full(len(names), 1 / len(names))
    if method is Allocation.PROPORTIONAL:
        return _shares(size)
    lacking = [name for name in names if name not in expected]
    if lacking:
        raise ValueError(f"Neyman's allocation needs expected accuracies of the classes {lacking}")
    spread = _spread([expected[name] for name in names])
    return _shares(size * spread) if spread.any() else _shares(size)


def _fill(total: int, shares: F64, floor: I64, size: I64) -> I64:
    """Whole numbers near ``total · shares`` between ``floor`` and ``size`` that sum up to it."""
    low, high = floor.astype(float), size.astype(float)
    scale = _scale(total, shares, low, high)
    ideal = np.clip(scale * shares, low, high)
    given = np.floor(ideal + 1e-9).astype(np.int64)
    order = np.lexsort((np.arange(len(size)), -shares, given - ideal))
    while given.sum() < total:
        for k in order:
            if given.sum() < total and given[k] < size[k]:
                given[k] += 1
    return given


def _scale(total: int, shares: F64, low: F64, high: F64) -> float:
    """By bisection, where the clipped parts sum up to the total or stop short of it."""
    bottom, top = 0.0, float(total + high.max()) / float(shares[shares > 0].min())
    for _ in range(200):
        middle = (bottom + top) / 2
        short = np.clip(middle * shares, low, high).sum() <= total
        bottom, top = (middle, top) if short else (bottom, middle)
    return bottom
