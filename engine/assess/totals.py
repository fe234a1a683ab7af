"""Totals, means and changes of an estimated quantity over a zone, with errors that are correlated.

The error of a map has two parts, added in quadrature because they have different causes:

- the residual of each pixel, which resembles that of its neighbours: its part of the variance of
  a total is ``ΣΣ w_i w_j s_i s_j ρ(h_ij)`` (``engine.assess.covariance``), never ``Σ w² s²``;
- the error of the model's own coefficients, of its calibration: the same everywhere, so that it
  adds up as ``(Σ w u)²`` and no zone is large enough to average it out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.assess.covariance import Spacing, covariance_of_sums, variance_of_sum
from engine.assess.estimate import LEVEL, Estimate, normal_interval
from engine.assess.variogram import Correlation
from engine.geo.window import Window

F64 = npt.NDArray[np.float64]

CARBON_FRACTION = 0.47
"""Of dry above-ground biomass (IPCC 2006 Guidelines, volume 4, chapter 4, table 4.3: default)."""
CO2_PER_CARBON = 44 / 12
"""Molar masses of CO2 and C (IPCC 2006 Guidelines, volume 4)."""


@dataclass(frozen=True, eq=False)
class Zone:
    """What the map says of a zone's pixels, on the rectangle ``[H, W]`` around it.

    Pixels without a value count as missing, wherever their weight is above 0.
    """

    value: F64
    """Per unit of area, such as Mg/ha; NaN where there is none."""
    sd: F64
    """Standard deviation of the residual, in the same unit."""
    weight: F64
    """Area that belongs to the zone: share of the pixel covered times its area, such as ha."""
    common: F64 | None = None
    """Standard deviation of what errs everywhere alike, in the value's unit; none unless given."""

    def __post_init__(self) -> None:
        others = (self.sd, self.weight) + (() if self.common is None else (self.common,))
        if self.value.ndim != 2 or any(o.shape != self.value.shape for o in others):  # noqa: PLR2004, rows and columns
            raise ValueError("values, deviations and weights of a zone must be [H, W] of one shape")
        if not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise ValueError("weights of a zone must be finite and not negative")
        for errors in (self.sd, self.common):
            if errors is not None and not (errors[self.counts] >= 0).all():
                raise ValueError("a pixel with a value has no standard deviation of 0 or more")

    @property
    def counts(self) -> npt.NDArray[np.bool_]:
        """Pixels that have a weight and a value."""
        return np.asarray((self.weight > 0) & np.isfinite(self.value), bool)

    def times(self, field: F64) -> F64:
        """Weight times a field, 0 where nothing counts."""
        return np.where(self.counts, self.weight * np.where(self.counts, field, 0.0), 0.0)


@dataclass(frozen=True)
class Carbon:
    """How biomass becomes carbon, with the error of that."""

    fraction: float = CARBON_FRACTION
    se: float = 0.0
    """Standard error of the fraction; it errs everywhere alike."""

    def __post_init__(self) -> None:
        if not (0 < self.fraction <= 1 and self.se >= 0):
            raise ValueError(f"a carbon fraction of {self.fraction} ± {self.se} is not possible")

    def of(self, total: Estimate, level: float) -> tuple[Estimate, Estimate]:
        """Carbon and CO2 equivalent of a total of biomass; first-order error of a product."""
        se = math.hypot(self.fraction * total.se, total.value * self.se)
        return (
            normal_interval(total.value * self.fraction, se, level),
            normal_interval(
                total.value * self.fraction * CO2_PER_CARBON, se * CO2_PER_CARBON, level
            ),
        )


@dataclass(frozen=True)
class ZoneSums:
    """Sums over pixels; those of a zone's pieces add up to those of the zone."""

    area: float
    missing: float
    total: float
    common: float
    squares: float
    """Of weight times standard deviation."""

    def __add__(self, other: ZoneSums) -> ZoneSums:
        return ZoneSums(
            self.area + other.area,
            self.missing + other.missing,
            self.total + other.total,
            self.common + other.common,
            self.squares + other.squares,
        )


@dataclass(frozen=True)
class ZoneTotal:
    """The total and the mean of a zone, over the part of it that has values."""

    area: float
    missing: float
    """Area of the zone without a value: not in the total."""
    total: Estimate
    mean: Estimate
    """NaN of a zone without values."""
    carbon: Estimate
    co2e: Estimate
    se_residual: float
    """Of the total, from the residuals of pixels."""
    se_common: float
    """Of the total, from what errs everywhere alike."""
    se_independent: float
    """What the total's standard error would be were pixels independent: for comparison only."""


@dataclass(frozen=True)
class ZoneChange:
    """The change of a zone's total from the first date to the second, where both have values."""

    area: float
    missing: float
    change: Estimate
    mean: Estimate
    carbon: Estimate
    co2e: Estimate
    se_residual: float
    se_common: float
    residuals_between: float
    common_between: float
    """The correlations between the dates that were given: say them with the change."""


