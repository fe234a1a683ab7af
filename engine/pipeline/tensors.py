"""What the network sees of one tile."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, beside, in_memory, namespace
from engine.geo.chip import Chip
from engine.geo.resample import resample
from engine.geo.tiling import Tile
from engine.geo.window import Window
from engine.io.source import Source
from engine.models.card import ModelInput
from engine.models.encode import F64, Encoding, encoding_of
from engine.pipeline.inputs import Sources
from engine.pipeline.plan import Recipe
from engine.pipeline.timeline import Timeline

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chips:
    """What was read for one tile."""

    of_inputs: tuple[tuple[Chip, ...], ...]
    """For each input of the card the chips of its dates."""
    valid: Mask
    """``[H, W]`` on the source's pixels: every input that must be there has a date with data."""
    window: Window
    """On the source's grid."""


@dataclass(frozen=True)
class Tensors:
    """Reads and encodes the tiles of one recipe; safe to call from several threads."""

    recipe: Recipe
    sources: Sources
    """Of the card's inputs, all on the first one's grid."""
    upload: Callable[[npt.NDArray[Any]], Array]
    """Brings stored numbers to where the network computes, see ``runtime.Model.upload``."""
    timeline: Timeline
    """Of the inputs that are series."""

    def read(self, tile: Tile) -> Chips:
        """The stored pixels under a tile."""
        window = self.recipe.lattice.source_for(tile.read)
        chips = tuple(tuple(s.read(window) for s in several) for several in self.sources)
        needed = (
            functools.reduce(np.logical_or, [c.valid for c in several])
            for given, several in zip(self.recipe.card.inputs, chips, strict=True)
            if not (given.is_optional or given.has_gaps)
        )
        return Chips(chips, functools.reduce(np.logical_and, needed), window)

    def encoded(self, chips: Chips, tile: Tile) -> tuple[tuple[Array, ...], Mask | None]:
        """The network's inputs, each a batch of one tile, and where the lattice has data.

        Returns:
            Arrays as the card joins them, where the network computes; and ``[H, W]`` over
            ``tile.read``: made of at least one valid source pixel, None when all are.
        """
        inputs = zip(self.recipe.card.inputs, chips.of_inputs, self._encodings, strict=True)
        arrays = [
            self._series(self._dates(*one, tile), one[0], steps, tile)
            for one, steps in zip(inputs, self.timeline.members, strict=True)
        ]
        return self._joined(arrays), self._seen(chips, tile)

    def _dates(
        self, given: ModelInput, chips: Sequence[Chip], encodings: Sequence[Encoding], tile: Tile
    ) -> list[Array]:
        """One input on the lattice, filled up to the size that the model takes.

        Encoding comes before the resampling, which is linear like most of it, so that codes are
        resampled as the channels that they become.
        """
        place = None
        if any(encoding.needs_place for encoding in encodings):
            place = self.recipe.grid.degrees(chips[0].window)
        pairs = zip(chips, encodings, strict=True)
        return [self._date(given, chip, encoding, place, tile) for chip, encoding in pairs]

    def _series(
        self, dates: Sequence[Array], given: ModelInput, steps: Sequence[Sequence[int]], tile: Tile
    ) -> Array:
        """The dates at each step of the timeline; of what is no series the only one, if any."""
        padded = (self.recipe.rule.padded(n) for n in tile.read.shape)
        nothing = np.full((given.channels, *padded), given.fill, np.float32)
        if not given.dates:
            return dates[0] if dates else self.upload(nothing)
        taken = [[dates[n] for n in step] or [self.upload(nothing)] for step in steps]
        return namespace(taken[0][0]).stack([_mean(several, given.fill) for several in taken])

    def _date(
        self, given: ModelInput, chip: Chip, encoding: Encoding, place: F64 | None, tile: Tile
    ) -> Array:
        has_data = None if chip.valid.all() else chip.valid
        encoded = encoding(self.upload(chip.data), has_data, place)
        if not self.recipe.lattice.is_source:
            factors = self.recipe.lattice.factors
            encoded, share = resample(encoded, has_data, chip.window, tile.read, factors)
            encoded = namespace(encoded).where(share > 0, encoded, given.fill)
        return _pad(encoded, self.recipe.rule.padded)

    def _seen(self, chips: Chips, tile: Tile) -> Mask | None:
        if chips.valid.all():
            return None
        if self.recipe.lattice.is_source:
            return chips.valid
        nothing = np.empty((0, *chips.window.shape), np.float32)
        factors = self.recipe.lattice.factors
        share = in_memory(resample(nothing, chips.valid, chips.window, tile.read, factors)[1])
        return share > 0

    def _joined(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        joining, xp = self.recipe.card.joining, namespace(arrays[0])
        if joining == "stacked" and len(arrays) > 1:
            return (xp.stack(arrays)[None],)
        if joining == "channels" and len(arrays) > 1:
            return (xp.concat(arrays)[None],)
        own = tuple(a[None] for a in arrays)
        months = np.array([self.timeline.months], np.float32)
        return (*own, self.upload(months)) if self.timeline.months else own

    @functools.cached_property
    def _encodings(self) -> tuple[tuple[Encoding, ...], ...]:
        inputs = zip(self.recipe.card.inputs, self.sources, strict=True)
        return tuple(
            tuple(encoding_for(given, source) for source in several) for given, several in inputs
        )


def _mean(several: Sequence[Array], fill: float) -> Array:
    """Of what was seen, channel by channel: what is not ``fill``."""
    if len(several) == 1:
        return several[0]
    xp = namespace(several[0])
    stacked = xp.stack(several)
    seen = stacked != fill
    count = xp.sum(xp.astype(seen, xp.float32), axis=0)
    total = xp.sum(xp.where(seen, stacked, 0), axis=0)
    return xp.where(count > 0, total / xp.where(count > 0, count, 1), fill)


def encoding_for(given: ModelInput, source: Source) -> Encoding:
    """The encoding of a source's stored numbers."""
    scalings = [band.scaling for band in source.bands]
    return encoding_of(
        given,
        [scaling.scale for scaling in scalings],
        [scaling.offset for scaling in scalings],
        is_power=all(scaling.is_power for scaling in scalings),
    )


def _pad(encoded: Array, padded: Callable[[int], int]) -> Array:
    """Fill up to the size that the model takes by reflecting at the lower and right edge."""
    height, width = encoded.shape[1:]
    if (padded(height), padded(width)) == (height, width):
        return encoded
    rows, cols = _mirror(height, padded(height)), _mirror(width, padded(width))
    take = namespace(encoded).take
    return take(take(encoded, beside(rows, encoded), axis=1), beside(cols, encoded), axis=2)


def _mirror(length: int, padded: int) -> npt.NDArray[np.intp]:
    """Indices ``0 .. padded`` folded back into ``0 .. length``, however short that is."""
    period = max(2 * (length - 1), 1)
    position = np.arange(padded) % period
    folded: npt.NDArray[np.intp] = np.where(position < length, position, period - position)
    return folded
