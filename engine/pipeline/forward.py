"""One tile: from the scene's stored numbers to scores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.chip import Chip
from engine.geo.resample import resample
from engine.geo.tiling import Tile
from engine.geo.window import Window
from engine.io.aoi import Aoi
from engine.io.source import Source
from engine.models.runtime import Model
from engine.pipeline.plan import Recipe
from engine.tasks.segment import Detail, Encoding, SegmentTask

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TileResult:
    """What became of one tile."""

    tile: Tile
    mask: Chip
    """Which source pixels around the tile have data and are asked for; a chip of no bands."""
    scores: F32 | None = None
    """``[K, H, W]`` over ``tile.read``; None when decided already, or nothing was to be seen."""
    has_data: npt.NDArray[np.bool_] | None = None
    """``[H, W]`` over ``tile.read``: lattice pixels made of at least one valid source pixel;
    None: all are."""
    decided: U8 | None = None
    """``[B, H, W]`` over ``tile.keep``, where a pixel's result depends on this tile alone."""


@dataclass(frozen=True)
class Forward:
    """Runs tiles of one recipe; safe to call from several threads."""

    recipe: Recipe
    source: Source
    model: Model
    task: SegmentTask
    aoi: Aoi | None
    detail: Detail

    def __call__(self, tile: Tile) -> TileResult:
        """From the file to scores, or to a result where a tile stands alone."""
        lattice = self.recipe.lattice
        chip = self.source.read(lattice.source_for(tile.read))
        mask = Chip(chip.data[:0], self._wanted(chip), chip.window)
        if not mask.valid[self._served(tile).slices_in(chip.window)].any():
            return TileResult(tile, mask)
        encoded, has_data = self._encoded(chip, tile)
        raw = self.model.predict(_pad(encoded, self.recipe.rule.padded)[None])
        height, width = tile.read.shape
        scores = self.task.activate(raw)[0, :, :height, :width]
        if not self.recipe.stands_alone:
            return TileResult(tile, mask, scores, has_data)
        kept = scores[:, *tile.keep.slices_in(tile.read)]
        valid = mask.valid[tile.keep.slices_in(chip.window)]
        return TileResult(tile, mask, decided=self.task.decide(kept, valid, self.detail))

    def _served(self, tile: Tile) -> Window:
        """Source pixels that the tile's scores may be used for."""
        weighted = self.recipe.card.merge == "weighted"
        return self.recipe.lattice.owned(tile.reach(self.recipe.rule.margin if weighted else 0))

    def _wanted(self, chip: Chip) -> npt.NDArray[np.bool_]:
        if self.aoi is None:
            return chip.valid
        wanted: npt.NDArray[np.bool_] = chip.valid & self.aoi.mask(chip.window)
        return wanted

    def _encoded(self, chip: Chip, tile: Tile) -> tuple[F32, npt.NDArray[np.bool_] | None]:
        """The network's input on the lattice, and where it has data.

        Encoding is linear, so it may come before the resampling.
        """
        has_data = None if chip.valid.all() else chip.valid
        encoded = self._encoding(chip.data, has_data)
        if self.recipe.lattice.is_source:
            return encoded, has_data
        factors = self.recipe.lattice.factors
        moved, share = resample(encoded, has_data, chip.window, tile.read, factors)
        found = share > 0
        moved[:, ~found] = 0
        return moved, found

    @functools.cached_property
    def _encoding(self) -> Encoding:
        rules = [band.scaling for band in self.source.bands]
        return self.task.encoding([r.scale for r in rules], [r.offset for r in rules])


def _pad(encoded: F32, padded: Callable[[int], int]) -> F32:
    """Fill up to the size that the model takes by reflecting at the lower and right edge."""
    height, width = encoded.shape[1:]
    if (padded(height), padded(width)) == (height, width):
        return encoded
    rows, cols = _mirror(height, padded(height)), _mirror(width, padded(width))
    return np.ascontiguousarray(encoded[:, rows][:, :, cols])


def _mirror(length: int, padded: int) -> npt.NDArray[np.intp]:
    """Indices ``0 .. padded`` folded back into ``0 .. length``, however short that is."""
    period = max(2 * (length - 1), 1)
    position = np.arange(padded) % period
    folded: npt.NDArray[np.intp] = np.where(position < length, position, period - position)
    return folded