def estimate_total(
    zone: Zone,
    spacing: Spacing,
    correlation: Correlation,
    *,
    carbon: Carbon | None = None,
    level: float = LEVEL,
) -> ZoneTotal:
    """The total over a zone with its standard error.

    Args:
        zone: The pixels.
        spacing: Between their centres, in the unit of the correlation's range (m).
        correlation: Of residuals divided by their deviations, by distance.
        carbon: For totals of biomass; the IPCC's default unless given.
        level: Of the intervals, which are normal.
    """
    field = zone.times(zone.sd)

    def read(window: Window) -> F64:
        return np.asarray(field[window.slices], float)

    variance = variance_of_sum(read, (field.shape[0], field.shape[1]), spacing, correlation)
    return total_from_sums(sum_zone(zone), variance, carbon=carbon, level=level)


def sum_zone(zone: Zone) -> ZoneSums:
    """What adds up over the pieces of a zone."""
    area = float(zone.weight[zone.counts].sum())
    return ZoneSums(
        area,
        float(zone.weight.sum()) - area,
        float(zone.times(zone.value).sum()),
        0.0 if zone.common is None else float(zone.times(zone.common).sum()),
        float((zone.times(zone.sd) ** 2).sum()),
    )


def total_from_sums(
    sums: ZoneSums, variance: float, *, carbon: Carbon | None = None, level: float = LEVEL
) -> ZoneTotal:
    """The same as ``estimate_total`` for zones that do not fit into memory.

    Args:
        sums: Of all pieces, added up.
        variance: Of the residuals' part, from ``variance_of_sum`` that reads the pieces.
        carbon: As in ``estimate_total``.
        level: Of the intervals.
    """
    residual = _root(variance)
    total = normal_interval(sums.total, math.hypot(residual, sums.common), level)
    return ZoneTotal(
        sums.area,
        sums.missing,
        total,
        _per_area(total, sums.area, level),
        *(carbon or Carbon()).of(total, level),
        residual,
        sums.common,
        _root(sums.squares),
    )


def estimate_change(
    first: Zone,
    second: Zone,
    spacing: Spacing,
    correlation: Correlation,
    *,
    residuals_between: float,
    common_between: float,
    carbon: Carbon | None = None,
    level: float = LEVEL,
) -> ZoneChange:
    """Second minus first date's total, whose errors partly cancel when the dates err alike.

    The residuals of two pixels of different dates correlate by ``residuals_between · ρ(h)``. Both
    correlations between dates are assumptions unless plots measured twice tell them: state them.

    Args:
        first: The zone at the first date.
        second: The same zone, weights included, at the second date.
        spacing: As in ``estimate_total``.
        correlation: Of either date's residuals.
        residuals_between: Correlation of the residuals of one place at the two dates, 0 to 1.
        common_between: Correlation of what errs everywhere alike: 1 for one and the same model.
        carbon: As in ``estimate_total``; its error is that of one fraction for both dates.
        level: Of the intervals.

    Raises:
        ValueError: when the zones' weights differ or a correlation is out of range.
    """
    if first.weight.shape != second.weight.shape or not np.allclose(first.weight, second.weight):
        raise ValueError("both dates must have the same weights: the same zone on the same grid")
    if not (0 <= residuals_between <= 1 and -1 <= common_between <= 1):
        raise ValueError("a correlation between dates is out of range")
    both = first.counts & second.counts
    fields = [np.where(both, z.times(z.sd), 0.0) for z in (first, second)]
    variance = _difference_variance(fields, spacing, correlation, residuals_between)
    ones, twos = (_common_total(z, both) for z in (first, second))
    common = _root(ones**2 + twos**2 - 2 * common_between * ones * twos)
    area = float(first.weight[both].sum())
    value = float(np.where(both, second.times(second.value) - first.times(first.value), 0.0).sum())
    change = normal_interval(value, math.hypot(_root(variance), common), level)
    return ZoneChange(
        area,
        float(first.weight.sum()) - area,
        change,
        _per_area(change, area, level),
        *(carbon or Carbon()).of(change, level),
        _root(variance),
        common,
        residuals_between,
        common_between,
    )


def _difference_variance(
    fields: list[F64], spacing: Spacing, correlation: Correlation, between: float
) -> float:
    """``(f2 - r f1) ρ (f2 - r f1) + (1 - r²) f1 ρ f1``, which is never negative."""

    def of(field: F64) -> float:
        def read(window: Window) -> F64:
            return np.asarray(field[window.slices], float)

        return variance_of_sum(read, (field.shape[0], field.shape[1]), spacing, correlation)

    first, second = fields
    rest = (1 - between**2) * of(first) if between < 1 else 0.0
    return of(second - between * first) + rest


def covariance_between_zones(
    first: Zone, second: Zone, spacing: Spacing, correlation: Correlation
) -> float:
    """Covariance of the residual parts of two zones' totals, on one common rectangle of pixels.

    Neighbouring zones' totals are not independent either: the variance of their sum is that of
    the zones' union.
    """
    return covariance_of_sums(first.times(first.sd), second.times(second.sd), spacing, correlation)


def _common_total(zone: Zone, where: npt.NDArray[np.bool_]) -> float:
    return 0.0 if zone.common is None else float(zone.times(zone.common)[where].sum())


def _per_area(total: Estimate, area: float, level: float) -> Estimate:
    if area <= 0:
        return normal_interval(math.nan, math.nan, level)
    return normal_interval(total.value / area, total.se / area, level)


def _root(variance: float) -> float:
    """Its square root; rounding may leave a variance of 0 a little below."""
    return math.sqrt(max(variance, 0.0))
