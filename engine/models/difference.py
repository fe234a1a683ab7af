"""The form that all trained-on-nothing comparisons of two dates have."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

F64 = npt.NDArray[np.float64]

NO_ECHO = -900.0
"""dB; what stands for pixels without data is below."""
LEAST_POWER = 1e-12
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
    """Pixels along the window of ``without_speckle``, which comes first; 0: it does not."""

    cut: float = math.inf
    """Root of the statistic from which on it is change."""

    @property
    def components(self) -> int:
        """Degrees of freedom."""
        return len(self.offset)

    def statistic(self, before: npt.NDArray[np.floating], after: npt.NDArray[np.floating]) -> F64:
        """``Z`` of pixels ``[C, ...]`` of both dates, in the shape of the rest."""
        first = np.tensordot(self.before, before.astype(np.float64), axes=1)
        second = np.tensordot(self.after, after.astype(np.float64), axes=1)
        column = (-1, *(1,) * (before.ndim - 1))
        parts = (first - second + self.offset.reshape(column)) / self.deviation.reshape(column)
        total: F64 = (parts**2).sum(axis=0)
        return total

    def unchanged(self, statistic: F64) -> F64:
        """How likely so much difference is where nothing changed."""
        found: F64 = special.chdtrc(self.components, statistic)
        return found

    @property
    def least_unchanged(self) -> float:
        """The least probability of pixels that are no change."""
        return max(float(self.unchanged(np.asarray(self.cut**2))), LEAST_PROBABILITY)

    def decided(self, statistic: F64) -> F64:
        """``unchanged``, below ``least_unchanged`` just where there is change.

        Probabilities far below what numbers can hold would not tell on which side of the cut they
        are.
        """
        least, found = self.least_unchanged, self.unchanged(statistic)
        is_change = statistic >= self.cut**2
        return np.where(is_change, np.minimum(found, least / 2), np.maximum(found, least))


def without_speckle(decibel: npt.NDArray[np.floating], window: int) -> F64:
    """Backscatter ``[..., H, W]`` in dB, averaged as power over a square of ``window`` pixels.

    Of two dates the multitemporal filter of Quegan and Yu (2001, IEEE TGRS 39(11)) keeps just this
    ratio of local means. Pixels at ``NO_ECHO`` or below count nowhere.
    """
    seen = decibel > NO_ECHO
    power = np.where(seen, 10 ** (decibel.astype(np.float64) / 10), 0)
    size = (*(1 for _ in decibel.shape[:-2]), window, window)
    total = ndimage.uniform_filter(power, size, mode="constant")
    share = ndimage.uniform_filter(seen.astype(np.float64), size, mode="constant")
    mean = np.maximum(total, LEAST_POWER) / np.maximum(share, 0.5 / window**2)
    found: F64 = 10 * np.log10(mean)
    return found


def difference_to_json(difference: Difference) -> str:
    """As text, from which ``difference_from_json`` makes the same again, to the last bit."""
    fields = ("before", "after", "offset", "deviation")
    told = {name: getattr(difference, name).tolist() for name in fields}
    return json.dumps({**told, "speckle": difference.speckle, "cut": difference.cut})


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
    if not isinstance(speckle, int) or not 0 <= speckle <= MOST_SPECKLE:
        raise ValueError("its window against speckle is none")
    if not isinstance(cut, float) or not cut >= 0:
        raise ValueError("its cut is no number from 0 on")
    if not (fits and before.ndim == 2 and finite and (deviation > 0).all()):  # noqa: PLR2004
        raise ValueError("its numbers do not fit together")
    return Difference(before, after, offset, deviation, speckle, cut)
