"""What rasters say of plots: means by exact coverage, or the pixels themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.analyses.plots import Plots, Shapes
from engine.calibrate.footprints import Footprint, footprint
from engine.calibrate.samples import F32, Ints
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.grid import Grid
from engine.geo.window import Window

Mask = npt.NDArray[np.bool_]
HALF = 0.5
"""Of a plot that must lie on pixels with data; of a pixel that must lie in a polygon of a class."""
MOST_PIXELS = 200
"""Of one polygon of a class: more tell little that is new."""
PROBES = 500
"""Places at which the area of applicability is looked at."""
OUTSIDE, BARE, SEEN = range(3)


class Reader(Protocol):
    """Open rasters."""

    @property
    def grid(self) -> Grid:
        """Their pixels."""
        ...

    def read(self, window: Window) -> tuple[F32, Mask]:
        """Channels ``[C, H, W]``, and where all have data."""
        ...


@dataclass(frozen=True, eq=False)
class Gathered:
    """Numbers of the plots that can be used."""

    features: F32
    """``[n, F]``"""
    plots: Ints
    """``[n]``: of which plot each row is."""
    notes: tuple[str, ...]
    """Which plots were left out, and why."""


def gather(
    reader: Reader,
    plots: Plots,
    shapes: Shapes,
    step: Callable[[int, int], None],
    *,
    as_pixels: bool,
    seed: int,
) -> Gathered:
    """What the rasters say of every plot.

    A plot is left out, and told of, when less than half of it has data in all rasters.

    Args:
        reader: The rasters.
        plots: Of the layer.
        shapes: The same in pixels of the grid.
        step: Told of plots done, of how many.
        as_pixels: Whether each pixel is a row of its own (of classes), or each plot (of amounts).
        seed: Of the choice among many pixels.

    Raises:
        EngineError: ``EXTENT_OUTSIDE`` when no plot lies on the rasters, ``SCALE_IMPLAUSIBLE`` when
            none has data.
    """
    random = np.random.default_rng(seed)
    rows, owners, states = [], [], []
    for number, shape in enumerate(shapes):
        if number % 50 == 0:
            step(number, len(shapes))
        state, found = _of_plot(reader, footprint(shape, reader.grid), as_pixels=as_pixels)
        if len(found) > MOST_PIXELS:
            found = found[np.sort(random.choice(len(found), MOST_PIXELS, replace=False))]
        states.append(state)
        rows.append(found)
        owners.append(np.full(len(found), number))
    step(len(shapes), len(shapes))
    _check_any(plots, np.array(states))
    return Gathered(
        np.concatenate([r for r in rows if len(r)]).astype(np.float32),
        np.concatenate(owners).astype(np.int64),
        tuple(_left_out(plots, np.array(states))),
    )


def probe(reader: Reader, support: float, seed: int) -> F32:
    """Features ``[n, F]`` of places drawn at random from all over the rasters.

    Args:
        reader: The rasters.
        support: Pixels along a place.
        seed: Of the draw.
    """
    random = np.random.default_rng(seed)
    height, width = reader.grid.shape
    edge, found = max(round(support), 1), []
    for _ in range(PROBES):
        row, col = int(random.integers(height)), int(random.integers(width))
        window = Window(row, col, edge, edge).intersect(reader.grid.window)
        channels, valid = reader.read(window)
        valid = valid & np.isfinite(channels).all(axis=0)
        if valid.mean() >= HALF:
            found.append(channels[:, valid].mean(axis=1))
    return np.array(found, np.float32)


def _of_plot(reader: Reader, found: Footprint | None, *, as_pixels: bool) -> tuple[int, F32]:
    nothing = np.empty((0, 0), np.float32)
    if found is None or found.inside < HALF:
        return OUTSIDE, nothing
    channels, valid = reader.read(found.window)
    valid = valid & np.isfinite(channels).all(axis=0)
    if as_pixels:
        chosen = valid & (found.weights >= min(HALF, float(found.weights.max())))
        return (SEEN if chosen.any() else BARE), channels[:, chosen].T
    weights = found.weights * valid
    if weights.sum() < HALF * found.weights.sum() / found.inside:
        return BARE, nothing
    flat = channels.reshape(len(channels), -1).astype(np.float64)
    flat = np.where(valid.reshape(-1), flat, 0)
    return SEEN, (flat @ weights.reshape(-1) / weights.sum()).astype(np.float32)[None]


def _check_any(plots: Plots, states: Ints) -> None:
    if (states == SEEN).any():
        return
    if (states == OUTSIDE).all():
        raise EngineError(
            ErrorCode.EXTENT_OUTSIDE,
            f"None of the {len(plots)} plots of {plots.shown} lies on the rasters.",
            "Check that they are of the same place, and their coordinate reference systems.",
        )
    raise EngineError(
        ErrorCode.SCALE_IMPLAUSIBLE,
        f"None of the {len(plots)} plots of {plots.shown} lies where all rasters have data.",
        "Check the rasters' nodata values and where they overlap.",
    )


def _left_out(plots: Plots, states: Ints) -> Sequence[str]:
    why = {
        OUTSIDE: "lie outside the rasters, or with less than half of their area on them",
        BARE: "have less than half of their area where all rasters have data",
    }
    return [
        f"{(states == state).sum()} of {len(plots)} plots are left out, since they {reason} "
        f"({plots.named(states == state)})."
        for state, reason in why.items()
        if (states == state).any()
    ]
