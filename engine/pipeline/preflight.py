"""Whether two dates can be compared, found out before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.change.shift import NORMAL, ShiftEstimate
from engine.io.warped import is_same_crs
from engine.pipeline.inputs import Inputs
from engine.pipeline.pairing import DatePair, PairSample, date_pair, sampled

Level = Literal["fine", "look", "bad"]
"""Nothing to see; something that a user should look at; results would mislead."""
Topic = Literal["dates", "grids", "overlap", "data", "shift", "brightness", "clouds"]

TOLD: tuple[Topic, ...] = ("shift", "clouds")
"""Worth a sentence even where all is fine."""
BEFORE = "before"
"""The name of an input that is the earlier one, wherever it stands."""
YEAR, SEASON = 365.25, 45
"""Days; and how far apart in the year two dates show other crops and shadows."""
SAME_SIZE = 1.01
MUCH_FINER = 2.0
"""Pixels of the second date that are left out between those that an interpolation takes."""
LEAST_OVERLAP = 0.5
GOOD_DATA, LEAST_DATA = 0.95, 0.2
"""Shares of the overlap with data at both dates."""
GOOD_SHIFT, MOST_SHIFT = 0.2, 1.0
"""Pixels. Above a fifth, a tenth of what seems changed is not (Dai and Khorram 1998, IEEE TGRS
36(5))."""
GOOD_CORRELATION, LEAST_CORRELATION = 0.5, 0.1
MOST_RATIO = 4.0
"""Of the bands' spreads: more comes from another scale of numbers rather than from the ground."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: Topic
    level: Level
    sentence: str


@dataclass(frozen=True)
class BandLikeness:
    """A band at both dates, in physical units, where both have data."""

    band: str
    before_median: float
    before_spread: float
    """Robust standard deviation."""
    after_median: float
    after_spread: float
    correlation: float
    """0 where a date does not vary."""
    slope: float
    """Of the line through both, distances counted across it; 0 where a date does not vary."""


