"""Accuracy and area from a stratified random sample.

Estimators of Stehman 2014 (International Journal of Remote Sensing 35, 4923-4939), whose strata
need not be the map's classes: means and ratios of indicator variables. Where the strata are the
map's classes they are those of Olofsson et al. 2014 (Remote Sensing of Environment 148, 42-57,
equations 1-11).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.assess.confusion import class_index
from engine.assess.estimate import LEVEL, UNKNOWN, Estimate, normal_interval

F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer]
SHARE = (0.0, 1.0)
LEAST_SAMPLES = 2
"""In a stratum: one sample has no variance."""


@dataclass(frozen=True)
class StratifiedClass:
    """What the sample says of one class."""

    id: int
    user: Estimate
    producer: Estimate
    f1: Estimate
    iou: Estimate
    share: Estimate
    """Of the whole area, by the reference: the error-adjusted share."""
    area: Estimate
    """The same in the unit of the strata's sizes."""
    mapped_share: float
    """Of the whole area, by the map, as the sample estimates it: exact when strata are classes."""


@dataclass(frozen=True, eq=False)
class StratifiedAgreement:
    """Accuracies and error-adjusted areas with standard errors and intervals.

    A figure without a single error in the sample has a standard error of 0, as in the papers: that
    shows a small sample rather than certainty.
    """

    overall: Estimate
    classes: tuple[StratifiedClass, ...]
    cells: F64
    """``[K, K]`` estimated shares of the area: rows are the map, columns the reference."""


@dataclass(frozen=True, eq=False)
class _Sample:
    """Stratified means of variables observed at the samples."""

    stratum: npt.NDArray[np.int64]
    """``[n]`` index into the strata."""
    weight: F64
    """``[H]`` share of the whole area."""
    count: F64
    """``[H]`` samples."""
    correction: F64
    """``[H]`` for sampling a finite population: 1, or ``1 - n/N``."""
    level: float

    def mean(self, y: F64) -> tuple[float, float]:
        """Stratified mean and its standard error (Cochran 1977, section 5.3)."""
        sums, squares = (
            np.bincount(self.stratum, y**p, len(self.count)) / self.count for p in (1, 2)
        )
        variance = np.maximum(squares - sums**2, 0) * self.count / (self.count - 1)
        error = self.weight**2 * self.correction * variance / self.count
        return float(self.weight @ sums), math.sqrt(float(error.sum()))

    def proportion(self, y: F64) -> Estimate:
        return normal_interval(*self.mean(y), self.level, SHARE)

    def ratio(self, y: F64, x: F64) -> Estimate:
        """Combined ratio of two stratified means (Cochran 1977, section 6.11).

        The variance ``s²y + R² s²x - 2 R sxy`` within a stratum is that of ``y - R x``.
        """
        below = self.mean(x)[0]
        if below <= 0:
            return UNKNOWN
        ratio = self.mean(y)[0] / below
        return normal_interval(ratio, self.mean(y - ratio * x)[1] / below, self.level, SHARE)


def estimate_stratified(
    strata: Ids,
    mapped: Ids,
    reference: Ids,
    *,
    sizes: Mapping[int, float],
    classes: Sequence[int],
    level: float = LEVEL,
    finite: bool = False,
) -> StratifiedAgreement:
    """Accuracies and areas from samples drawn at random within strata.

    Args:
        strata: ``[n]`` the stratum that each sample was drawn from.
        mapped: ``[n]`` class of the map there.
        reference: ``[n]`` class that is there.
        sizes: Of every stratum of the population, all in one unit (pixels, ha); the unit of areas.
        classes: The legend of map and reference.
        level: Of the intervals, which are normal.
        finite: Whether to correct for the finite population, which needs sizes in pixels. Without
            it the standard errors are those of Olofsson et al. 2014, larger by less than
            half the sampled share.

    Raises:
        ValueError: when a stratum has no size or fewer than two samples, or an id is unknown.
    """
    names = [name for name, size in sizes.items() if size > 0]
    sample = _sample(class_index(strata, names), names, sizes, level, finite=finite)
    rows, columns = class_index(mapped, classes), class_index(reference, classes)
    if not len(rows) == len(columns) == len(sample.stratum):
        raise ValueError("strata, map and reference have different numbers of samples")
    whole = math.fsum(sizes.values())
    members = tuple(
        _class_figures(sample, rows == k, columns == k, member, whole)
        for k, member in enumerate(classes)
    )
    overall = sample.proportion((rows == columns).astype(float))
    return StratifiedAgreement(overall, members, _cells(sample, rows, columns, len(classes)))


def estimate_from_counts(
    counts: npt.NDArray[np.integer],
    sizes: Sequence[float],
    classes: Sequence[int],
    *,
    level: float = LEVEL,
    finite: bool = False,
) -> StratifiedAgreement:
    """The same from a matrix of sample counts whose strata are the map's classes.

    Args:
        counts: ``[K, K]`` samples: rows are the map, columns the reference.
        sizes: ``[K]`` mapped pixels or areas.
        classes: ``[K]`` ids.
        level: Of the intervals.
        finite: As in ``estimate_stratified``.

    Raises:
        ValueError: as ``estimate_stratified``.
    """
    ids, cells = np.asarray(classes), np.ravel(counts)
    rows, columns = np.divmod(np.repeat(np.arange(cells.size), cells), len(ids))
    return estimate_stratified(
        ids[rows],
        ids[rows],
        ids[columns],
        sizes=dict(zip(ids.tolist(), sizes, strict=True)),
        classes=ids.tolist(),
        level=level,
        finite=finite,
    )


def _sample(
    stratum: npt.NDArray[np.int64],
    names: Sequence[int],
    sizes: Mapping[int, float],
    level: float,
    *,
    finite: bool,
) -> _Sample:
    count = np.bincount(stratum, minlength=len(names)).astype(float)
    for name, n in zip(names, count, strict=True):
        if n < LEAST_SAMPLES:
            raise ValueError(
                f"stratum {name} has {n:.0f} samples; a variance needs {LEAST_SAMPLES} or more"
            )
    size = np.array([sizes[name] for name in names], float)
    correction = np.maximum(1 - count / size, 0) if finite else np.ones(len(names))
    return _Sample(stratum, size / size.sum(), count, correction, level)


def _class_figures(
    sample: _Sample,
    is_mapped: npt.NDArray[np.bool_],
    is_there: npt.NDArray[np.bool_],
    member: int,
    whole: float,
) -> StratifiedClass:
    row, column = is_mapped.astype(float), is_there.astype(float)
    both = row * column
    share = sample.proportion(column)
    area = Estimate(*(whole * v for v in (share.value, share.se, share.low, share.high)))
    return StratifiedClass(
        member,
        sample.ratio(both, row),
        sample.ratio(both, column),
        sample.ratio(2 * both, row + column),
        sample.ratio(both, np.maximum(row, column)),
        share,
        area,
        sample.mean(row)[0],
    )


def _cells(
    sample: _Sample, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], count: int
) -> F64:
    each = (sample.weight / sample.count)[sample.stratum]
    cells = np.bincount(rows * count + columns, each, count * count)
    return cells.astype(float).reshape(count, count)
