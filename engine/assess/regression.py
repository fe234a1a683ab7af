"""Agreement of predicted with observed quantities, whole and by bins, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.assess.estimate import LEVEL, UNKNOWN, Estimate, check_level

F64 = npt.NDArray[np.float64]
DRAWS = 2000
MOST_BLOCKS = 5000
"""That are drawn: of more, some are joined at random, which leaves the intervals as they are."""
CHUNK = 4_000_000
"""Numbers that a part of the draws may hold in memory."""


@dataclass(frozen=True)
class RegressionAgreement:
    """How well predictions agree with observations; errors are predicted minus observed."""

    n: int
    blocks: int
    """Independent parts that the intervals rest on."""
    rmse: Estimate
    bias: Estimate
    mae: Estimate
    r2: Estimate
    """Share of the observed variance explained, ``1 - SSE/SST``: negative when the mean is better;
    NaN when the observations are all the same."""
    squared_correlation: Estimate
    """Of predicted and observed: blind to bias and scale, so never below what r2 would allow."""


@dataclass(frozen=True)
class Bin:
    """The figures of one range of values; the last bin has its upper edge within."""

    low: float
    high: float
    agreement: RegressionAgreement | None
    """None when nothing falls into it."""


def measure_regression(
    observed: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    blocks: npt.ArrayLike | None = None,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> RegressionAgreement:
    """RMSE, bias, MAE and R² with percentile intervals.

    Whole blocks are drawn with replacement, since neighbours' errors resemble each other and would
    make the intervals too narrow (Lahiri 2003, Resampling Methods for Dependent Data). Percentile
    intervals from fewer than about 20 blocks are still too narrow.

    Args:
        observed: ``[n]`` what was measured.
        predicted: ``[n]`` what the map says there.
        blocks: ``[n]`` the spatial block of each sample, any labels; each its own unless given.
        level: Of the intervals.
        draws: Of the bootstrap.
        seed: Of the draws: the same gives the same interval.

    Returns:
        The figures; without interval where there is but one block.

    Raises:
        ValueError: when there is no sample, lengths differ, or a value is not finite.
    """
    seen, said, part = _checked(observed, predicted, blocks)
    sums = _block_sums(seen, said, part)
    figures = _figures(sums.sum(axis=0)[None])[0]
    if len(sums) > 1:
        spread = _resampled(_joined(sums, seed), draws, seed)
        estimates = _intervals(figures, spread, check_level(level))
    else:
        estimates = [Estimate(v, *(math.nan,) * 3) for v in figures.tolist()]
    return RegressionAgreement(len(seen), len(sums), *estimates)


def measure_bins(
    observed: npt.ArrayLike,
    predicted: npt.ArrayLike,
    edges: Sequence[float],
    *,
    by_predicted: bool = False,
    blocks: npt.ArrayLike | None = None,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Bin, ...]:
    """The same figures by ranges of the observed or of the predicted value.

    By observed value even a map without bias shows too much at low and too little at high values
    (regression to the mean); by predicted value it does not.

    Args:
        observed: ``[n]`` what was measured.
        predicted: ``[n]`` what the map says there.
        edges: ``[B + 1]`` increasing; ``quantile_edges`` makes some.
        by_predicted: Which value decides on the bin.
        blocks: As in ``measure_regression``.
        level: Of the intervals.
        draws: Of the bootstrap.
        seed: Of the draws.

    Raises:
        ValueError: as ``measure_regression``, and when edges do not increase or leave samples out.
    """
    seen, said, part = _checked(observed, predicted, blocks)
    value = said if by_predicted else seen
    limits = np.asarray(edges, float)
    if len(limits) < 2 or not (np.diff(limits) > 0).all():  # noqa: PLR2004, a bin has two edges
        raise ValueError("the edges of the bins must increase")
    if value.min() < limits[0] or value.max() > limits[-1]:
        raise ValueError("some samples lie outside the bins")
    index = np.minimum(np.searchsorted(limits, value, "right") - 1, len(limits) - 2)
    bins = []
    for k, (low, high) in enumerate(zip(limits[:-1].tolist(), limits[1:].tolist(), strict=True)):
        chosen = index == k
        found = (
            measure_regression(
                seen[chosen], said[chosen], blocks=part[chosen], level=level, draws=draws, seed=seed
            )
            if chosen.any()
            else None
        )
        bins.append(Bin(low, high, found))
    return tuple(bins)


def quantile_edges(values: npt.ArrayLike, count: int) -> tuple[float, ...]:
    """Edges of at most ``count`` bins of about the same number of values.

    Raises:
        ValueError: when all values are the same.
    """
    edges = np.unique(np.quantile(np.asarray(values, float), np.linspace(0, 1, count + 1)))
    if len(edges) < 2:  # noqa: PLR2004, a bin has two edges
        raise ValueError("all values are the same: they fall into no bins")
    return tuple(edges.tolist())


def square_blocks(x: npt.ArrayLike, y: npt.ArrayLike, size: float) -> npt.NDArray[np.int64]:
    """``[n]`` numbers of the squares of a lattice that positions fall into.

    Args:
        x: ``[n]`` in the unit of ``size``.
        y: ``[n]``.
        size: Side of a square: not below the distance at which errors stop resembling each other.

    Raises:
        ValueError: when the size is not above 0.
    """
    if not size > 0:
        raise ValueError("the side of a spatial block must be above 0")
    places = np.stack([np.floor(np.asarray(v, float) / size) for v in (x, y)], axis=1)
    return np.unique(places, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _checked(
    observed: npt.ArrayLike, predicted: npt.ArrayLike, blocks: npt.ArrayLike | None
) -> tuple[F64, F64, npt.NDArray[np.int64]]:
    seen, said = np.asarray(observed, float).ravel(), np.asarray(predicted, float).ravel()
    labels = np.arange(len(seen)) if blocks is None else np.asarray(blocks).ravel()
    if not len(seen) == len(said) == len(labels):
        raise ValueError("observed, predicted and blocks have different lengths")
    if not len(seen):
        raise ValueError("there is no sample to compare")
    if not (np.isfinite(seen).all() and np.isfinite(said).all()):
        raise ValueError("observed and predicted values must be finite")
    return seen, said, np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _block_sums(seen: F64, said: F64, part: npt.NDArray[np.int64]) -> F64:
    """``[B, 9]`` all that the figures need of a block; about the mean, for rounding's sake."""
    o, p = seen - seen.mean(), said - said.mean()
    error = said - seen
    terms = (np.ones_like(o), error, error**2, abs(error), o, o**2, p, p**2, o * p)
    number = int(part.max()) + 1
    return np.stack([np.bincount(part, t, number) for t in terms], axis=1)


