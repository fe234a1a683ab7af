"""Move the second of two dates onto the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely

from engine.change.shift import LARGEST_ERROR, ShiftEstimate
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import reproject_geometry
from engine.io.warped import is_same_crs
from engine.pipeline.inputs import Inputs, open_inputs
from engine.pipeline.pairing import DatePair, date_pair, sampled

LEAST = 0.05
"""Pixels: what is closer to a whole number is taken for it, so that pixels stay as they are."""


def coregistered(inputs: Inputs) -> tuple[Inputs, str]:
    """The same inputs, the second date's georeference corrected, and a sentence that says so.

    Pixels are resampled once at most, when the corrected scene is read on the first one's grid.

    Raises:
        EngineError: ``REQUEST_INVALID`` when there are not two dates to compare,
            ``INPUT_GRID_MISMATCH`` when they have no place in common or their shift is not clear.
    """
    pair = date_pair(inputs)
    if pair is None:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "Only two rasters that share bands can be laid onto each other.",
            "Leave out --coregister.",
        )
    shift = sampled(pair).shift
    _check_trusted(shift)
    seen = f"as {shift.used} of {shift.tried} windows show (spread {shift.spread:.2f} pixels)"
    rows, cols = _to_move(pair, shift)
    if not rows and not cols:
        return inputs, f"Both dates lie on each other within {LEAST} pixels, {seen}: none is moved."
    x, y = _in_second(pair, -rows, -cols)
    told = pair.second.named.input
    had = told.offset or (0.0, 0.0)
    moved = replace(told, offset=(had[0] + x, had[1] + y))
    others = tuple(
        replace(named, input=moved) if named is pair.second.named else named
        for named in inputs.others
    )
    found = open_inputs(inputs.card, inputs.given[0][0].named.input, others)
    whole = rows == round(rows) and cols == round(cols) and pair.is_aligned
    how = "by whole pixels, which stay as they are" if whole else "by one cubic interpolation"
    sentence = (
        f"The second date is moved by {-rows:+.2f} rows and {-cols:+.2f} columns onto the first, "
        f"{seen}, {how}."
    )
    return replace(found, notes=inputs.notes), sentence


def _check_trusted(shift: ShiftEstimate) -> None:
    if shift.is_trusted:
        return
    clear = f"{shift.used} of {shift.tried} windows show a clear shift"
    unsure = f", known within {shift.error:.2g} pixels only" if shift.error > LARGEST_ERROR else ""
    raise EngineError(
        ErrorCode.INPUT_GRID_MISMATCH,
        f"How the two dates lie to each other cannot be found: {clear}{unsure}.",
        "Leave out --coregister, or register the scenes with control points first.",
    )


def _to_move(pair: DatePair, shift: ShiftEstimate) -> tuple[float, float]:
    """Rows and columns; whole ones where that is as good and saves the pixels a resampling."""
    if not pair.is_aligned:
        return (0.0, 0.0) if shift.length < LEAST else (shift.rows, shift.cols)
    rows, cols = (
        float(round(n)) if abs(n - round(n)) < LEAST else n for n in (shift.rows, shift.cols)
    )
    return rows, cols


def _in_second(pair: DatePair, rows: float, cols: float) -> tuple[float, float]:
    """A move on the common grid in the units of the second scene's CRS."""
    grid, other = pair.grid, pair.second.scene.grid
    middle = pair.overlap
    col, row = middle.col + middle.width / 2, middle.row + middle.height / 2
    ends = grid.place(np.array([(col, row), (col + cols, row + rows)], np.float64))
    if grid.crs and other.crs and not is_same_crs(grid.crs, other.crs):
        moved = reproject_geometry(np.array(shapely.points(ends)), grid.crs, other.crs)
        ends = shapely.get_coordinates(moved)
    x, y = ends[1] - ends[0]
    return float(x), float(y)
