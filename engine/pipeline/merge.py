"""Tiles' scores become one block.

Both merges give each pixel bits that depend on the tiles around it alone: not on the block it is
in, nor on the region asked for.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.geo.resample import resample
from engine.geo.tiling import Block, Tile, TileRule
from engine.geo.window import Window
from engine.pipeline.forward import TileResult
from engine.pipeline.plan import Recipe
from engine.tasks.segment import PROBABILITY_NODATA, Detail, SegmentTask

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class Merge(Protocol):
    """Takes the results of tiles one by one."""

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles that the block needs, in the order in which they must be fed."""
        ...

    def feed(self, part: TileResult) -> None:
        """Take the result of the next tile."""
        ...

    def result(self) -> U8:
        """The block's bands ``[B, H, W]`` on its source pixels."""
        ...


def merge_for(recipe: Recipe, block: Block, task: SegmentTask, detail: Detail) -> Merge:
    """The merge that the recipe's model needs."""
    if recipe.stands_alone:
        return Mosaic(recipe, block, task, detail)
    canvas = _Canvas(recipe, block, task, detail)
    return WeightedMerge(canvas) if recipe.card.merge == "weighted" else CropMerge(canvas)


class Mosaic:
    """Tiles that are decided already, side by side."""

    def __init__(self, recipe: Recipe, block: Block, task: SegmentTask, detail: Detail) -> None:
        self._window = block.window
        self._bands = np.full(
            (task.bands(detail), *block.window.shape), PROBABILITY_NODATA, np.uint8
        )
        self._bands[0] = recipe.card.output.nodata
        self.tiles = block.tiles
        """As the protocol says."""

    def feed(self, part: TileResult) -> None:
        """As the protocol says."""
        if part.decided is None:
            return
        mine = part.tile.keep.intersect(self._window)
        inside, target = mine.slices_in(part.tile.keep), mine.slices_in(self._window)
        self._bands[:, *target] = part.decided[:, *inside]

    def result(self) -> U8:
        """As the protocol says."""
        return self._bands


class _Canvas:
    """Scores on the lattice and validity on the source, for one block."""

    def __init__(self, recipe: Recipe, block: Block, task: SegmentTask, detail: Detail) -> None:
        self.recipe = recipe
        self.lattice = recipe.lattice
        self.owned = recipe.window_of(block)
        """The block's source pixels."""
        self.window = self._lattice_window(block)
        channels = len(task.card.output.classes)
        self.scores = np.zeros((channels, *self.window.shape), np.float32)
        self.valid = np.zeros(self.owned.shape, bool)
        self._task = task
        self._detail: Detail = detail

    def mark_valid(self, part: TileResult) -> None:
        """Take over the source's mask under the tile's own pixels."""
        mine = self.lattice.owned(part.tile.keep).intersect(self.owned)
        if not mine.is_empty:
            inside = mine.slices_in(part.mask.window)
            self.valid[mine.slices_in(self.owned)] = part.mask.valid[inside]

    def decide(self, scores: F32, scored: npt.NDArray[np.bool_]) -> U8:
        """Bring scores from the lattice to the block's source pixels, and decide there."""
        if self.lattice.is_source:
            moved = scores[:, *self.owned.slices_in(self.window)]
        else:
            factors = self.lattice.to_source_factors
            moved = resample(scores, scored, self.window, self.owned, factors)[0]
        return self._task.decide(moved, self.valid, self._detail)

    def _lattice_window(self, block: Block) -> Window:
        if self.lattice.is_source or self.owned.is_empty:
            return block.window
        return self.lattice.scores_for(self.owned)


class CropMerge:
    """Each lattice pixel comes from the one tile that owns it; no pixel is averaged."""

    def __init__(self, canvas: _Canvas) -> None:
        self._canvas = canvas
        self._scored = np.zeros(canvas.window.shape, bool)
        self.tiles = tuple(canvas.recipe.tiling.near(canvas.window, 0))
        """As the protocol says."""

    def feed(self, part: TileResult) -> None:
        """As the protocol says."""
        canvas = self._canvas
        canvas.mark_valid(part)
        if part.scores is None:
            return
        served = part.tile.keep.intersect(canvas.window)
        inside, target = served.slices_in(part.tile.read), served.slices_in(canvas.window)
        canvas.scores[:, *target] = part.scores[:, *inside]
        self._scored[target] = True if part.has_data is None else part.has_data[inside]

    def result(self) -> U8:
        """As the protocol says."""
        return self._canvas.decide(self._canvas.scores, self._scored)


class WeightedMerge:
    """Where the reaches of tiles overlap, their scores fade into each other.

    For models whose field of view has no bound (attention, pooling over the whole tile), which
    see the same pixel differently from every tile. A tile's weight rises linearly from 0 to 1
    over twice the margin, half of it beyond its own pixels.
    """

    def __init__(self, canvas: _Canvas) -> None:
        self._canvas = canvas
        self._rule = canvas.recipe.rule
        self._weight = np.zeros(canvas.window.shape, np.float32)
        self.tiles = tuple(canvas.recipe.tiling.near(canvas.window, self._rule.margin))
        """As the protocol says."""

    def feed(self, part: TileResult) -> None:
        """As the protocol says."""
        canvas, tile = self._canvas, part.tile
        canvas.mark_valid(part)
        reach = tile.reach(self._rule.margin).intersect(canvas.window)
        if part.scores is None or reach.is_empty:
            return
        inside, target = reach.slices_in(tile.read), reach.slices_in(canvas.window)
        weight = tile_weight(tile, canvas.lattice.shape, self._rule)[inside]
        if part.has_data is not None:
            weight = weight * part.has_data[inside]
        canvas.scores[:, *target] += part.scores[:, *inside] * weight
        self._weight[target] += weight

    def result(self) -> U8:
        """As the protocol says."""
        scored = self._weight > 0
        total = np.where(scored, self._weight, 1).astype(np.float32)
        scores: F32 = self._canvas.scores / total
        return self._canvas.decide(scores, scored)


def tile_weight(tile: Tile, shape: tuple[int, int], rule: TileRule) -> F32:
    """Weight ``[H, W]`` of a tile's scores over its ``read`` window.

    Args:
        tile: The tile.
        shape: The raster's, on the tile's lattice: at its edge a weight does not fall.
        rule: Gives the margin.
    """
    keep, read = tile.keep, tile.read
    rows = _ramp((read.row, read.row_stop), (keep.row, keep.row_stop), shape[0], rule.margin)
    cols = _ramp((read.col, read.col_stop), (keep.col, keep.col_stop), shape[1], rule.margin)
    return np.outer(rows, cols)


def _ramp(read: tuple[int, int], keep: tuple[int, int], length: int, margin: int) -> F32:
    centre = np.arange(*read, dtype=np.float32) + np.float32(0.5)
    width = np.float32(2 * max(margin, 0.25))
    weight = np.ones_like(centre)
    if keep[0] > 0:
        weight *= np.clip((centre - (keep[0] - margin)) / width, 0, 1)
    if keep[1] < length:
        weight *= np.clip(((keep[1] + margin) - centre) / width, 0, 1)
    return weight
