"""The mean of a zone from a probability sample of plots, made more precise by a map.

The map need not be right: the plots correct it, and the interval rests on how they were drawn, not
on a model of the map's errors (Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling,
chapter 6; Ståhl et al. 2016, Forest Ecosystems 3:5). Plots that nobody drew at random have no such
interval.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.assess.estimate import LEVEL, Estimate, student_interval

F64 = npt.NDArray[np.float64]
LEAST_PLOTS = 2
"""In a stratum: one plot has no variance."""
LEAST_FREEDOM = 1


@enum.unique
class Assistance(enum.StrEnum):
    """How the map helps."""

    DIFFERENCE = "difference"
    """The map's mean plus the plots' mean difference from it: unbiased, however few the plots; the
    map must not have been fitted to them."""
    REGRESSION = "regression"
    """The same after a straight line through plots against map, which mends its scale too
    (generalised regression, GREG): nearly unbiased from about 30 plots on."""


@dataclass(frozen=True, eq=False)
class Plots:
    """A simple random sample of plots, or one within each stratum."""

    observed: F64
    """``[n]`` what was measured, per unit of area."""
    predicted: F64
    """``[n]`` the map's mean over each plot, in the same unit."""
    strata: npt.NDArray[np.int64] | None = None
    """``[n]`` the stratum each was drawn from; one for all unless given."""
    shares: Mapping[int, float] | None = None
    """Area of each stratum, in any unit; needed with strata."""
    population: float = math.inf
    """How many plots the zone could be cut into: corrects for sampling much of it."""

    def __post_init__(self) -> None:
        if self.observed.ndim != 1 or self.observed.shape != self.predicted.shape:
            raise ValueError("observed and predicted values must be [n] of the same plots")
        if not (np.isfinite(self.observed).all() and np.isfinite(self.predicted).all()):
            raise ValueError("observed and predicted values of plots must be finite")
        if self.strata is not None and (
            self.shares is None or self.strata.shape != self.observed.shape
        ):
            raise ValueError("strata need one entry a plot and the area of each stratum")
        if self.population < len(self.observed):
            raise ValueError("there are more plots than the zone could be cut into")


@dataclass(frozen=True)
class AssistedMean:
    """The mean of a zone, with and without the map's help."""

    mean: Estimate
    total: Estimate
    """Mean times area."""
    plots_alone: Estimate
    """The mean by the same plots without a map."""
    map_alone: float
    """The map's mean, uncorrected."""
    design_effect: float
    """Variance with the map over variance without: 0.5 is worth twice the plots; above 1 the map
    does harm."""
    freedom: float
    """Degrees of freedom of the interval."""
    slope: float
    """Of plots against map; 1 of the difference estimator."""
    n: int


@dataclass(frozen=True, eq=False)
class _Design:
    """How plots stand for their strata."""

    index: npt.NDArray[np.int64]
    share: F64
    """``[H]`` of the area; together 1."""
    count: F64
    rest: F64
    """``[H]`` of the variance, that a finite population leaves."""

    @property
    def weight(self) -> F64:
        """``[n]`` what a plot counts in a mean."""
        return np.asarray((self.share / self.count)[self.index], float)

    def moments(self, y: F64) -> tuple[float, float, float]:
        """Stratified mean, its variance, and Satterthwaite's degrees of freedom.

        Cochran 1977, Sampling Techniques, chapter 5.
        """
        mean = np.bincount(self.index, y, len(self.count)) / self.count
        square = np.bincount(self.index, (y - mean[self.index]) ** 2, len(self.count))
        parts = self.share**2 * self.rest * square / (self.count - 1) / self.count
        spread = float((parts**2 / (self.count - 1)).sum())
        variance = float(parts.sum())
        freedom = variance**2 / spread if spread > 0 else float((self.count - 1).sum())
        return float(self.share @ mean), variance, freedom


def estimate_assisted(
    plots: Plots,
    map_mean: float,
    area: float,
    *,
    method: Assistance = Assistance.DIFFERENCE,
    level: float = LEVEL,
) -> AssistedMean:
    """The mean and total of a zone by plots and map together.

    Args:
        plots: The sample, drawn at random over the same zone.
        map_mean: Mean of the map over the whole zone, exactly known.
        area: Of the zone, in the unit that values are per.
        method: How the map helps.
        level: Of the intervals, which are Student's t.

    Raises:
        ValueError: saying why, when plots are too few or the map is the same at all of them.
    """
    design = _design(plots)
    regress = method is Assistance.REGRESSION
    slope, correction = _regressed(plots, design, map_mean) if regress else (1.0, np.ones(1))
    shift = slope * (map_mean - float(design.weight @ plots.predicted))
    residual = plots.observed - slope * plots.predicted
    if regress:
        residual = correction * (residual - float(design.weight @ residual))
    _, variance, freedom = design.moments(residual)
    if regress:
        loose = len(residual) - len(design.count)
        if loose - 1 < LEAST_FREEDOM:
            raise ValueError(f"{len(residual)} plots are too few to regress them on the map")
        variance, freedom = variance * loose / (loose - 1), freedom * (loose - 1) / loose
    alone, variance_alone, freedom_alone = design.moments(plots.observed)
    value, se = alone + shift, math.sqrt(variance)
    mean = student_interval(value, se, freedom, level)
    return AssistedMean(
        mean,
        Estimate(*(area * v for v in (mean.value, mean.se, mean.low, mean.high))),
        student_interval(alone, math.sqrt(variance_alone), freedom_alone, level),
        map_mean,
        variance / variance_alone if variance_alone > 0 else math.nan,
        freedom,
        slope,
        len(residual),
    )


def _design(plots: Plots) -> _Design:
    labels = np.zeros(len(plots.observed), np.int64) if plots.strata is None else plots.strata
    shares = {0: 1.0} if plots.strata is None else dict(plots.shares or {})
    names = [name for name, share in shares.items() if share > 0]
    strange = sorted(set(labels.tolist()) - set(names))
    if strange:
        raise ValueError(f"the strata {strange} of some plots have no area")
    index = np.array([names.index(label) for label in labels.tolist()], np.int64)
    count = np.bincount(index, minlength=len(names)).astype(float)
    for name, n in zip(names, count.tolist(), strict=True):
        if n < LEAST_PLOTS:
            where = "the zone" if plots.strata is None else f"stratum {name}"
            raise ValueError(f"{where} has {n:.0f} plots; a variance needs {LEAST_PLOTS} or more")
    share = np.array([shares[name] for name in names], float)
    share /= share.sum()
    return _Design(index, share, count, np.maximum(1 - count / (share * plots.population), 0))


def _regressed(plots: Plots, design: _Design, map_mean: float) -> tuple[float, F64]:
    """Slope of plots on the map, and the g-weights that the variance counts residuals with.

    Särndal et al. 1992, sections 6.5 (weights) and 6.6 (variance).
    """
    weight = design.weight
    centre = float(weight @ plots.predicted)
    apart = plots.predicted - centre
    spread = float(weight @ apart**2)
    if spread <= 0:
        raise ValueError("the map is the same at all plots: no line can be fitted to it")
    slope = float(weight @ (apart * plots.observed)) / spread
    return slope, 1 + (map_mean - centre) * apart / spread
