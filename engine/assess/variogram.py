"""How residuals resemble each other over distance: empirical semivariograms and fitted models."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

LEAST_POINTS = 10
LEAST_LAGS = 4
"""With pairs: a nugget, a sill and a range are three numbers."""
LEAST_PAIRS = 30
"""A lag (Journel and Huijbregts 1978, page 194); narrower lags are merged."""
MOST_POINTS = 3000
"""Of which all pairs are formed; of more a random part is taken."""
ROUNDS = 3
"""Of weights that follow the last fit."""
STEPS = 41
"""Of the range in a search."""
LEAST_MODEL = 1e-6
"""Of the largest semivariance: no weight is made from less."""
REACH = 0.5
"""Of the longest distance: pairs farther apart are few and of the rim alone."""


@enum.unique
class Estimator(enum.StrEnum):
    """How the differences of a lag become its semivariance."""

    MATHERON = "matheron"
    """Half the mean square (Matheron 1962)."""
    CRESSIE = "cressie"
    """From the mean root of differences: outliers weigh less (Cressie and Hawkins 1980)."""


@enum.unique
class Shape(enum.StrEnum):
    """How the correlation falls with distance."""

    EXPONENTIAL = "exponential"
    """``exp(-h / range)``, 5 % at three ranges."""
    SPHERICAL = "spherical"
    """``1 - 1.5 h/range + 0.5 (h/range)³``, none from the range on."""
    NUGGET = "nugget"
    """None at any distance."""


@dataclass(frozen=True)
class Correlation:
    """Correlation of two errors by their distance: 1 of one with itself."""

    shape: Shape
    range: float
    """In the unit of distances; what it means depends on the shape. 0 of a nugget."""
    nugget: float = 0.0
    """Share of the variance that is not shared with any neighbour, however near."""

    def __post_init__(self) -> None:
        if not 0 <= self.nugget <= 1:
            raise ValueError(f"a nugget share of {self.nugget} is not between 0 and 1")
        if self.shape is not Shape.NUGGET and not 0 < self.range < math.inf:
            raise ValueError(f"a correlation range of {self.range} is not above 0")

    def smooth(self, distance: npt.ArrayLike) -> F64:
        """The part that neighbours share, without the nugget's jump at 0."""
        h = np.asarray(distance, float)
        if self.shape is Shape.NUGGET:
            return np.where(h > 0, 0.0, 1.0)
        return _falling(self.shape, h / self.range)

    def at(self, distance: npt.ArrayLike) -> F64:
        """Correlation at distances of any shape."""
        h = np.asarray(distance, float)
        return np.where(h > 0, (1 - self.nugget) * self.smooth(h), 1.0)


@dataclass(frozen=True, eq=False)
class Empirical:
    """Semivariances by lag."""

    distance: F64
    """``[L]`` mean distance of the pairs."""
    gamma: F64
    """``[L]``, half the variance of differences."""
    pairs: npt.NDArray[np.int64]
    points: int
    """How many points the pairs are of."""
    variance: float
    """Of the values themselves."""


@dataclass(frozen=True)
class Variogram:
    """A fitted model: ``nugget + sill · (1 - smooth correlation)``.

    Residuals at plots hold the plots' own measurement errors too, which end up in the nugget: the
    correlation of the map's errors is then somewhat higher than the one here says.
    """

    nugget: float
    sill: float
    """What distance adds to the nugget: the partial sill."""
    correlation: Correlation
    loss: float
    """Weighted mean square of relative misfits: compare shapes on the same lags by it."""

    def at(self, distance: npt.ArrayLike) -> F64:
        """Semivariance at distances above 0."""
        return self.nugget + self.sill * (1 - self.correlation.smooth(distance))


def measure_variogram(
    positions: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    lags: int = 15,
    reach: float | None = None,
    estimator: Estimator = Estimator.MATHERON,
    seed: int = 0,
) -> Empirical:
    """Semivariances of values at scattered points, in lags of equal width.

    Lags go to half of the longest distance unless told otherwise; one with fewer than 30 pairs is
    merged with the next, so that few points give few lags.

    Args:
        positions: ``[n, 2]`` in a projected unit, such as metres.
        values: ``[n]`` residuals; divided by their standard deviations where these vary.
        lags: How many, at most.
        reach: Longest distance of a pair.
        estimator: Matheron's or the robust one.
        seed: Of the random part that is taken of more than 3000 points.

    Raises:
        ValueError: saying why, when points are too few, in one place, all of one value or not
            finite, or their pairs fill fewer than four lags.
    """
    places, seen = _checked(positions, values)
    if len(seen) > MOST_POINTS:
        part = np.sort(np.random.default_rng(seed).choice(len(seen), MOST_POINTS, replace=False))
        places, seen = places[part], seen[part]
    h, difference = _pairs(places, seen)
    limit = reach if reach is not None else REACH * float(h.max())
    near = (h > 0) & (h <= limit)
    groups = _merged(np.minimum((h[near] / limit * lags).astype(np.int64), lags - 1), lags)
    count = np.bincount(groups) if groups.size else np.zeros(0, np.int64)
    if len(count) < LEAST_LAGS:
        raise ValueError(
            f"{len(seen)} points give {int(near.sum())} pairs within {limit:g}, too few for the "
            f"{LEAST_LAGS} lags of {LEAST_PAIRS} pairs that a variogram needs"
        )
    gamma = _semivariance(difference[near], groups, count, estimator)
    distance = np.bincount(groups, h[near]) / count
    return Empirical(distance, gamma, count, len(seen), float(seen.var(ddof=1)))


