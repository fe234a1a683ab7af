"""Speckle of radar images, taken out over space, and over further dates of the same place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.floating]

NO_ECHO = -900.0
"""dB; what stands for pixels without data is below."""
LEAST_POWER = 1e-12


def without_speckle(decibel: Pixels, window: int) -> F64:
    """Backscatter ``[..., H, W]`` in dB, averaged as power over a square of ``window`` pixels.

    Of two dates the filter of ``multitemporal`` keeps just this ratio of local means, however many
    further dates it is given. Pixels at ``NO_ECHO`` or below count nowhere.
    """
    power, seen = _power(decibel)
    return _decibel(local_mean(power, seen, window))


def multitemporal(power: F64, seen: Mask, window: int) -> F64:
    """``J_k = E_k / N * sum of I_i / E_i`` over N dates (Quegan and Yu 2001, IEEE TGRS 39(11)).

    ``E`` is the mean over a square of ``m = window^2`` pixels. Of dates whose speckle is
    independent, of L looks each, the result has ``L N m / (N + m - 1)`` looks where the ground is
    even; what varies from pixel to pixel at all dates alike stays as sharp as it was.

    Args:
        power: ``[N, ..., H, W]`` linear backscatter of the dates.
        seen: The same shape: where there are data; other pixels count nowhere.
        window: Pixels along the square.
    """
    means = local_mean(power, seen, window)
    return means * _sharpness(power, seen, means)


def stilled(dates: Sequence[Pixels], window: int) -> tuple[F64, F64]:
    """The first two dates ``[..., H, W]`` in dB without most of their speckle.

    Alone, they are averaged as ``without_speckle`` does. With further dates each one's ratio to the
    mean of all, filtered by ``multitemporal``, is averaged instead: borders, houses and whatever
    else does not change is the same in both, so that few bright pixels do not drown the others, and
    no edge is blurred into its neighbours. (Ratios to a mean over time: Zhao and others 2019, IEEE
    TGRS 57(6).) The result looks as far as two windows do.
    """
    if len(dates) == 2:  # noqa: PLR2004 - nothing but the dates that are compared
        return without_speckle(dates[0], window), without_speckle(dates[1], window)
    power, seen = _power(np.stack(dates))
    means = local_mean(power, seen, window)
    count = np.maximum(seen.sum(0), 1)
    ground = np.where(seen, means, 0).sum(0) / count * _sharpness(power, seen, means)
    ratio = power[:2] / np.maximum(ground, LEAST_POWER)
    one, other = _decibel(local_mean(ratio, seen[:2], window))
    return one, other


def local_mean(power: F64, seen: Mask, window: int) -> F64:
    """The mean of what is seen in a square around each pixel, above zero everywhere."""
    size = (*(1 for _ in power.shape[:-2]), window, window)
    total = ndimage.uniform_filter(np.where(seen, power, 0), size, mode="constant")
    share = ndimage.uniform_filter(seen.astype(np.float64), size, mode="constant")
    mean: F64 = np.maximum(total, LEAST_POWER) / np.maximum(share, 0.5 / window**2)
    return mean


def _sharpness(power: F64, seen: Mask, means: F64) -> F64:
    """``[..., H, W]``: how much brighter a pixel is than its surroundings, over all dates."""
    ratios = np.where(seen, power / means, 0)
    mean: F64 = ratios.sum(0) / np.maximum(seen.sum(0), 1)
    return mean


def _power(decibel: Pixels) -> tuple[F64, Mask]:
    seen = decibel > NO_ECHO
    return np.where(seen, 10 ** (decibel.astype(np.float64) / 10), 0), seen


def _decibel(power: F64) -> F64:
    found: F64 = 10 * np.log10(power)
    return found
