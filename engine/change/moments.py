"""Means and covariances of weighted samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

SLICE = 1 << 18
"""Pixels at once, so that double precision takes little memory."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of pixels with ``C`` bands."""

    mean: F64
    """``[C]``"""
    covariance: F64
    """``[C, C]``, per unit of weight."""


def moments(pixels: npt.NDArray[np.floating], weights: F64 | None = None) -> Moments:
    """Of pixels ``[C, n]``, each counted by its weight ``[n]``.

    Means first, and then products of differences from them: what large means would hide is kept.
    """
    count = pixels.shape[1]
    weights = np.ones(count) if weights is None else weights
    total = weights.sum()
    parts = [slice(i, i + SLICE) for i in range(0, count, SLICE)]
    mean = sum((_doubled(pixels, p) @ weights[p] for p in parts), np.zeros(len(pixels))) / total
    spread = np.zeros((len(pixels), len(pixels)))
    for part in parts:
        centred = _doubled(pixels, part) - mean[:, None]
        spread += (centred * weights[part]) @ centred.T
    return Moments(mean, spread / total)


def _doubled(pixels: npt.NDArray[np.floating], part: slice) -> F64:
    return pixels[:, part].astype(np.float64)
