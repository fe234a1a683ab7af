"""Whether a map's probabilities mean what they say, at the places of a reference."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.analyses.finished import FinishedMap
from engine.analyses.reference import Shapes, at_points
from engine.assess.calibration import Calibration, TemperatureFit, fit_temperature
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ClassArea
from engine.report.charts import reliability_diagram
from engine.report.page import Block, Column, Picture, Points, Table

F64 = npt.NDArray[np.float64]

PREFIX = "probability of "
"""What the bands of Swath's own rasters of probabilities are called."""


def reliability(
    found: FinishedMap,
    shapes: Shapes,
    truth: npt.NDArray[np.int64],
    classes: Sequence[ClassArea],
) -> TemperatureFit:
    """Reliability as it is, and after the temperature that fits the sample best.

    Args:
        found: The raster of probabilities, one band a class.
        shapes: ``[n]`` points in its pixels.
        truth: ``[n]`` class ids, -1 where nobody knows.
        classes: The legend.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` when its bands are not the map's classes,
            ``PLOTS_TOO_FEW`` when too few points have both.
    """
    ids = _ids_of_bands(found, classes)
    bands = range(1, len(ids) + 1)
    shape = found.grid.shape
    columns = [
        at_points(shapes, shape, functools.partial(found.values, band=b), np.nan) for b in bands
    ]
    shares = np.stack(columns, axis=1)
    known = np.isfinite(shares).all(axis=1) & np.isin(truth, ids) & (shares.sum(axis=1) > 0)
    shares = shares[known] / shares[known].sum(axis=1, keepdims=True)
    labels = np.array([ids.index(code) for code in truth[known].tolist()], np.int64)
    try:
        return fit_temperature(shares, labels)
    except ValueError as error:
        raise EngineError(
            ErrorCode.PLOTS_TOO_FEW,
            f"The probabilities cannot be judged: {error}.",
            "Give more points, or leave the probabilities out.",
        ) from None


def _ids_of_bands(found: FinishedMap, classes: Sequence[ClassArea]) -> list[int]:
    named = {row.name: row.class_id for row in classes}
    told = [text.removeprefix(PREFIX) for text in found.info.descriptions]
    missing = [name for name in told if name not in named]
    if missing or not told:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"The bands of {found.name} are not the classes of the map: {', '.join(missing)}.",
            "Give the probabilities that came with this map.",
        )
    return [named[name] for name in told]


def reliability_blocks(fit: TemperatureFit) -> tuple[Block, ...]:
    """What the page shows of it."""
    columns = (
        Column("", align="left"),
        Column("log-likelihood lost a point", digits=4),
        Column("Brier score", digits=4),
        Column("calibration error", digits=4),
    )
    rows = tuple(
        (name, c.nll, c.brier, c.ece)
        for name, c in (("as they are", fit.before), ("at the temperature", fit.after))
    )
    sense = "too sure" if fit.temperature > 1 else "not sure enough"
    sentence = (
        f"Temperature {fit.temperature:.3g}: the probabilities are {sense}. Dividing their "
        "logarithms by it, and making them sum up to one again, mends that (Guo et al. 2017); the "
        "classes of the map stay as they are."
    )
    if not fit.is_settled:
        sentence = "No temperature mends them: the points do not tell one within reason."
    if not fit.is_settled:
        return (
            Points((sentence,)),
            Table(columns, rows[:1]),
            Picture(_diagram(fit.before), "As they are", "Reliability diagram"),
        )
    return (
        Points((sentence, f"Fitted to {fit.before.n} points, and judged on the same ones.")),
        Table(columns, rows),
        Picture(_diagram(fit.before), "As they are", "Reliability diagram"),
        Picture(_diagram(fit.after), "At the temperature", "Reliability diagram after scaling"),
    )


def _diagram(found: Calibration) -> str:
    there = [b for b in found.bins if b.n and not math.isnan(b.said)]
    return reliability_diagram(
        [b.said for b in there], [b.seen.value for b in there], [b.n for b in there]
    )
