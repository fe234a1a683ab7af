"""Iteratively reweighted multivariate alteration detection (Nielsen 2007, IEEE TIP 16(2))."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy import special

from engine.change.moments import Moments, moments
from engine.models.difference import Difference

F64 = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.floating]

MOST_ROUNDS = 50
SETTLED = 1e-6
"""Iterations end when no canonical correlation moves by more."""
FLAT = 1e-10
"""Deviations below this share of a band's mean come from rounding: the band is constant."""
COLLINEAR = 1e-10
"""Directions with less than this share of the largest variance carry nothing new."""
STEPS = 10_000
"""Of the integral over a chi-square distribution."""
LEAST_VARIANCE = 1e-10
"""Of a component whose canonical variates have variance 1: less is rounding of equal images."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What the iterations came to."""

    difference: Difference
    correlations: F64
    """``[K]``, of the pairs of canonical variates, least first: the components with most change."""
    rounds: int
    is_settled: bool
    """Whether the iterations came to rest on a result of use."""


def fit_irmad(before: Pixels, after: Pixels) -> Fit:
    """The differences of canonical variates, estimated where nothing changed.

    Each round counts a pixel by how likely it is unchanged by the last one, so that change does
    not blur what it is compared with. Any invertible affine transform of either date's bands
    gives the same result.

    Args:
        before: ``[C, n]`` pixels of the first date.
        after: ``[C, n]`` the same places at the second date.

    Raises:
        ValueError: when a date has no variance at all.
    """
    stacked = np.concatenate([before, after])
    weights: F64 | None = None
    correlations = np.zeros(0)
    rounds, moved = 0, 1.0
    while moved > SETTLED and rounds < MOST_ROUNDS:
        is_weighted = weights is not None
        difference, found = _components(moments(stacked, weights), len(before), is_weighted)
        if len(found) == len(correlations):
            moved = float(np.abs(found - correlations).max())
        correlations, rounds = found, rounds + 1
        weights = difference.unchanged(difference.statistic(before, after))
        if weights.sum() < len(stacked):
            break
    is_settled = moved <= SETTLED and bool(weights is None or weights.sum() >= len(stacked))
    return Fit(difference, correlations, rounds, is_settled)


def _components(both: Moments, bands: int, weighted: bool) -> tuple[Difference, F64]:
    """Canonical correlation analysis of the two halves of a covariance."""
    first, second = slice(None, bands), slice(bands, None)
    white_first = _whitening(both.covariance[first, first], both.mean[first])
    white_second = _whitening(both.covariance[second, second], both.mean[second])
    cross = white_first @ both.covariance[first, second] @ white_second.T
    left, singular, right = scipy.linalg.svd(cross, full_matrices=False)
    correlations = np.clip(singular[::-1], 0, 1)
    one, two = (left.T @ white_first)[::-1], (right @ white_second)[::-1]
    offset = two @ both.mean[second] - one @ both.mean[first]
    share = _share_kept(len(correlations)) if weighted else 1.0
    deviation = np.sqrt(np.maximum(2 * (1 - correlations) / share, LEAST_VARIANCE))
    return Difference(one, two, offset, deviation), correlations


def _share_kept(components: int) -> float:
    """Share of the differences' variance that the weights leave where nothing changed.

    Pixels count by their probability ``S(Z)``, so large differences count less and the weighted
    variance is too small by ``E[Z S(Z)] / (k E[S(Z)])``, ``Z`` being chi-square distributed.
    Without this the variances shrink from round to round, and probabilities are not uniform.
    """
    tail = (np.arange(STEPS) + 0.5) / STEPS
    return float(2 * np.mean(tail * special.chdtri(components, tail)) / components)


def _whitening(covariance: F64, mean: F64) -> F64:
    """``[K, C]``: brings bands to unit variance and no correlation; K is the rank."""
    scale = np.sqrt(np.diag(covariance))
    scale = np.where(scale > FLAT * np.abs(mean), scale, 0)
    if not scale.any():
        raise ValueError("a date has the same value everywhere")
    unit = np.where(scale > 0, scale, 1)
    shape = np.where(np.outer(scale, scale) > 0, covariance, 0) / np.outer(unit, unit)
    values, vectors = scipy.linalg.eigh(shape)
    carried = values > COLLINEAR * values[-1]
    found: F64 = (vectors[:, carried] / np.sqrt(values[carried])).T / unit
    return found