def fit_variogram(empirical: Empirical, shape: Shape | None = None) -> Variogram:
    """Weighted least squares (Cressie 1985, Mathematical Geology 17): pairs over squared model.

    The weights are taken from the last round's model. For each of many ranges the nugget and the
    sill follow from least squares without negative coefficients, so no start is needed.

    Args:
        empirical: The semivariances.
        shape: To fit; unless given, the one of exponential and spherical that fits better.

    Raises:
        ValueError: when all semivariances are 0.
    """
    if not (empirical.gamma > 0).any():
        raise ValueError("all semivariances are 0: the residuals are the same everywhere")
    if shape is None:
        fits = [fit_variogram(empirical, s) for s in (Shape.EXPONENTIAL, Shape.SPHERICAL)]
        return min(fits, key=lambda f: f.loss)
    weights = empirical.pairs.astype(float)
    fit = _best_range(empirical, shape, weights)
    for _ in range(ROUNDS):
        floor = LEAST_MODEL * float(empirical.gamma.max())
        weights = empirical.pairs / np.maximum(fit.at(empirical.distance), floor) ** 2
        fit = _best_range(empirical, shape, weights)
    return fit


def _falling(shape: Shape, ranges: F64) -> F64:
    """Correlation at distances counted in ranges."""
    if shape is Shape.EXPONENTIAL:
        return np.asarray(np.exp(-ranges), float)
    part = np.minimum(ranges, 1)
    return np.asarray(1 - 1.5 * part + 0.5 * part**3, float)


def _checked(positions: npt.ArrayLike, values: npt.ArrayLike) -> tuple[F64, F64]:
    places, seen = np.asarray(positions, float), np.asarray(values, float)
    if places.shape != (len(seen), 2):
        raise ValueError("positions must be [n, 2] of as many points as there are values")
    if not (np.isfinite(places).all() and np.isfinite(seen).all()):
        raise ValueError("positions and residuals must be finite")
    if len(seen) < LEAST_POINTS:
        raise ValueError(f"a variogram needs {LEAST_POINTS} points or more, not {len(seen)}")
    if np.ptp(seen) == 0:
        raise ValueError("the residuals are the same everywhere: they have no variogram")
    if not np.ptp(places, axis=0).any():
        raise ValueError("all points are in one place: there is no distance between them")
    return places, seen


def _pairs(places: F64, values: F64) -> tuple[F64, F64]:
    from scipy.spatial import distance  # noqa: PLC0415, heavy on the way to the help

    return distance.pdist(places), distance.pdist(values[:, None], "cityblock")


def _merged(groups: npt.NDArray[np.int64], lags: int) -> npt.NDArray[np.int64]:
    """Lags numbered anew: those of too few pairs are part of the next, at the end of the last."""
    number, held, table = 0, 0, np.zeros(lags, np.int64)
    for lag, count in enumerate(np.bincount(groups, minlength=lags).tolist()):
        table[lag] = number
        held += count
        if held >= LEAST_PAIRS:
            number, held = number + 1, 0
    return np.minimum(table, max(number - 1, 0))[groups]


def _semivariance(
    difference: F64,
    groups: npt.NDArray[np.int64],
    count: npt.NDArray[np.int64],
    estimator: Estimator,
) -> F64:
    if estimator is Estimator.MATHERON:
        return np.asarray(np.bincount(groups, difference**2) / count / 2, float)
    roots = np.bincount(groups, np.sqrt(difference)) / count
    return np.asarray(roots**4 / (0.457 + 0.494 / count + 0.045 / count**2) / 2, float)


def _best_range(empirical: Empirical, shape: Shape, weights: F64) -> Variogram:
    """The range of least loss, by ever finer steps of its logarithm."""
    if shape is Shape.NUGGET:
        return _model(shape, *_fits(empirical, shape, np.zeros(1), weights))
    # a range below the shortest lag is a nugget, one far beyond the longest a trend
    ranges = np.geomspace(empirical.distance[0] / 5, empirical.distance[-1] * 3, STEPS)
    for _ in range(3):
        found = _fits(empirical, shape, ranges, weights)
        best = int(found[-1].argmin())
        ranges = np.geomspace(ranges[max(best - 1, 0)], ranges[min(best + 1, STEPS - 1)], STEPS)
    return _model(shape, *(f[best : best + 1] for f in found))


def _fits(empirical: Empirical, shape: Shape, ranges: F64, weights: F64) -> tuple[F64, ...]:
    """Ranges ``[R]`` again, with the best nugget and sill not below 0 of each, and the losses."""
    rise = np.zeros((1, len(weights)))
    if shape is not Shape.NUGGET:
        rise = 1 - _falling(shape, empirical.distance / ranges[:, None])
    share = weights / weights.sum()
    mean, target = rise @ share, float(share @ empirical.gamma)
    spread = (rise**2) @ share
    product = rise @ (share * empirical.gamma)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (product - mean * target) / (spread - mean**2)
        alone = np.where(spread > 0, product / spread, 0.0)
    sill = np.where(target - slope * mean < 0, alone, np.where(slope > 0, slope, 0.0))
    nugget = np.maximum(target - sill * mean, 0.0)
    misfit = empirical.gamma - nugget[:, None] - sill[:, None] * rise
    return ranges, nugget, sill, misfit**2 @ weights / empirical.pairs.sum()


def _model(shape: Shape, length: F64, nugget: F64, sill: F64, loss: F64) -> Variogram:
    whole = float(nugget[0] + sill[0])
    if sill[0] <= 0:
        return Variogram(whole, 0.0, Correlation(Shape.NUGGET, 0.0, 1.0), float(loss[0]))
    correlation = Correlation(shape, float(length[0]), float(nugget[0]) / whole)
    return Variogram(float(nugget[0]), float(sill[0]), correlation, float(loss[0]))
