"""Totals corrected by the plots of a probability sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from engine.analyses.amounts import AmountMap
from engine.analyses.reference import at_points, numbers_of, read_places
from engine.assess.model_assisted import Assistance, AssistedMean, Plots, estimate_assisted
from engine.assess.totals import ZoneTotal
from engine.contract.analyses import TotalsRequest
from engine.contract.errors import EngineError, ErrorCode

LEAST_FOR_LINE = 30
"""Plots from which on a regression on the map is nearly unbiased."""


@dataclass(frozen=True)
class Assisted:
    """One estimator's answer."""

    method: Assistance
    found: AssistedMean


def assisted(
    request: TotalsRequest, first: AmountMap, union: Any, every: ZoneTotal
) -> tuple[Assisted, ...]:
    """The mean of all zones by plots and map together.

    Raises:
        EngineError: ``FIELD_MISSING``, ``FIELD_INVALID``, ``PLOTS_TOO_FEW`` saying how many lie in
            the zones.
    """
    if request.plots is None or request.field is None:
        raise EngineError(
            ErrorCode.FIELD_MISSING,
            "Nobody says which field of the plots holds the amounts.",
            "Name it with --field.",
        )
    grid = first.found.grid
    places = read_places(request.plots, (request.field,), grid)
    points = shapely.centroid(places.shapes)
    observed = numbers_of(places, request.field)
    predicted = at_points(points, grid.shape, first.found.values, np.nan)
    shapely.prepare(union)
    counts = shapely.contains(union, points) & np.isfinite(observed) & np.isfinite(predicted)
    if int(counts.sum()) < LEAST_FOR_LINE // 3:
        raise EngineError(
            ErrorCode.PLOTS_TOO_FEW,
            f"{int(counts.sum())} of {len(points)} plots lie in the zones where the map has data "
            f"and have an amount; {LEAST_FOR_LINE // 3} are the least for an interval.",
            "Give more plots of a random sample of the zones.",
        )
    plots = Plots(observed[counts], predicted[counts])
    methods = [Assistance.DIFFERENCE]
    if len(plots.observed) >= LEAST_FOR_LINE:
        methods.append(Assistance.REGRESSION)
    return tuple(
        Assisted(m, estimate_assisted(plots, every.mean.value, every.area, method=m))
        for m in methods
    )
