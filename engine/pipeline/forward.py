"""One tile: from the scene's stored numbers to scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.chip import Chip
from engine.geo.lattice import Lattice
from engine.geo.resample import resample
from engine.geo.tiling import Tile
from engine.geo.window import Window
from engine.io.aoi import Aoi
from engine.io.source import Source
from engine.models.runtime import Model
from engine.pipeline.plan import Recipe
from engine.tasks.segment import SegmentTask

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TileScores:
    """What became of one tile."""

    tile: Tile
    scores: F32 | None
    """``[K, H, W]`` over ``tile.read``; None when there was nothing to look at."""
    has_data: npt.NDArray[np.bool_]
    """``[H, W]`` over ``tile.read``: lattice pixels made of at least one valid source pixel."""
    mask: Chip
    """Which source pixels around the tile have data and are asked for; a chip of no bands."""


@dataclass(frozen=True)
class Forward:
    """Runs tiles of one recipe; safe to call from several threads."""

    recipe: Recipe
    source: Source
    model: Model
    task: SegmentTask
    aoi: Aoi | None

    def __call__(self, tile: Tile) -> TileScores:
        """Read, scale, resample, encode, predict and activate one tile."""
        lattice = self.recipe.lattice
        chip = self.source.read(lattice.source_for(tile.read))
        mask = Chip(chip.data[:0], self._wanted(chip), chip.window)
        if not mask.valid[self._served(tile).slices_in(chip.window)].any():
            return TileScores(tile, None, np.zeros(tile.read.shape, bool), mask)
        physical, share = _on_lattice(self._physical(chip), chip, tile, lattice)
        has_data = share > 0
        batch = _pad(self.task.encode(physical, has_data), self.recipe.rule.padded)
        raw = self.model.predict(batch[None])
        height, width = tile.read.shape
        scores = self.task.activate(raw)[0, :, :height, :width]
        return TileScores(tile, scores, has_data, mask)

    def _served(self, tile: Tile) -> Window:
        """Source pixels that the tile's scores may be used for."""
        weighted = self.recipe.card.merge == "weighted"
        return self.recipe.lattice.owned(tile.reach(self.recipe.rule.margin if weighted else 0))

    def _wanted(self, chip: Chip) -> npt.NDArray[np.bool_]:
        if self.aoi is None:
            return chip.valid
        wanted: npt.NDArray[np.bool_] = chip.valid & self.aoi.mask(chip.window)
        return wanted

    def _physical(self, chip: Chip) -> F32:
        """Stored numbers as physical values, float32."""
        rules = [band.scaling for band in self.source.bands]
        scale = np.array([r.scale for r in rules], np.float32)[:, None, None]
        offset = np.array([r.offset for r in rules], np.float32)[:, None, None]
        physical: F32 = chip.data * scale + offset
        return physical


def _on_lattice(data: F32, chip: Chip, tile: Tile, lattice: Lattice) -> tuple[F32, F32]:
    if lattice.is_source:
        return data, chip.valid.astype(np.float32)
    return resample(data, chip.valid, chip.window, tile.read, lattice.factors)


def _pad(encoded: F32, padded: Callable[[int], int]) -> F32:
    """Fill up to the size that the model takes by reflecting at the lower and right edge."""
    height, width = encoded.shape[1:]
    rows, cols = _mirror(height, padded(height)), _mirror(width, padded(width))
    return np.ascontiguousarray(encoded[:, rows][:, :, cols])


def _mirror(length: int, padded: int) -> npt.NDArray[np.intp]:
    """Indices ``0 .. padded`` folded back into ``0 .. length``, however short that is."""
    period = max(2 * (length - 1), 1)
    position = np.arange(padded) % period
    folded: npt.NDArray[np.intp] = np.where(position < length, position, period - position)
    return folded
