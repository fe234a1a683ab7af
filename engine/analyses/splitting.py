"""How plots are parted for validation, so that none is judged by its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from engine.analyses.plots import Plots, Shapes
from engine.assess.variogram import Shape, Variogram, fit_variogram, measure_variogram
from engine.calibrate.folds import MOST_FOLDS, block_edge, blocks, folds_of, joined
from engine.calibrate.footprints import overlapping
from engine.calibrate.samples import F64, Ints
from engine.contract.analyses import CalibrateRequest
from engine.contract.errors import EngineError, ErrorCode

LEAST_PLOTS = 20
LEAST_FOLDS = 3
FEW_PLOTS, FOLDS_OF_MANY = 200, 5
"""Of more plots than that, fewer folds leave enough to learn from."""
OVERLAP = 0.01
"""Of the smaller plot."""
PRACTICAL = 3.0
"""Ranges of an exponential model at which 5 % of the correlation are left."""
FEWEST_ALONG, MOST_ALONG = 8, 20
"""Blocks along the plots' extent: where nothing tells how far they resemble each other, and where
they hardly do."""


@dataclass(frozen=True, eq=False)
class Split:
    """Groups and folds of plots."""

    groups: Ints
    folds: Ints
    sentence: str
    """How they were made."""
    notes: tuple[str, ...] = ()
    """What a user should know of plots that lie on each other, and of blocks."""


def split(
    request: CalibrateRequest, plots: Plots, places: F64, values: F64, shapes: Shapes
) -> Split:
    """Folds of plots of amounts.

    Args:
        request: Names a field, or the edge of blocks.
        plots: Those that are used.
        places: ``[n, 2]`` metres.
        values: What was found.
        shapes: In pixels.

    Raises:
        EngineError: ``PLOTS_TOO_FEW``.
    """
    if len(plots) < LEAST_PLOTS:
        raise _too_few(
            f"{len(plots)} plots can be used, and a model needs at least {LEAST_PLOTS}: below "
            "that, a 90 % interval would rest on the one or two plots beyond it."
        )
    groups, sentence, notes = _groups(request, plots, places, values)
    groups, more = _apart(groups, shapes, places)
    count = len(np.unique(groups))
    if count < LEAST_FOLDS:
        raise _too_few(
            f"The {len(plots)} plots lie in {count} group{'s' * (count > 1)}, and validation needs "
            f"{LEAST_FOLDS} of which none knows the others."
        )
    number = min(MOST_FOLDS if len(plots) <= FEW_PLOTS else FOLDS_OF_MANY, count)
    folds = folds_of(groups, np.zeros(len(groups), np.int64), number, request.seed)
    return Split(groups, folds, f"{number} folds of {count} {sentence}", (*notes, *more))


def split_classes(
    request: CalibrateRequest, plots: Plots, places: F64, kinds: Ints, names: tuple[str, ...]
) -> Split:
    """Folds of polygons or points of classes.

    Raises:
        EngineError: ``PLOTS_TOO_FEW``.
    """
    if request.group is None and request.block is None and plots.is_areal:
        groups, sentence = np.arange(len(plots)), "polygons"
    else:
        groups, sentence, _ = _groups(request, plots, places, kinds.astype(np.float64))
    held = [len(np.unique(groups[kinds == kind])) for kind in range(len(names))]
    rare = [name for name, count in zip(names, held, strict=True) if count < 2]  # noqa: PLR2004 - one to learn, one to check
    if rare:
        raise _too_few(
            f"The class {', '.join(rare)} was found in one group of {sentence} only: nothing is "
            "left to check it when the model has learnt it."
        )
    number = min(MOST_FOLDS, max(LEAST_FOLDS, min(held)))
    folds = folds_of(groups, kinds, number, request.seed)
    return Split(groups, folds, f"{number} folds of {len(np.unique(groups))} {sentence}")


def range_of(places: F64, values: F64) -> tuple[Variogram, float] | str:
    """An exponential variogram with its practical range, or why there is none.

    Nobody looked farther than the longest lag, so no range is longer.
    """
    try:
        measured = measure_variogram(places, values)
        found = fit_variogram(measured, Shape.EXPONENTIAL)
    except ValueError as error:
        return str(error)
    longest = float(measured.distance.max())
    return found, min(PRACTICAL * found.correlation.range, longest)


def _groups(
    request: CalibrateRequest, plots: Plots, places: F64, values: F64
) -> tuple[Ints, str, tuple[str, ...]]:
    if plots.groups is not None:
        found = np.unique(plots.groups.astype(str), return_inverse=True)[1]
        return found.astype(np.int64), f"groups by «{request.group}»", ()
    unit = "m" if plots.crs or request.gsd else "pixels"
    if request.block is not None:
        return blocks(places, request.block), f"blocks of {request.block:.4g} {unit}", ()
    span = float(np.ptp(places, axis=0).max()) or 1.0
    told = range_of(places, values)
    reach = told[1] if isinstance(told, tuple) else span / FEWEST_ALONG
    wanted = max(reach, span / MOST_ALONG)
    edge = block_edge(places, wanted, 2 * MOST_FOLDS)
    note = (
        f"What was found resembles itself up to {wanted:.4g} {unit}, and blocks of that size would "
        f"be too few: they are {edge:.4g} {unit} wide, so that validation may flatter."
    )
    notes = (note,) if edge < wanted else ()
    return blocks(places, edge), f"blocks of {edge:.4g} {unit}", notes


def _apart(groups: Ints, shapes: Shapes, places: F64) -> tuple[Ints, tuple[str, ...]]:
    """Groups of which none holds a plot that lies on one of another."""
    if (shapely.area(shapes) > 0).all():
        pairs = overlapping(shapes, OVERLAP)
    else:
        first: dict[tuple[float, float], int] = {}
        spots = [(round(x, 2), round(y, 2)) for x, y in places.tolist()]
        owners = [(first.setdefault(spot, n), n) for n, spot in enumerate(spots)]
        pairs = [(one, other) for one, other in owners if one != other]
    if not pairs:
        return groups, ()
    note = (
        f"{len({n for pair in pairs for n in pair})} plots lie on others or share their place: "
        "they are never on both sides of a split, and count as often as they are there."
    )
    return joined(groups, pairs), (note,)


def _too_few(message: str) -> EngineError:
    return EngineError(
        ErrorCode.PLOTS_TOO_FEW, message, "Add plots, or name another field with --group."
    )
