"""What an encoder is shown: observations in physical units, NaN where nothing was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.models.encoders.bands import NIR, RED, S1_BANDS, S2_BANDS, S2_GROUPS

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Inputs = dict[str, npt.NDArray[Any]]
"""A network's inputs by name."""
WIDTH = 128
"""Numbers of an embedding, and of every token on its way there."""
MONTHS = 12
LONGEST = 24
"""Dates of the longest series that the encoders have positions for."""
UNKNOWN_COVER = 9
"""Dynamic World's classes are 0 to 8; this one says that there is none."""


@dataclass(frozen=True, slots=True)
class ChipSeries:
    """N chips of one shape, each seen on T dates by Sentinel-2, by Sentinel-1 or by both.

    A value that is not finite was not seen; a band that is missing is NaN throughout.
    """

    months: I64
    """``[N, T]``, January is 0; dates in the order of time."""
    s2: F32 | None = None
    """``[N, T, 10, H, W]``, ``S2_BANDS`` as reflectance times 10000."""
    s1: F32 | None = None
    """``[N, T, 2, H, W]``, ``S1_BANDS`` as decibels."""
    gsd: float = 10.0
    """Edge of a pixel, metres."""

    def __post_init__(self) -> None:
        _check_months(self.months)
        _check("s2", self.s2, (*self.months.shape, len(S2_BANDS), *self.size))
        _check("s1", self.s1, (*self.months.shape, len(S1_BANDS), *self.size))

    def __len__(self) -> int:
        return len(self.months)

    @property
    def size(self) -> tuple[int, ...]:
        """Rows and columns, pixels.

        Raises:
            EngineError: ``MODEL_FAILED`` when no sensor is given.
        """
        for given in (self.s2, self.s1):
            if given is not None:
                return given.shape[3:]
        raise _unfit("neither Sentinel-2 nor Sentinel-1", "one of them at least")

    def inputs(self, number: int) -> Inputs:
        """One chip as the network takes it: both sensors, one of them may be all NaN."""
        months = self.months[number]
        return {
            "months": months,
            "gsd": np.array([self.gsd], np.float32),
            "s2": _part(self.s2, number, (len(months), len(S2_BANDS), *self.size)),
            "s1": _part(self.s1, number, (len(months), len(S1_BANDS), *self.size)),
        }


@dataclass(frozen=True, slots=True)
class PixelSeries:
    """N pixels, each with its place and T months of whatever was seen there.

    A value that is not finite was not seen; what is None was seen nowhere.
    """

    latlon: F32
    """``[N, 2]``, latitude and longitude, degrees."""
    months: I64
    """``[N, T]``, January is 0; one a month, in the order of time."""
    s2: F32 | None = None
    """``[N, T, 10]``, ``S2_BANDS`` as reflectance times 10000."""
    s1: F32 | None = None
    """``[N, T, 2]``, ``S1_BANDS`` as decibels."""
    era5: F32 | None = None
    """``[N, T, 2]``, ERA5's temperature at 2 m (K) and precipitation of the month (m)."""
    srtm: F32 | None = None
    """``[N, 2]``, elevation (m) and slope (degrees)."""
    cover: I64 | None = None
    """``[N, T]``, Dynamic World's class, or ``UNKNOWN_COVER``."""

    def __post_init__(self) -> None:
        _check_months(self.months)
        _check("latlon", self.latlon, (len(self), 2))
        for name, shape in self._shapes().items():
            _check(name, getattr(self, name), (len(self), *shape))

    def __len__(self) -> int:
        return len(self.months)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """What a pixel has of each source."""
        dates = self.months.shape[1]
        sizes = {"s2": (dates, len(S2_BANDS)), "s1": (dates, len(S1_BANDS)), "era5": (dates, 2)}
        return {**sizes, "srtm": (2,), "cover": (dates,)}

    def inputs(self, part: I64) -> Inputs:
        """Some of the pixels as the network takes them: all sources, some may be all NaN."""
        own = {n: _part(getattr(self, n), part, (len(part), *s)) for n, s in self._shapes().items()}
        if self.cover is None:
            own["cover"] = np.full((len(part), self.months.shape[1]), UNKNOWN_COVER, np.int64)
        return {"latlon": self.latlon[part], "months": self.months[part], **own}

    def seen(self) -> Flags:
        """Which tokens there are: ``[N, K]``, those of a group of bands together, in time's order.

        Groups are Sentinel-1, those of Sentinel-2, the vegetation index, weather, terrain (one
        token, not T) and land cover.
        """
        dates = self.months.shape[1]
        s2 = [[*bands] for bands in S2_GROUPS.values()]
        parts = [_finite(self.s1, [0, 1], len(self), dates)]
        parts += [_finite(self.s2, bands, len(self), dates) for bands in (*s2, [NIR, RED])]
        parts.append(_finite(self.era5, [0, 1], len(self), dates))
        terrain = None if self.srtm is None else self.srtm[:, None]
        parts.append(_finite(terrain, [0, 1], len(self), 1))
        unknown = np.zeros((len(self), dates), np.bool_)
        parts.append(unknown if self.cover is None else self.cover != UNKNOWN_COVER)
        return np.concatenate(parts, 1)


def _finite(values: F32 | None, bands: Sequence[int], count: int, dates: int) -> Flags:
    if values is None:
        return np.zeros((count, dates), np.bool_)
    return np.asarray(np.isfinite(values[..., bands]).all(-1))


def _part(
    array: npt.NDArray[Any] | None, part: int | I64, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    return np.full(shape, np.nan, np.float32) if array is None else array[part]


def _check_months(months: I64) -> None:
    if months.ndim != len("NT") or not 1 <= months.shape[1] <= LONGEST:
        raise _unfit(f"months of shape {list(months.shape)}", f"[N, T], T from 1 to {LONGEST}")
    if months.size and not (months.min() >= 0 and months.max() < MONTHS):
        raise _unfit("months outside of 0 to 11", "January as 0")


def _check(name: str, array: npt.NDArray[Any] | None, wanted: tuple[int, ...]) -> None:
    if array is not None and array.shape != wanted:
        raise _unfit(f"{name} of shape {list(array.shape)}", str(list(wanted)))


def _unfit(found: str, wanted: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_FAILED,
        f"An encoder was given {found}; it takes {wanted}.",
        "Choose the layers and dates that the model was made for.",
    )
