"""One tile: from the scenes' stored numbers to scores."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, in_memory
from engine.geo.chip import Chip
from engine.geo.resample import nearest
from engine.geo.tiling import Tile
from engine.geo.window import Window
from engine.io.aoi import Aoi
from engine.models.network_model import telling_memory
from engine.models.runtime import Model
from engine.pipeline.plan import Recipe
from engine.pipeline.tensors import Chips, Tensors
from engine.tasks.task import Bands, Detail, Task

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TileResult:
    """What became of one tile."""

    tile: Tile
    mask: Chip
    """Which pixels of the result's frame around the tile have data and are asked for; a chip of
    no bands."""
    scores: Array | None = None
    """``[K, H, W]`` over ``tile.read`` (its cells), where the model computes; None when decided
    already, or nothing was to be seen."""
    has_data: Mask | None = None
    """``[H, W]`` like the scores: made of at least one valid source pixel; None: all are."""
    decided: Bands | None = None
    """``[B, H, W]`` over ``tile.keep`` (its cells), where a result depends on this tile alone."""


@dataclass(frozen=True)
class Forward:
    """Runs tiles of one recipe; safe to call from several threads."""

    recipe: Recipe
    tensors: Tensors
    model: Model
    task: Task
    aoi: Aoi | None
    detail: Detail
    gate: contextlib.AbstractContextManager[object]
    """Held while the model's device is used."""

    def __call__(self, tile: Tile) -> TileResult:
        """From the files to scores, or to a result where a tile stands alone."""
        recipe = self.recipe
        chips = self.tensors.read(tile)
        mask = self._mask(chips, tile)
        if not mask.valid[self._served(tile).slices_in(mask.window)].any():
            return TileResult(tile, mask)
        with self.gate, telling_memory(recipe.card):
            return self._scored(chips, tile, mask)

    def _scored(self, chips: Chips, tile: Tile, mask: Chip) -> TileResult:
        """From numbers in memory to scores, or to a decision in memory."""
        recipe = self.recipe
        arrays, seen = self.tensors.encoded(chips, tile)
        span = recipe.cells.window(tile.read)
        raw = self.model.predict(*arrays)
        scores = self.task.activate(raw)[0, :, : span.height, : span.width]
        if not recipe.stands_alone:
            seen = None if seen is None else recipe.cells.mask(seen)
            return TileResult(tile, mask, scores, seen)
        kept = scores[:, *recipe.cells.window(tile.keep).slices_in(span)]
        valid = mask.valid[recipe.delivered(tile.keep).slices_in(mask.window)]
        decided = in_memory(self.task.decide(kept, valid, self.detail))
        return TileResult(tile, mask, decided=decided)

    def _served(self, tile: Tile) -> Window:
        """Pixels of the result that the tile's scores may be used for."""
        weighted = self.recipe.card.merge == "weighted"
        return self.recipe.delivered(tile.reach(self.recipe.rule.margin if weighted else 0))

    def _mask(self, chips: Chips, tile: Tile) -> Chip:
        """Where a result is wanted, in the frame of the result."""
        recipe, window = self.recipe, chips.window
        wanted: Mask = chips.valid
        if self.aoi is not None:
            wanted = wanted & self.aoi.mask(window)
        if not recipe.cells.are_pixels:
            if not recipe.lattice.is_source:
                wanted = nearest(wanted, window, tile.read, recipe.lattice.factors)
            wanted, window = recipe.cells.mask(wanted), recipe.cells.window(tile.read)
        return Chip(np.empty((0, *window.shape), np.uint8), wanted, window)
