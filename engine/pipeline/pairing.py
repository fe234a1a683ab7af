"""The two dates of a run, and a systematic sample of what they have in common."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.change.shift import Pair, ShiftEstimate, estimate_shift
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.chip import Chip
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.mosaic import place
from engine.io.source import Source
from engine.pipeline.inputs import Given, Inputs, Sources

F32 = npt.NDArray[np.float32]

MOST_WINDOWS = 6
"""Along each axis."""
FURTHER = "also"
"""How the names of inputs begin that are further dates: they help to compare the two."""
EDGES = (256, 128, 64, 32)
"""Of a sample's windows in pixels: the widest of which four fit along the shorter axis, ..."""
FITTING = 4
SMALLEST_FITTING = 2
"""... or two of the narrowest."""
SHIFT_BANDS = 3
"""Of which a shift is estimated, evenly chosen."""
THINNED = 64
"""Pixels along an edge of a window that are kept to compare brightness."""
SCAN_EDGE = 2048
"""Of windows in which data are looked for where the sample had none."""


@dataclass(frozen=True)
class DatePair:
    """Two scenes of a run that show the same bands."""

    inputs: Inputs
    first: Given
    second: Given
    bands: tuple[str, ...]
    """Roles that both have."""
    places: tuple[tuple[int, int], tuple[int, int]]
    """Of both among the sources of a run."""

    @functools.cached_property
    def grid(self) -> Grid:
        """The common one."""
        return self.inputs.grid

    @functools.cached_property
    def overlap(self) -> Window:
        """The part of the grid that the second scene covers."""
        spot = place(self.second.scene.grid, self.grid)
        return spot.window.intersect(self.grid.window) if spot else Window(0, 0, 0, 0)

    @property
    def is_aligned(self) -> bool:
        """Whether the second scene's pixels are taken as they are."""
        spot = place(self.second.scene.grid, self.grid)
        return spot is not None and spot.is_aligned

    def sources(self, opened: Sources) -> tuple[Source, Source]:
        """Those of the two dates."""
        one, other = (opened[number][index] for number, index in self.places)
        return one, other


@dataclass(frozen=True, eq=False)
class PairSample:
    """What was read of both dates."""

    shift: ShiftEstimate
    """In pixels of the common grid."""
    has_data: tuple[float, float, float]
    """Shares of the overlap with data: at the first date, at the second, at both."""
    before: F32
    """``[C, n]`` physical values where both dates have data."""
    after: F32


def date_pair(inputs: Inputs) -> DatePair | None:
    """The two dates of a run; None when it has fewer or more, or nothing to compare."""
    scenes = [
        (one, wanted, (number, index))
        for number, (several, wanted) in enumerate(
            zip(inputs.given, inputs.card.inputs, strict=True)
        )
        for index, one in enumerate(several)
        if not wanted.is_class_map and not wanted.name.startswith(FURTHER)
    ]
    if len(scenes) != 2:  # noqa: PLR2004 - dates
        return None
    (first, one, here), (second, other, there) = scenes
    shared = tuple(role for role in one.bands if role in other.bands)
    return DatePair(inputs, first, second, shared, (here, there)) if shared else None


def sampled(pair: DatePair) -> PairSample:
    """Read evenly spread windows of both dates, at most 36 of 256 pixels along an edge.

    Raises:
        EngineError: ``INPUT_GRID_MISMATCH`` when no place has data at both dates.
    """
    with pair.inputs.sources() as opened:
        sources = pair.sources(opened)
        windows = _windows(pair.overlap)
        read = [tuple(_chip(s, pair.bands, window) for s in sources) for window in windows]
        shares = np.array([(*(c.valid.mean() for c in two), _both(*two).mean()) for two in read])
        if not shares[:, 2].any():
            _check_not_apart(sources, pair.overlap)
    square = [_shift_pair(*two) for two in read if min(two[0].valid.shape) >= EDGES[-1]]
    before, after = zip(*(_thinned(*two) for two in read), strict=True)
    share = shares.mean(axis=0)
    return PairSample(
        estimate_shift(square),
        (float(share[0]), float(share[1]), float(share[2])),
        np.concatenate(before, axis=1),
        np.concatenate(after, axis=1),
    )


def _chip(source: Source, bands: Sequence[str], window: Window) -> Chip:
    """Physical values of the shared bands."""
    roles = [band.role for band in source.bands]
    chip = source.read(window)
    chosen = [roles.index(role) for role in bands]
    scalings = [source.bands[i].scaling for i in chosen]
    scale, offset = (
        np.array([getattr(s, name) for s in scalings], np.float32)[:, None, None]
        for name in ("scale", "offset")
    )
    return Chip(chip.data[chosen].astype(np.float32) * scale + offset, chip.valid, window)


def _both(one: Chip, other: Chip) -> npt.NDArray[np.bool_]:
    return one.valid & other.valid


def _shift_pair(one: Chip, other: Chip) -> Pair:
    count = len(one.data)
    chosen = sorted({round(n) for n in np.linspace(0, count - 1, min(SHIFT_BANDS, count))})
    return Pair(one.data[chosen], other.data[chosen], one.valid, other.valid)


def _thinned(one: Chip, other: Chip) -> tuple[F32, F32]:
    """Some of the pixels with data at both dates."""
    step = -(-max(one.valid.shape) // THINNED)
    both = _both(one, other)[::step, ::step]
    return one.data[:, ::step, ::step][:, both], other.data[:, ::step, ::step][:, both]


def _windows(area: Window) -> list[Window]:
    """Windows of one size, spread evenly over an area; all of it when it is small."""
    shorter = min(area.shape)
    edge = next((e for e in EDGES if shorter >= FITTING * e), EDGES[-1])
    if shorter < SMALLEST_FITTING * edge:
        edge = shorter
    return [
        Window(area.row + row, area.col + col, edge, edge)
        for row in _starts(area.height, edge)
        for col in _starts(area.width, edge)
    ]


def _starts(length: int, edge: int) -> list[int]:
    """Of windows that overlap by half at most."""
    count = min(MOST_WINDOWS, max(1, 2 * length // edge - 1))
    return sorted({round(n) for n in np.linspace(0, length - edge, count)})


def _check_not_apart(sources: tuple[Source, Source], area: Window) -> None:
    """Look through all of the overlap, since the sample found no place with data at both dates.

    Raises:
        EngineError: ``INPUT_GRID_MISMATCH``.
    """
    found = [False, False]
    for row in range(area.row, area.row_stop, SCAN_EDGE):
        for col in range(area.col, area.col_stop, SCAN_EDGE):
            window = Window(row, col, SCAN_EDGE, SCAN_EDGE).intersect(area)
            one, other = (source.read(window) for source in sources)
            if _both(one, other).any():
                return
            found = [had or bool(c.valid.any()) for had, c in zip(found, (one, other), strict=True)]
    names = [n for n, had in zip(("first", "second"), found, strict=True) if not had]
    empty = f"the {' and the '.join(names)} date has no data there at all"
    why = empty if names else "where one date has data, the other has none"
    raise EngineError(
        ErrorCode.INPUT_GRID_MISMATCH,
        f"No place has data at both dates: {why}.",
        "Give two scenes of one place, and check their nodata values.",
    )
