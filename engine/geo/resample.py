"""Pixels from one lattice to another that shares its origin, with the mask carried along.

Each output pixel is a weighted mean of input pixels in a fixed order of additions, so its bits do
not depend on the window in which it was computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, beside, namespace
from engine.geo.window import Window

ROUNDING = 1e-9
"""Overlaps below this share of a pixel come from floating-point rounding."""

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Taps:
    """For each output pixel along one axis the input pixels that it is made of."""

    index: npt.NDArray[np.intp]
    """``[taps, n]``, relative to the input window."""
    weight: F32
    """``[taps, n]``; columns sum to 1."""


def needed_span(start: int, stop: int, factor: float, length: int) -> tuple[int, int]:
    """Input pixels needed for the output pixels ``start .. stop``.

    Args:
        start: First output pixel.
        stop: First output pixel beyond.
        factor: Input pixels per output pixel.
        length: Input pixels in all.
    """
    reach = 0.0 if factor >= 1 else 1.0
    first = math.floor(start * factor - reach)
    last = math.ceil(stop * factor + reach)
    return max(min(first, length - 1), 0), max(min(last, length), 1)


def needed_window(window: Window, factors: tuple[float, float], shape: tuple[int, int]) -> Window:
    """Input window (of a raster of ``shape``) that ``resample`` needs for an output ``window``."""
    rows = needed_span(window.row, window.row_stop, factors[0], shape[0])
    cols = needed_span(window.col, window.col_stop, factors[1], shape[1])
    return Window.from_spans(rows, cols)


def resample(
    data: Array,
    valid: Array | None,
    have: Window,
    want: Window,
    factors: tuple[float, float],
) -> tuple[Array, Array]:
    """Bring ``data`` to another lattice: area mean when shrinking, linear when enlarging.

    Args:
        data: ``[C, H, W]`` float32 over ``have``, in memory or on a device; so are the results.
        valid: ``[H, W]``, True where data counts; None: everywhere.
        have: Window of ``data`` on the input lattice.
        want: Window asked for, on the output lattice.
        factors: Input pixels per output pixel, ``(rows, cols)``.

    Returns:
        ``[C, want]`` and, for each output pixel, the share of its weight that was valid;
        a pixel of share 0 has no meaning.
    """
    xp = namespace(data)
    if want.is_empty:
        nothing = beside(np.zeros((data.shape[0] + 1, *want.shape), np.float32), data)
        return nothing[1:], nothing[0]
    rows = _taps(want.row, want.row_stop, factors[0], (have.row, have.row_stop))
    cols = _taps(want.col, want.col_stop, factors[1], (have.col, have.col_stop))
    if valid is None or valid.all():
        out = _along(_along(data, rows, 1), cols, 2)
        return out, beside(np.ones(want.shape, np.float32), data)
    if isinstance(valid, np.ndarray):
        valid = beside(valid, data)
    weight = _along(_along(xp.astype(valid[None], xp.float32), rows, 1), cols, 2)[0]
    masked = xp.where(valid, data, 0)
    total = _along(_along(masked, rows, 1), cols, 2)
    return total / xp.where(weight > 0, weight, 1), weight


def _taps(start: int, stop: int, factor: float, have: tuple[int, int]) -> _Taps:
    position = np.arange(start, stop, dtype=np.float64)
    found = _area_taps(position, factor) if factor >= 1 else _linear_taps(position, factor)
    index, weight = found
    inside = np.clip(index, have[0], have[1] - 1) - have[0]
    return _Taps(inside, weight.astype(np.float32))


def _area_taps(
    position: npt.NDArray[np.float64], factor: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Share of each input pixel in the interval that an output pixel covers."""
    low, high = position * factor, (position + 1) * factor
    first = np.floor(low + ROUNDING).astype(np.intp)
    steps = np.arange(math.ceil(factor - ROUNDING) + 1)[:, None]
    index = first + steps
    overlap = np.minimum(index + 1, high) - np.maximum(index, low)
    weight = np.clip(overlap, 0, None)
    weight[weight < ROUNDING] = 0
    return index, weight / weight.sum(axis=0)


def _linear_taps(
    position: npt.NDArray[np.float64], factor: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """The two input pixels around an output pixel's centre."""
    centre = (position + 0.5) * factor - 0.5
    first = np.floor(centre).astype(np.intp)
    share = centre - first
    return np.stack([first, first + 1]), np.stack([1 - share, share])


def _along(data: Array, taps: _Taps, axis: int) -> Array:
    shape = [1, 1, 1]
    shape[axis] = -1
    parts = (
        namespace(data).take(data, beside(index, data), axis=axis)
        * beside(weight.reshape(shape), data)
        for index, weight in zip(taps.index, taps.weight, strict=True)
        if weight.any()
    )
    total = next(parts)
    for part in parts:
        total += part
    return total


def nearest(
    mask: npt.NDArray[np.bool_], have: Window, want: Window, factors: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """The input's mask at the centres of the output's pixels.

    Args:
        mask: ``[H, W]`` over ``have``.
        have: Window of the input's lattice.
        want: Window of the output's lattice.
        factors: Input pixels per output pixel.
    """
    rows = _centres(want.row, want.row_stop, factors[0]) - have.row
    cols = _centres(want.col, want.col_stop, factors[1]) - have.col
    rows, cols = rows.clip(0, have.height - 1), cols.clip(0, have.width - 1)
    return mask[np.ix_(rows, cols)]


def _centres(start: int, stop: int, factor: float) -> npt.NDArray[np.intp]:
    centres: npt.NDArray[np.intp] = np.floor((np.arange(start, stop) + 0.5) * factor).astype(
        np.intp
    )
    return centres
