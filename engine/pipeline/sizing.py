"""How large the tiles of a run are, and what the run will cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.lattice import Lattice
from engine.geo.tiling import TileRule, Tiling
from engine.geo.window import Window
from engine.models.measure import Measurement, Point

MIB = 2**20
DEFAULT_MEMORY = 1500 * MIB
"""Bytes that a run may use when nobody says otherwise."""
ENGINE_MEMORY = 300 * MIB
"""Bytes of the engine's process itself: libraries, GDAL's cache, blocks in hand."""
TILE_SECONDS = 0.001
"""Of one tile besides the model: reading, merging, bookkeeping."""
GOOD_ENOUGH = 1.02
"""A smaller tile is taken when it costs this much of the best time at most."""
NOISE = 1.1
"""Sizes whose pixels take up to this much of the fastest one's time count as equally fast: a short
measurement tells no less, and the overlap that a size wastes is known exactly."""


@dataclass(frozen=True)
class Estimate:
    """What a run will cost, from a measurement of this model on this device."""

    tiles: int
    computed: int
    """Pixels that go through the model, overlaps included."""
    kept: int
    """Pixels of the model's lattice that are delivered."""
    seconds: float
    memory: int
    """Bytes at the peak."""
    disk: int
    """Bytes of the blocks while the job runs."""


def choose_size(
    rule: TileRule, lattice: Lattice, region: Window, measurement: Measurement, memory: int
) -> TileRule:
    """The tile size that takes the least time within ``memory`` bytes.

    Large tiles waste less on overlap, need more memory, and may run slower for each pixel.

    Raises:
        EngineError: ``OUT_OF_MEMORY`` when not even the smallest size fits.
    """
    if rule.fixed:
        return rule
    fitting = [p for p in _smoothed(measurement) if ENGINE_MEMORY + p.memory <= memory]
    if not fitting:
        least = (ENGINE_MEMORY + min(p.memory for p in measurement.points)) // MIB
        raise EngineError(
            ErrorCode.OUT_OF_MEMORY,
            f"The model needs about {least} MiB, more than the {memory // MIB} MiB allowed.",
            "Allow more with --memory, or choose a smaller model.",
        )
    times = {p.size: _seconds(_sized(rule, p), lattice, region, p, measurement) for p in fitting}
    limit = GOOD_ENOUGH * min(times.values())
    return replace(rule, size=min(size for size, time in times.items() if time <= limit))


def estimate(
    rule: TileRule, lattice: Lattice, region: Window, measurement: Measurement, bands: int
) -> Estimate:
    """What a run with tiles by ``rule`` will cost; ``bands`` bytes are kept for each pixel."""
    tiling = Tiling(lattice.shape, lattice.cover(region), rule)
    point = measurement.at(rule.size)
    return Estimate(
        tiles=tiling.count,
        computed=tiling.computed_pixels,
        kept=tiling.region.height * tiling.region.width,
        seconds=_seconds(rule, lattice, region, point, measurement),
        memory=ENGINE_MEMORY + point.memory,
        disk=bands * region.height * region.width,
    )


def sentence(cost: Estimate) -> str:
    """The estimate for a person."""
    overlap = cost.computed / cost.kept
    return (
        f"{cost.kept / 1e6:.3g} million pixels in {cost.tiles} tiles ({overlap:.2f} times the "
        f"pixels, for the overlap); expected {_time(cost.seconds)}, {cost.memory // MIB} MiB of "
        f"memory and {max(cost.disk // MIB, 1)} MiB of disk while running."
    )


def _seconds(
    rule: TileRule, lattice: Lattice, region: Window, point: Point, measurement: Measurement
) -> float:
    tiling = Tiling(lattice.shape, lattice.cover(region), rule)
    tiles = tiling.computed_pixels / rule.size**2
    alone = tiles * point.seconds / measurement.threads
    return alone + tiling.count * TILE_SECONDS / measurement.threads


def _smoothed(measurement: Measurement) -> list[Point]:
    """The points without differences in speed that may be noise."""
    fastest = min(p.seconds / p.size**2 for p in measurement.points)
    return [
        replace(p, seconds=fastest * p.size**2) if p.seconds <= NOISE * fastest * p.size**2 else p
        for p in measurement.points
    ]


def _sized(rule: TileRule, point: Point) -> TileRule:
    return replace(rule, size=point.size)


def _time(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004 - a minute and a half still reads well in seconds
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004
