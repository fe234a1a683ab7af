"""The variance of a sum of spatially correlated errors, over fields of any size.

Errors ``e`` of pixels with standard deviations ``s`` and correlation ``ρ`` by distance have a
weighted sum ``Σ w e`` of variance ``ΣΣ f_i f_j ρ(h_ij)`` with ``f = w s``. On a regular grid that
is ``f · (ρ * f)``, a convolution. Three ways compute it:

- ``covariance_of_sums``: by one FFT. Exact. Memory about 150 bytes a pixel.
- ``variance_by_tiles``: by FFTs of overlapping tiles, which ignores pairs farther apart than the
  distance where the correlation falls below 1e-5 (an error of the variance of at most about
  1e-4 for an exponential correlation, none for a spherical one). Memory of a tile and its margins.
- ``variance_on_lattice``: of sums over cells of several pixels, with the mean correlation between
  cells instead of that between their pixels. Exact where ``f`` is constant within cells, near
  where the correlation reaches over many cells. The nugget's part is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.assess.variogram import Correlation, Shape
from engine.geo.window import Window

F64 = npt.NDArray[np.float64]
Read = Callable[[Window], F64]
"""Weight times standard deviation of a window's pixels ``[h, w]``; 0 where they do not count."""

NEGLIGIBLE = 1e-5
"""Correlations below are taken for none, where pairs must be left out."""
WHOLE = 2_000_000
"""Pixels of a field that one FFT takes: about 0.3 GB."""
TILE = 512
NEAR = 5
"""Cells apart, up to which all pairs of pixels are looked at."""
WIDEST = 1024
"""Pixels of margin around a tile; of longer correlations sums over cells are taken."""


@dataclass(frozen=True)
class Spacing:
    """What lies between neighbouring pixels' centres, in the unit of the correlation's range."""

    row: float
    col: float


def covariance_of_sums(
    first: F64, second: F64, spacing: Spacing, correlation: Correlation
) -> float:
    """Covariance of two weighted sums of errors of one correlated field; exact.

    Args:
        first: ``[H, W]`` weight times standard deviation in the first sum.
        second: ``[H, W]`` the same in the second: another zone, another date.
        spacing: Of the pixels.
        correlation: Of the errors.
    """
    alone = float((first * second).sum())
    if correlation.shape is Shape.NUGGET:
        return alone
    rows, cols = (_padded(n) for n in first.shape)
    kernel = correlation.smooth(_distances(rows, cols, spacing))
    smoothed = _convolved(first, kernel)[: first.shape[0], : first.shape[1]]
    share = correlation.nugget
    return share * alone + (1 - share) * float((smoothed * second).sum())


def variance_of_sum(
    read: Read, shape: tuple[int, int], spacing: Spacing, correlation: Correlation
) -> float:
    """Variance of a weighted sum of correlated errors, the way that fits the field's size.

    One FFT up to two million pixels; then tiles where the correlation reaches no farther than
    1024 pixels; else cells so large that it does, and at least so large that two million cells
    hold the field.

    Args:
        read: Gives the field piece by piece.
        shape: Rows and columns of the whole field.
        spacing: Of the pixels.
        correlation: Of the errors.
    """
    if shape[0] * shape[1] <= WHOLE:
        field = read(Window(0, 0, *shape))
        return covariance_of_sums(field, field, spacing, correlation)
    reach = math.ceil(reach_of(correlation) / min(spacing.row, spacing.col))
    if reach <= WIDEST:
        return variance_by_tiles(read, shape, spacing, correlation)
    cell = max(math.ceil(reach / WIDEST), math.ceil(math.sqrt(shape[0] * shape[1] / WHOLE)))
    return variance_on_lattice(read, shape, spacing, correlation, cell)


def variance_by_tiles(
    read: Read,
    shape: tuple[int, int],
    spacing: Spacing,
    correlation: Correlation,
    tile: int = TILE,
) -> float:
    """The same by overlapping tiles: exact up to correlations below 1e-5.

    Args:
        read: Gives the field; each pixel is read as often as tiles and margins hold it.
        shape: Rows and columns of the whole field.
        spacing: Of the pixels.
        correlation: Of the errors.
        tile: Side of a tile; never less than the margin.
    """
    reach = reach_of(correlation)
    margins = tuple(math.ceil(reach / s) for s in (spacing.row, spacing.col))
    tile = max(tile, *margins)
    kernel = _tile_kernel(tile, margins, spacing, correlation, reach)
    total = 0.0
    for row in range(0, shape[0], tile):
        for col in range(0, shape[1], tile):
            keep = Window(row, col, min(tile, shape[0] - row), min(tile, shape[1] - col))
            total += _tile_sum(read, shape, keep, margins, kernel=kernel, nugget=correlation.nugget)
    return total


