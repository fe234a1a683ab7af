"""Intervals that hold: conformal prediction with residuals that cross-validation left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.calibrate.samples import F64, Ints

LEVEL = 0.9
FLOOR = 0.2
"""Of the median spread: a smaller one is chance among few samples, not knowledge."""


@dataclass(frozen=True)
class Interval:
    """What turns a model's spread into errors that hold."""

    floor: float
    """Added to the spread in squares."""
    deviation: float
    """Times the spread it is the standard deviation of errors."""
    half: float
    """Times the spread it is half of the interval of ``LEVEL``."""

    def scaled(self, spread: F64) -> F64:
        """Spreads with the floor."""
        found: F64 = np.hypot(spread, self.floor)
        return found

    @property
    def half_per_deviation(self) -> float:
        """Half of the interval in standard deviations; 1.645 for normal errors."""
        return self.half / self.deviation


def fit_interval(residuals: F64, spreads: F64, level: float = LEVEL) -> Interval:
    """Normalised conformal intervals (Papadopoulos et al. 2008; Lei et al. 2018, JASA 113, 1094).

    Args:
        residuals: ``[n]``, of samples that the model did not see (cross-conformal).
        spreads: ``[n]``, what the model said of them.
        level: Share of new samples that the interval is to hold.
    """
    floor = FLOOR * float(np.median(spreads)) or float(np.std(residuals)) or 1.0
    ratios = np.sort(np.abs(residuals) / np.hypot(spreads, floor))
    rank = min(int(np.ceil((len(ratios) + 1) * level)), len(ratios))
    deviation = float(np.sqrt(np.mean(ratios**2))) or 1.0
    return Interval(floor, deviation, float(ratios[rank - 1]) or 1.0)


def honest_coverage(residuals: F64, spreads: F64, folds: Ints, level: float = LEVEL) -> F64:
    """Share of samples of each fold that lie in the interval which the other folds made."""
    shares = []
    for fold in np.unique(folds):
        mine = folds == fold
        made = fit_interval(residuals[~mine], spreads[~mine], level)
        shares.append(np.mean(np.abs(residuals[mine]) <= made.half * made.scaled(spreads[mine])))
    return np.array(shares)
