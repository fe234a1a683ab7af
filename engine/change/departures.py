"""What differences of embeddings are usual between two dates."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from engine.change.threshold import otsu
from engine.change.vectors import NORMAL
from engine.models.departure import Departure

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

ROUNDING = 1e-4
"""Differences of less than this share of the embeddings' spread come from arithmetic."""
FREEDOMS = np.geomspace(0.5, 500, 600)
"""Degrees of freedom that are tried."""
CLEAR = 1.25
"""Times the share that chance puts above a cut: where less lies there, Otsu has split noise."""


def fit_departure(before: F32, after: F32) -> Departure:
    """Differences number by number, less their medians, in median absolute deviations.

    The medians take away what all of a date has in common, above all season and light.

    The angle between embeddings, each date's less its median, sees new buildings in Sentinel-2
    pictures of Dubai (OSCD) better, with an area under the curve of 0.87 instead of 0.85; but where
    the ground is even, such as a forest, embeddings less their median are noise of any direction,
    and the angle sees nothing at all.

    Sums of squares of noise whose numbers depend on each other follow a chi-square distribution of
    fewer degrees of freedom, about: scale and freedom are those that put the lower quartile and
    the median where they are, which change on less than half of the area moves a little only.

    Args:
        before: ``[D, n]`` embeddings of the first date.
        after: ``[D, n]`` of the same places at the second date.

    Raises:
        ValueError: when all embeddings are the same.
    """
    apart = after - before
    usual = np.median(apart, axis=1).astype(np.float32)
    noise = NORMAL * np.median(np.abs(apart - usual[:, None]), axis=1)
    spread = float(np.maximum(before.std(axis=1), after.std(axis=1)).max())
    if not spread > 0:
        raise ValueError("all embeddings are the same")
    deviation = np.maximum(noise, ROUNDING * spread).astype(np.float32)
    plain = Departure(usual, deviation, 1.0, 1.0)
    quarter, half = np.quantile(plain.statistic(before, after), (0.25, 0.5))
    if not quarter > 0:
        return plain
    ratios = special.chdtri(FREEDOMS, 0.5) / special.chdtri(FREEDOMS, 0.75)
    freedom = float(np.interp(-math.log(half / quarter), -np.log(ratios), FREEDOMS))
    return Departure(usual, deviation, float(half / special.chdtri(freedom, 0.5)), freedom)


def otsu_cut(departure: Departure, statistic: F64) -> float | None:
    """The root of the statistic where it falls into two groups; None where it has only noise.

    Otsu's rule on the statistic itself, whose few large values lie apart further than their roots:
    differences of unchanged places spread so widely that roots are cut within them.
    """
    found = otsu(statistic)
    if found is None:
        return None
    above = float((statistic > found).mean())
    by_chance = float(departure.unchanged(np.asarray(found)))
    return math.sqrt(found) if above > CLEAR * by_chance else None