def variance_on_lattice(
    read: Read,
    shape: tuple[int, int],
    spacing: Spacing,
    correlation: Correlation,
    cell: int,
) -> float:
    """The same from sums over cells of ``cell`` by ``cell`` pixels; see above how near it comes."""
    rows, cols = (math.ceil(n / cell) for n in shape)
    sums, squares = np.zeros((rows, cols)), 0.0
    for row in range(rows):
        strip = read(Window(row * cell, 0, min(cell, shape[0] - row * cell), shape[1]))
        squares += float((strip**2).sum())
        sums[row] = np.add.reduceat(strip.sum(axis=0), np.arange(0, shape[1], cell))
    kernel = _cell_correlation(_padded(rows), _padded(cols), spacing, correlation, cell)
    smoothed = _convolved(sums, kernel)[:rows, :cols]
    share = correlation.nugget
    return share * squares + (1 - share) * float((smoothed * sums).sum())


def reach_of(correlation: Correlation) -> float:
    """Distance from which on the correlation is negligible, in its own unit."""
    if correlation.shape is Shape.NUGGET:
        return 0.0
    if correlation.shape is Shape.SPHERICAL:
        return correlation.range
    return -correlation.range * math.log(NEGLIGIBLE)


def _padded(n: int) -> int:
    """A length without wrap-around that FFTs are fast at."""
    from scipy import fft  # noqa: PLC0415, heavy on the way to the command line's help

    return int(fft.next_fast_len(2 * n - 1, real=True))


def _steps(n: int) -> F64:
    """Distance in steps from the first place of a ring of ``n``."""
    place = np.arange(n)
    return np.minimum(place, n - place).astype(float)


def _distances(rows: int, cols: int, spacing: Spacing) -> F64:
    return np.hypot(_steps(rows)[:, None] * spacing.row, _steps(cols)[None, :] * spacing.col)


def _convolved(field: F64, kernel: F64) -> F64:
    """Circular convolution of a field, filled up with 0, with a kernel."""
    from scipy import fft  # noqa: PLC0415, heavy on the way to the command line's help

    spectrum = fft.rfft2(field, kernel.shape)
    spectrum *= fft.rfft2(kernel)
    return np.asarray(fft.irfft2(spectrum, kernel.shape), float)


def _tile_kernel(
    tile: int,
    margins: tuple[int, ...],
    spacing: Spacing,
    correlation: Correlation,
    reach: float,
) -> F64:
    from scipy import fft  # noqa: PLC0415, heavy on the way to the command line's help

    rows, cols = (int(fft.next_fast_len(tile + 2 * m, real=True)) for m in margins)
    distance = _distances(rows, cols, spacing)
    return np.where(distance <= reach, correlation.smooth(distance), 0.0)


def _tile_sum(
    read: Read,
    shape: tuple[int, int],
    keep: Window,
    margins: tuple[int, ...],
    *,
    kernel: F64,
    nugget: float,
) -> float:
    """A tile's part of the sum: its pixels with all that they are correlated with."""
    top, left = max(keep.row - margins[0], 0), max(keep.col - margins[1], 0)
    bottom = min(keep.row_stop + margins[0], shape[0])
    right = min(keep.col_stop + margins[1], shape[1])
    field = read(Window.from_spans((top, bottom), (left, right)))
    inner = (
        slice(keep.row - top, keep.row_stop - top),
        slice(keep.col - left, keep.col_stop - left),
    )
    own = field[inner]
    if not own.any():
        return 0.0
    return nugget * float((own**2).sum()) + (1 - nugget) * float(
        (_convolved(field, kernel)[inner] * own).sum()
    )


def _cell_correlation(
    rows: int, cols: int, spacing: Spacing, correlation: Correlation, cell: int
) -> F64:
    """Mean correlation between the pixels of two cells, by how far apart the cells are.

    Near cells by all pairs of pixels; others by three offsets each way whose mean, variance and
    skewness are those of all pairs.
    """
    spread = math.sqrt((cell**2 - 1) / 2)
    down, across = np.arange(rows // 2 + 1) * cell, np.arange(cols // 2 + 1) * cell
    offsets, chance = np.array([-spread, 0, spread]), np.array([1, 4, 1]) / 6
    quarter = np.zeros((len(down), len(across)))
    for a, first in zip(offsets, chance, strict=True):
        for b, second in zip(offsets, chance, strict=True):
            h = np.hypot((down + a)[:, None] * spacing.row, (across + b)[None, :] * spacing.col)
            quarter += first * second * correlation.smooth(h)
    offsets = np.arange(1 - cell, cell)
    chance = (cell - np.abs(offsets)) / cell**2
    for i, j in np.ndindex(*(min(NEAR, n) for n in quarter.shape)):
        h = np.hypot(
            (down[i] + offsets)[:, None] * spacing.row, (across[j] + offsets)[None, :] * spacing.col
        )
        quarter[i, j] = chance @ correlation.smooth(h) @ chance
    return np.asarray(quarter[np.ix_(_steps(rows).astype(int), _steps(cols).astype(int))], float)
