"""Where a model may be used: the dissimilarity index of Meyer and Pebesma (2021).

Methods in Ecology and Evolution 12, 1620: the distance of a place to the nearest training sample
among standardised features weighted by importance, over the mean distance between samples. The area
of applicability ends where that is more than cross-validation itself has bridged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.calibrate.samples import F32, F64, Ints

MOST = 1500
"""Training samples that are kept to be compared with; those farthest from each other."""
PART = 2048
"""Samples compared at once."""
WHISKER = 1.5
"""Interquartile ranges beyond which a dissimilarity is an outlier."""


@dataclass(frozen=True, eq=False)
class Applicability:
    """Dissimilarity as a share of what is allowed: above 1 is outside."""

    centre: F64
    """``[F]``"""
    factor: F64
    """``[F]``: importance over standard deviation."""
    points: F64
    """``[m, F]``: training samples, moved and scaled."""
    limit: float
    """The distance at which the area ends."""

    def __call__(self, features: F32) -> F64:
        """``[n]`` of ``[n, F]``."""
        moved = (features - self.centre) * self.factor
        found: F64 = np.concatenate([d.min(axis=1) for d in _distances(moved, self.points)])
        return found / self.limit


def fit_applicability(features: F32, importance: F64, folds: Ints) -> Applicability:
    """The area of applicability of a model.

    Args:
        features: ``[n, F]``, of the training samples.
        importance: ``[F]``; what is below 0 counts as 0, and all alike when nothing is above.
        folds: ``[n]``: nearness within a fold is none that validation has tried.
    """
    x = features.astype(np.float64)
    spread = x.std(axis=0)
    weights = np.maximum(importance, 0)
    if not (weights * (spread > 0)).any():
        weights = np.ones(len(weights))
    centre = x.mean(axis=0)
    factor = np.where(spread > 0, weights / np.where(spread > 0, spread, 1), 0)
    factor = factor / (factor * spread).max() if (factor * spread).any() else factor + 1
    moved = (x - centre) * factor
    limit = _limit(_bridged(moved, folds))
    return Applicability(centre, factor, _thinned(moved), limit or 1.0)


def _bridged(moved: F64, folds: Ints) -> F64:
    """Distance of each sample to the nearest one of another fold."""
    found = np.zeros(len(moved))
    for fold in np.unique(folds):
        mine = folds == fold
        parts = _distances(moved[mine], moved[~mine])
        found[mine] = np.concatenate([part.min(axis=1) for part in parts])
    return found


def _limit(distances: F64) -> float:
    """The largest that is no outlier: the upper whisker of a box plot."""
    low, high = np.quantile(distances, (0.25, 0.75))
    return float(distances[distances <= high + WHISKER * (high - low)].max())


def _thinned(points: F64) -> F64:
    """As many as are kept, each the farthest from those before it."""
    if len(points) <= MOST:
        return points
    chosen = [0]
    nearest = ((points - points[0]) ** 2).sum(axis=1)
    while len(chosen) < MOST:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return points[chosen]


def _distances(one: F64, other: F64) -> Iterator[F64]:
    """Distances ``[part, m]`` of the rows of one to those of another, part after part."""
    squares = (other**2).sum(axis=1)
    for start in range(0, len(one), PART):
        part = one[start : start + PART]
        found = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ other.T
        yield np.sqrt(np.maximum(found, 0))
