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
from engine.models.card import ModelInput
from engine.models.encode import Encoding, encoding_of
from engine.pipeline.inputs import Sources
from engine.pipeline.plan import Recipe

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
    months: tuple[int, ...] = ()
    """Of a series' dates."""

    def read(self, tile: Tile) -> Chips:
        """The stored pixels under a tile."""
        window = self.recipe.lattice.source_for(tile.read)
        chips = tuple(tuple(s.read(window) for s in several) for several in self.sources)
        needed = (
            functools.reduce(np.logical_or, [c.valid for c in several])
            for given, several in zip(self.recipe.card.inputs, chips, strict=True)
            if not given.is_optional
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
            self._array(given, several, encodings, tile) for given, several, encodings in inputs
        ]
        return self._joined(arrays), self._seen(chips, tile)

    def _array(
        self, given: ModelInput, chips: Sequence[Chip], encodings: Sequence[Encoding], tile: Tile
    ) -> Array:
        """One input on the lattice, filled up to the size that the model takes.

        Encoding comes before the resampling, which is linear like most of it, so that codes are
        resampled as the channels that they become.
        """
        dates = [self._date(given, *pair, tile) for pair in zip(chips, encodings, strict=True)]
        if given.dates:
            return namespace(dates[0]).stack(dates)
        if dates:
            return dates[0]
        padded = (self.recipe.rule.padded(n) for n in tile.read.shape)
        return self.upload(np.full((given.channels, *padded), given.fill, np.float32))

    def _date(self, given: ModelInput, chip: Chip, encoding: Encoding, tile: Tile) -> Array:
        has_data = None if chip.valid.all() else chip.valid
        place = self.recipe.grid.degrees(chip.window) if encoding.needs_place else None
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
        months = np.array([self.months], np.float32)
        return (*own, self.upload(months)) if self.months else own

    @functools.cached_property
    def _encodings(self) -> tuple[tuple[Encoding, ...], ...]:
        inputs = zip(self.recipe.card.inputs, self.sources, strict=True)
        return tuple(
            tuple(
                encoding_of(
                    given,
                    [band.scaling.scale for band in source.bands],
                    [band.scaling.offset for band in source.bands],
                )
                for source in several
            )
            for given, several in inputs
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