@dataclass(frozen=True)
class Preflight:
    """What is known of two dates before they are compared."""

    dates: tuple[str | None, str | None]
    pixel_sizes: tuple[tuple[float, float] | None, tuple[float, float] | None]
    """``(height, width)`` in metres of each date; None without georeference."""
    is_same_crs: bool
    is_resampled: bool
    """Whether the second date is interpolated to the first one's pixels."""
    overlap: float
    """Share of the first date's grid that the second one covers."""
    has_data: tuple[float, float, float]
    """Shares of the overlap with data: at the first date, at the second, at both."""
    offset: tuple[float, float] | None
    """By which the second date was moved, (x, y) in its CRS."""
    shift: ShiftEstimate
    """What is left, in pixels of the first date."""
    bands: tuple[BandLikeness, ...]
    findings: tuple[Finding, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: the shift, clouds, and whatever is not fine."""
        told = (f for f in self.findings if f.level != "fine" or f.topic in TOLD)
        return tuple(finding.sentence for finding in told)


def preflight_of(inputs: Inputs, known: Sequence[Finding] = ()) -> Preflight | None:
    """Look at the two dates of a run, at a bounded sample of their pixels.

    Args:
        inputs: Of the run.
        known: What was found out before.

    Returns:
        None when the run has not two dates that share bands.

    Raises:
        EngineError: ``INPUT_GRID_MISMATCH`` when no place has data at both dates.
    """
    pair = date_pair(inputs)
    if pair is None:
        return None
    sample = sampled(pair)
    bands = tuple(
        _likeness(band, before, after)
        for band, before, after in zip(pair.bands, sample.before, sample.after, strict=True)
    )
    overlap = pair.overlap.height * pair.overlap.width / np.prod(pair.grid.shape)
    grids = pair.grid, pair.second.scene.grid
    return Preflight(
        dates=(pair.first.date, pair.second.date),
        pixel_sizes=(grids[0].pixel_size_m, grids[1].pixel_size_m),
        is_same_crs=is_same_crs(grids[0].crs, grids[1].crs),
        is_resampled=not pair.is_aligned,
        overlap=float(overlap),
        has_data=sample.has_data,
        offset=pair.second.named.input.offset,
        shift=sample.shift,
        bands=bands,
        findings=(
            _dates(pair),
            _grids(pair),
            _overlap(float(overlap)),
            _data(sample),
            _shift(sample.shift),
            *_brightness(bands),
            *known,
        ),
    )


def _likeness(
    band: str, before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]
) -> BandLikeness:
    one, other = before.astype(np.float64), after.astype(np.float64)
    (var_one, cov), (_, var_other) = np.cov(one, other) if one.size > 1 else np.zeros((2, 2))
    varies = var_one > 0 and var_other > 0
    apart = var_other - var_one
    across = 2 * cov or np.finfo(np.float64).tiny
    slope = (apart + np.sqrt(apart**2 + 4 * cov**2)) / across if varies and cov else 0.0
    return BandLikeness(
        band,
        *_middle(one),
        *_middle(other),
        correlation=float(cov / np.sqrt(var_one * var_other)) if varies else 0.0,
        slope=float(slope),
    )


def _middle(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Median and robust standard deviation."""
    if not values.size:
        return 0.0, 0.0
    median = float(np.median(values))
    return median, float(NORMAL * np.median(np.abs(values - median)))


def _dates(pair: DatePair) -> Finding:
    one, other = _day(pair.first.date), _day(pair.second.date)
    if one is None or other is None:
        days = {"first": one, "second": other}
        which = " and ".join(name for name, day in days.items() if day is None)
        return Finding(
            "dates",
            "look",
            f"Nobody tells when the {which} date was. Give it (--before-date, --after-date), so "
            "that order and seasons can be checked.",
        )
    shown = f"{one.isoformat()} and {other.isoformat()}"
    is_reversed = pair.second.named.name == BEFORE
    if one == other or (other < one) != is_reversed:
        why = "are the same" if one == other else "are in the wrong order"
        return Finding("dates", "look", f"The dates, {shown}, {why}: check which is which.")
    apart = abs((other - one).days)
    turn = apart % YEAR
    if min(turn, YEAR - turn) > SEASON:
        return Finding(
            "dates",
            "look",
            f"{shown} are of other seasons: crops, leaves, snow and shadows change too.",
        )
    return Finding("dates", "fine", f"{shown}: {apart} days between them.")


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def _grids(pair: DatePair) -> Finding:
    first, second = pair.grid, pair.second.scene.grid
    if pair.is_aligned:
        return Finding("grids", "fine", "Both dates have the same pixels: none is resampled.")
    sizes = first.pixel_size_m, second.pixel_size_m
    told = ["another CRS"] if not is_same_crs(first.crs, second.crs) else []
    ratio = 1.0
    if sizes[0] and sizes[1]:
        ratio = sizes[0][1] / sizes[1][1]
        if max(ratio, 1 / ratio) > SAME_SIZE:
            told += [f"pixels of {sizes[1][1]:.4g} m instead of {sizes[0][1]:.4g} m"]
    has = f"has {' and '.join(told)}" if told else "lies between the first one's pixels"
    curve = "cubic" if pair.second.named.input.offset else "linear"
    sentence = f"The second date {has}: it is brought to them by one {curve} interpolation."
    if ratio > MUCH_FINER:
        sentence += " Most of its pixels are left out so: give the coarser scene as it is, and "
        sentence += "the finer one averaged to its pixel size."
    return Finding("grids", "bad" if ratio > MUCH_FINER else "look", sentence)


def _overlap(share: float) -> Finding:
    sentence = f"The second date covers {percent(share)} of the first."
    whole = round(share, 3) == 1
    level: Level = "fine" if whole else "look" if share >= LEAST_OVERLAP else "bad"
    return Finding("overlap", level, sentence if whole else f"{sentence} The rest has no result.")


def _data(sample: PairSample) -> Finding:
    first, second, both = sample.has_data
    level: Level = "fine" if both >= GOOD_DATA else "look" if both >= LEAST_DATA else "bad"
    return Finding(
        "data",
        level,
        f"Where they overlap, {percent(first)} of the first date and {percent(second)} of the "
        f"second have data, {percent(both)} at both.",
    )


def _shift(shift: ShiftEstimate) -> Finding:
    windows = f"{shift.used} of {shift.tried} windows"
    if not shift.is_trusted:
        return Finding(
            "shift",
            "look",
            f"How the dates lie to each other could not be told ({windows} show a clear shift): "
            "look at their edges one above the other.",
        )
    sentence = (
        f"The second date lies {shift.length:.2f} pixels off the first ({shift.rows:+.2f} rows, "
        f"{shift.cols:+.2f} columns; {windows}, spread {shift.spread:.2f})."
    )
    if shift.length <= GOOD_SHIFT:
        return Finding("shift", "fine", sentence)
    level: Level = "look" if shift.length <= MOST_SHIFT else "bad"
    advice = "Edges will look changed; --coregister moves it."
    return Finding("shift", level, f"{sentence} {advice}")


def _brightness(bands: Sequence[BandLikeness]) -> Iterator[Finding]:
    """Of each band that is not alike, or one for all."""
    odd = [finding for finding in map(_unlike, bands) if finding is not None]
    if odd:
        yield from odd
        return
    least = min(band.correlation for band in bands)
    sentence = f"All bands are alike at both dates (correlation {least:.2f} at least)."
    yield Finding("brightness", "fine", sentence)


def _unlike(band: BandLikeness) -> Finding | None:
    spreads = sorted((band.before_spread, band.after_spread))
    known = f"correlation {band.correlation:.2f}, slope {band.slope:.2f}"
    if band.slope == 0:
        why = "has the same value everywhere at one of the dates, or nothing in common"
        return Finding("brightness", "bad", f"«{band.band}» {why}.")
    if band.correlation < LEAST_CORRELATION:
        why = f"does not resemble itself at the other date ({known})"
        advice = "other places, other bands, or clouds?"
        return Finding("brightness", "bad", f"«{band.band}» {why}: {advice}")
    if spreads[0] * MOST_RATIO < spreads[1]:
        told = f"spreads by {band.before_spread:.3g} and by {band.after_spread:.3g}"
        advice = "are the numbers of both of one kind (--input-profile)?"
        return Finding("brightness", "look", f"«{band.band}» {told} at the two dates: {advice}")
    if band.correlation < GOOD_CORRELATION:
        why = f"is much changed between the dates ({known})"
        return Finding("brightness", "look", f"«{band.band}» {why}.")
    return None


def percent(share: float) -> str:
    """For people."""
    return f"{100 * share:.3g} %"
