"""A figure with its standard error and interval, and the intervals that the room uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL = 0.95
"""Of a confidence interval unless another is asked for."""


@dataclass(frozen=True)
class Estimate:
    """A figure that a sample gives; NaN stands where the sample cannot say."""

    value: float
    se: float
    """Standard error; NaN where the interval is not made from one."""
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan, math.nan)


def normal_interval(
    value: float,
    se: float,
    level: float = LEVEL,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """``value ± z · se``, cut to what the figure can be."""
    return _symmetric(value, se, normal_factor(level), bounds)


def student_interval(
    value: float,
    se: float,
    freedom: float,
    level: float = LEVEL,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """``value ± t · se`` with ``freedom`` degrees of freedom, which need not be whole."""
    from scipy import special  # noqa: PLC0415, heavy on the way to the command line's help

    factor = float(special.stdtrit(freedom, (1 + check_level(level)) / 2))
    return _symmetric(value, se, factor, bounds)


def wilson_interval(share: float, n: float, level: float = LEVEL) -> Estimate:
    """The score interval of a proportion (Wilson 1927, JASA 22; Brown et al. 2001, Stat. Sci. 16).

    Unlike ``p ± z · se`` it keeps its coverage near 0 and 1 and in small samples.

    Args:
        share: The observed proportion.
        n: How many it was observed in; of weighted samples the effective number.
        level: Of confidence.

    Returns:
        The proportion, its plain standard error ``√(p(1 - p)/n)`` and the score interval;
        ``UNKNOWN`` of no sample.
    """
    if n <= 0 or math.isnan(share):
        return UNKNOWN
    z2 = normal_factor(level) ** 2
    spread = max(share * (1 - share), 0.0)
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2) * math.sqrt(spread / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if share <= 0 else middle - half
    high = 1.0 if share >= 1 else middle + half
    return Estimate(share, math.sqrt(spread / n), max(low, 0.0), min(high, 1.0))


def normal_factor(level: float) -> float:
    """How many standard errors a two-sided interval reaches: 1.96 for 0.95."""
    from scipy import special  # noqa: PLC0415, heavy on the way to the command line's help

    return float(special.ndtri((1 + check_level(level)) / 2))


def check_level(level: float) -> float:
    """The level itself.

    Raises:
        ValueError: when it is no probability between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level of {level} is not between 0 and 1")
    return level


def _symmetric(value: float, se: float, factor: float, bounds: tuple[float, float]) -> Estimate:
    low, high = (min(max(value + s * factor * se, bounds[0]), bounds[1]) for s in (-1, 1))
    return UNKNOWN if math.isnan(value) else Estimate(value, se, low, high)
