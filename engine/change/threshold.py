"""Where change begins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

BINS = 512
TAIL = 0.999
"""The histogram ends at this quantile: a few giants would leave it without detail."""


def otsu(values: F64) -> float | None:
    """The cut that splits values into two groups of least variance (Otsu 1979).

    For chi-square statistics take their square roots, whose two groups are of like width.

    Args:
        values: Of any shape.

    Returns:
        The cut; None when all values are the same.
    """
    top = float(np.quantile(values, TAIL))
    counts, edges = np.histogram(np.minimum(values, top), BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    if top <= float(values.min()) or not ((below > 0) & (above > 0)).any():
        return None
    sums = np.cumsum(counts * centres)
    means = sums[:-1] / np.maximum(below, 1), (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * (means[1] - means[0]) ** 2
    best = np.flatnonzero(between == between.max())
    return float(edges[1:-1][best].mean())
