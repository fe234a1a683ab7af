"""Change vector analysis, and the log-ratio of radar images, which is the same in decibel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.models.difference import Difference

Pixels = npt.NDArray[np.floating]

NORMAL = 1.4826
"""Standard deviations in one median absolute deviation of normal noise."""
ROUNDING = 1e-5
"""Differences of less than this share of a band's spread come from rounding."""


def fit_vectors(before: Pixels, after: Pixels) -> Difference:
    """Differences band by band, in units of what is usual in this pair of images.

    The usual difference is the median, so that another sun or sensor is no change; its noise is
    the median absolute deviation, which change on less than half of the area does not move
    much.

    Args:
        before: ``[C, n]`` pixels of the first date.
        after: ``[C, n]`` the same places at the second date.

    Raises:
        ValueError: when no band varies.
    """
    apart = after.astype(np.float64) - before
    usual = np.median(apart, axis=1)
    noise = NORMAL * np.median(np.abs(apart - usual[:, None]), axis=1)
    spread = np.maximum(before.std(axis=1), after.std(axis=1)).astype(np.float64)
    used = spread > 0
    if not used.any():
        raise ValueError("both dates have the same value everywhere")
    identity = np.eye(len(before))[used]
    deviation = np.maximum(noise, ROUNDING * spread)[used]
    return Difference(identity, identity, usual[used], deviation)
