"""How far two images of one place lie apart, by the phases of their spectra.

A moved image has the phase of every frequency turned in proportion to the move, whatever sun and
sensor do to brightness. Turned back by a trial move and summed, all frequencies give a smooth
function of that move, whose top is the estimate: no pixel is interpolated. Only middle frequencies
count: low ones are haze and relief, high ones are aliased by sensors and turned too little by any
linear interpolation that the images have been through. (Phase correlation: Kuglin and Hines 1975;
below the pixel: Foroosh et al. 2002, IEEE TIP 11(3); Guizar-Sicairos et al. 2008, Opt. Lett. 33.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Mask = npt.NDArray[np.bool_]

NORMAL = 1.4826
"""Standard deviations in one median absolute deviation of normal noise."""
FARTHEST = 4
"""The part of a window's edge that is searched for the common shift: a quarter."""
NEAR = 2
"""Pixels from the common shift that a window's own may lie in."""
LOW, HIGH = 0.05, 0.25
"""Frequencies that count, in turns per pixel."""
GIANT = 3.0
"""Standard deviations at which values are cut: one bright roof is not the whole scene."""
SOFT = 8
"""Pixels over which weights grow beside missing data."""
FEWEST_VALID = 0.5
"""Share of a window that has data at both dates."""
CLEAR = 5.0
"""Height of a top, in root mean squares of its surface, from which it is no accident."""
STEPS, SETTLED = 20, 1e-4
"""Of Newton's method: most of them, and the move in pixels that ends them."""
FEWEST_WINDOWS = 4
LARGEST_ERROR = 0.1
"""Pixels of standard error up to which an image may be moved."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A window of both dates."""

    before: npt.NDArray[np.floating]
    """``[C, H, W]``"""
    after: npt.NDArray[np.floating]
    """``[C, H, W]``, the same bands."""
    has_before: Mask
    """``[H, W]``: where there is data."""
    has_after: Mask


@dataclass(frozen=True)
class ShiftEstimate:
    """Where the second image lies, seen from the first."""

    rows: float
    """Pixels that it lies too low: the median over windows."""
    cols: float
    """Pixels that it lies too far right."""
    spread: float
    """Robust standard deviation of the windows' shifts in pixels; the larger of both axes."""
    used: int
    """Windows with a clear answer."""
    tried: int
    """Windows with enough data."""

    @property
    def length(self) -> float:
        """Of the shift, in pixels."""
        return float(np.hypot(self.rows, self.cols))

    @property
    def error(self) -> float:
        """Standard error of the median, in pixels."""
        return float(1.2533 * self.spread / np.sqrt(max(self.used, 1)))

    @property
    def is_trusted(self) -> bool:
        """Whether windows enough agree well enough to move an image."""
        return self.used >= max(FEWEST_WINDOWS, self.tried / 4) and self.error <= LARGEST_ERROR


@dataclass(frozen=True, eq=False)
class _Cross:
    """Cross-power spectrum of a window of both dates; zero where frequencies do not count."""

    power: Complex
    """``[H, W // 2 + 1]``"""
    shape: tuple[int, int]

    @property
    def surface(self) -> F64:
        """``[H, W]``: how well both agree after every move by whole pixels."""
        found: F64 = np.fft.irfft2(self.power, self.shape)
        return found

    def top(self, reach: int) -> tuple[int, int, float]:
        """The best move (rows, columns) within a reach, and how far it stands out."""
        moves = np.arange(-reach, reach + 1)
        surface = self.surface
        near = surface[np.ix_(moves, moves)]
        row, col = np.unravel_index(near.argmax(), near.shape)
        noise = float(np.sqrt((surface**2).mean())) or 1.0
        return int(moves[row]), int(moves[col]), float(near.max()) / noise

    def refined(self, row: int, col: int) -> tuple[float, float] | None:
        """The top of the function between the pixels, near a pixel; None when it has none there."""
        used = self.power != 0
        turns = 2 * np.pi * np.stack(np.broadcast_arrays(*_frequencies(self.shape)))[:, used]
        power = self.power[used] * np.where(turns[1] > 0, 2, 1)
        place = np.array([row, col], np.float64)
        for _ in range(STEPS):
            turned = power * np.exp(1j * (place @ turns))
            slope, bend = turns @ turned.imag, (turns * turned.real) @ turns.T
            if np.linalg.eigvalsh(bend)[0] <= 0:
                return None
            step = -np.linalg.solve(bend, slope)
            place += step
            if np.abs(step).max() < SETTLED:
                break
        is_near = np.abs(place - (row, col)).max() < 1
        return (float(place[0]), float(place[1])) if is_near else None


