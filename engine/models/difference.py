"""The form that all trained-on-nothing comparisons of two dates have."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

F64 = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.floating]

LEAST_PROBABILITY = 1e-36
"""Well within float32."""
MOST_SPECKLE = 99
"""Pixels; a window larger than that would hide the change."""


@dataclass(frozen=True, eq=False)
class Difference:
    """``Z = sum over k of ((before_k . x - after_k . y + offset_k) / deviation_k)^2``.

    Where nothing changed, and noise is normal, ``Z`` follows the chi-square distribution with as
    many degrees of freedom as there are components ``k``. Change vector analysis, multivariate
    alteration detection and the log-ratio of radar images differ in their coefficients alone.
    """

    before: F64
    """``[K, C]``, for the bands of the first date."""
    after: F64
    """``[K, C]``, for those of the second date."""
    offset: F64
    """``[K]``"""
    deviation: F64
    """``[K]``: of each component where nothing changed."""
    speckle: int = 0
    """Pixels along the window of ``speckle.stilled``, which comes first; 0: it does not."""

    cut: float = math.inf
    """Root of the statistic from which on it is change."""
    is_directed: bool = False
    """Whether change is told apart by its direction, see ``rise``."""

    @property
    def components(self) -> int:
        """Degrees of freedom."""
        return len(self.offset)

    def statistic(self, before: Pixels, after: Pixels) -> F64:
        """``Z`` of pixels ``[C, ...]`` of both dates, in the shape of the rest."""
        total: F64 = (self._parts(before, after) ** 2).sum(axis=0)
        return total

    def rise(self, before: Pixels, after: Pixels) -> F64:
        """By how much the components grew, together, beyond what is usual; like ``statistic``."""
        total: F64 = -self._parts(before, after).sum(axis=0)
        return total

    def _parts(self, before: Pixels, after: Pixels) -> F64:
        """``[K, ...]``: each component's difference in deviations."""
        first = np.tensordot(self.before, before.astype(np.float64), axes=1)
        second = np.tensordot(self.after, after.astype(np.float64), axes=1)
        column = (-1, *(1,) * (before.ndim - 1))
        parts: F64 = first - second + self.offset.reshape(column)
        return parts / self.deviation.reshape(column)

    def unchanged(self, statistic: F64) -> F64:
        """How likely so much difference is where nothing changed."""
        return by_chance(statistic, self.components)

    @property
    def least_unchanged(self) -> float:
        """The least probability of pixels that are no change."""
        return least_unchanged(self.cut, self.components)

    def decided(self, statistic: F64) -> F64:
        """``unchanged``, below ``least_unchanged`` just where there is change."""
        return decided(statistic, self.cut, self.components)


def by_chance(statistic: F64, freedom: float) -> F64:
    """How likely so large a chi-square statistic is, of any number of degrees of freedom."""
    found: F64 = special.chdtrc(freedom, statistic)
    return found


def least_unchanged(cut: float, freedom: float) -> float:
    """The probability at ``cut``, the root of the statistic from which on it is change."""
    return max(float(by_chance(np.asarray(cut**2), freedom)), LEAST_PROBABILITY)


def decided(statistic: F64, cut: float, freedom: float) -> F64:
    """``by_chance``, below ``least_unchanged`` just where there is change.

    Probabilities far below what numbers can hold would not tell on which side of the cut they are.
    """
    least, found = least_unchanged(cut, freedom), by_chance(statistic, freedom)
    is_change = statistic >= cut**2
    return np.where(is_change, np.minimum(found, least / 2), np.maximum(found, least))


def difference_to_json(difference: Difference) -> str:
    """As text, from which ``difference_from_json`` makes the same again, to the last bit."""
    fields = ("before", "after", "offset", "deviation")
    told = {name: getattr(difference, name).tolist() for name in fields}
    told |= {"speckle": difference.speckle, "cut": difference.cut}
    return json.dumps({**told, "directed": difference.is_directed})


def difference_from_json(text: str) -> Difference:
    """What ``difference_to_json`` wrote.

    Raises:
        ValueError: when it was not written by it.
    """
    told = json.loads(text)
    try:
        before, after = (np.array(told[n], np.float64) for n in ("before", "after"))
        offset, deviation = (np.array(told[n], np.float64) for n in ("offset", "deviation"))
    except (TypeError, KeyError) as error:
        raise ValueError(f"it does not tell {error}") from error
    count = len(offset)
    fits = before.shape == after.shape and before.shape[:1] == deviation.shape == (count,)
    finite = all(np.isfinite(a).all() for a in (before, after, offset, deviation))
    speckle, cut = told.get("speckle", 0), told.get("cut", math.inf)
    directed = bool(told.get("directed", False))
    if not isinstance(speckle, int) or not 0 <= speckle <= MOST_SPECKLE:
        raise ValueError("its window against speckle is none")
    if not isinstance(cut, float) or not cut >= 0:
        raise ValueError("its cut is no number from 0 on")
    if not (fits and before.ndim == 2 and finite and (deviation > 0).all()):  # noqa: PLR2004
        raise ValueError("its numbers do not fit together")
    return Difference(before, after, offset, deviation, speckle, cut, directed)