def _figures(sums: F64) -> F64:
    """``[D, 5]`` rmse, bias, mae, r2, squared correlation of ``[D, 9]`` sums."""
    n, e, ee, ae, o, oo, p, pp, op = sums.T
    var_o, var_p, cov = oo - o * o / n, pp - p * p / n, op - o * p / n
    rounding = 1e-12
    flat_o, flat_p = var_o <= rounding * oo, var_p <= rounding * pp
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(flat_o, np.nan, 1 - ee / var_o)
        squared = np.where(flat_o | flat_p, np.nan, cov**2 / (var_o * var_p))
    return np.stack([np.sqrt(ee / n), e / n, ae / n, r2, squared], axis=1)


def _joined(sums: F64, seed: int) -> F64:
    if len(sums) <= MOST_BLOCKS:
        return sums
    mixed = np.random.default_rng([seed, 1]).permutation(sums)
    starts = np.linspace(0, len(sums), MOST_BLOCKS, endpoint=False).astype(np.int64)
    return np.asarray(np.add.reduceat(mixed, starts), float)


def _resampled(sums: F64, draws: int, seed: int) -> F64:
    rng = np.random.default_rng(seed)
    number = len(sums)
    step = max(CHUNK // number, 1)
    even = np.full(number, 1 / number)
    parts = [
        _figures(rng.multinomial(number, even, min(step, draws - first)) @ sums)
        for first in range(0, draws, step)
    ]
    return np.concatenate(parts)


def _intervals(figures: F64, spread: F64, level: float) -> list[Estimate]:
    found = []
    for value, column in zip(figures.tolist(), spread.T, strict=True):
        known = column[np.isfinite(column)]
        if math.isnan(value) or not len(known):
            found.append(UNKNOWN)
            continue
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist()
        found.append(Estimate(value, float(known.std(ddof=1)), low, high))
    return found