def estimate_shift(pairs: Iterable[Pair]) -> ShiftEstimate:
    """The shift that most windows agree on.

    A shift that all windows have together is found first, by whole pixels; each window then tells
    its own, and their median stays right where a minority shows change, cloud or nothing.

    Args:
        pairs: Windows from all over both images, all of one size, at least 32 pixels wide.

    Returns:
        An estimate with ``used`` 0 when no window tells.
    """
    kept = [pair for pair in pairs if _share(pair) >= FEWEST_VALID]
    crosses = [cross for cross in map(_cross, kept) if cross is not None]
    if not crosses:
        return ShiftEstimate(0.0, 0.0, 0.0, 0, len(kept))
    both = _Cross(np.sum([c.power for c in crosses], axis=0), crosses[0].shape)
    row, col, _ = both.top(min(both.shape) // FARTHEST)
    own = [s for s in (_own_shift(_moved(pair, row, col)) for pair in kept) if s is not None]
    if not own:
        return ShiftEstimate(0.0, 0.0, 0.0, 0, len(kept))
    shifts = np.array(own) + np.array([row, col])
    median = np.median(shifts, axis=0)
    spread = NORMAL * np.median(np.abs(shifts - median), axis=0).max()
    return ShiftEstimate(float(median[0]), float(median[1]), float(spread), len(own), len(kept))


def _share(pair: Pair) -> float:
    return float((pair.has_before & pair.has_after).mean())


def _own_shift(pair: Pair) -> tuple[float, float] | None:
    """Of one window that has been moved by the common shift."""
    cross = _cross(pair)
    if cross is None:
        return None
    row, col, height = cross.top(NEAR)
    return cross.refined(row, col) if height >= CLEAR else None


def _moved(pair: Pair, row: int, col: int) -> Pair:
    """What both dates show of the window after a move by whole pixels."""
    height, width = pair.has_before.shape
    first = slice(max(0, -row), height - max(0, row)), slice(max(0, -col), width - max(0, col))
    second = slice(max(0, row), height - max(0, -row)), slice(max(0, col), width - max(0, -col))
    return Pair(
        pair.before[:, *first],
        pair.after[:, *second],
        pair.has_before[first],
        pair.has_after[second],
    )


def _cross(pair: Pair) -> _Cross | None:
    """The bands' spectra together; None without texture at both dates.

    Dividing by the root of the modulus lies between plain correlation, where few strong
    frequencies decide, and pure phases, where noise counts as much as signal.
    """
    valid = pair.has_before & pair.has_after
    weights = _weights(valid)
    power = np.zeros((valid.shape[0], valid.shape[1] // 2 + 1), np.complex128)
    for one, other in zip(pair.before, pair.after, strict=True):
        spectra = [_spectrum(band, valid, weights) for band in (one, other)]
        cross = np.conj(spectra[0]) * spectra[1]
        power += cross / np.sqrt(np.maximum(np.abs(cross), np.finfo(np.float64).tiny))
    radius = np.hypot(*_frequencies(valid.shape))
    power[(radius < LOW) | (radius > HIGH)] = 0
    return _Cross(power, valid.shape) if power.any() else None


def _spectrum(band: npt.NDArray[np.floating], valid: Mask, weights: F64) -> Complex:
    """Of a band with median 0 and spread 1, faded out where data end."""
    values = band[valid].astype(np.float64)
    if not values.size:
        return np.zeros((valid.shape[0], valid.shape[1] // 2 + 1), np.complex128)
    middle = np.median(values)
    spread = NORMAL * np.median(np.abs(values - middle)) or values.std() or 1.0
    unit = np.where(valid, np.clip((band - middle) / spread, -GIANT, GIANT), 0)
    unit -= (unit * weights).sum() / max(weights.sum(), 1)
    found: Complex = np.fft.rfft2(unit * weights)
    return found


def _weights(valid: Mask) -> F64:
    """A Hann window that also fades beside missing data: edges in common would pull towards 0."""
    hann = np.outer(*(np.hanning(n + 2)[1:-1] for n in valid.shape))
    if valid.all():
        return hann
    from scipy import ndimage  # noqa: PLC0415 - slow to load, and rarely needed

    faded: F64 = hann * np.minimum(ndimage.distance_transform_edt(valid) / SOFT, 1)
    return faded


def _frequencies(shape: Sequence[int]) -> tuple[F64, F64]:
    """Of the rows and columns of a spectrum, in turns per pixel."""
    rows: F64 = np.fft.fftfreq(shape[0]).astype(np.float64)
    cols: F64 = np.fft.rfftfreq(shape[1]).astype(np.float64)
    return rows[:, None], cols[None]
