"""Tiles' scores become one block.

Both merges give each pixel bits that depend on the tiles around it alone: not on the block it is
in, nor on the region asked for.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, beside, in_memory, namespace
from engine.geo.resample import resample
from engine.geo.tiling import Block, Tile
from engine.geo.window import Window
from engine.pipeline.forward import TileResult
from engine.pipeline.plan import Recipe
from engine.tasks.task import Bands, Detail, Task

F32 = npt.NDArray[np.float32]


class Merge(Protocol):
    """Takes the results of tiles one by one."""

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles that the block needs, in the order in which they must be fed."""
        ...

    def feed(self, part: TileResult) -> None:
        """Take the result of the next tile."""
        ...

    def result(self) -> Bands:
        """The block's bands ``[B, H, W]`` on its pixels of the result's frame."""
        ...


def merge_for(recipe: Recipe, block: Block, task: Task, detail: Detail) -> Merge:
    """The merge that the recipe's model needs."""
    if recipe.stands_alone:
        return Mosaic(recipe, block, task, detail)
    canvas = _Canvas(recipe, block, task, detail)
    return WeightedMerge(canvas) if recipe.card.merge == "weighted" else CropMerge(canvas)


class Mosaic:
    """Tiles that are decided already, side by side."""

    def __init__(self, recipe: Recipe, block: Block, task: Task, detail: Detail) -> None:
        self._recipe = recipe
        self._window = recipe.window_of(block)
        self._bands = task.empty(detail, self._window.shape)
        self.tiles = block.tiles
        """As the protocol says."""

    def feed(self, part: TileResult) -> None:
        """As the protocol says."""
        if part.decided is None:
            return
        keep = self._recipe.delivered(part.tile.keep)
        mine = keep.intersect(self._window)
        inside, target = mine.slices_in(keep), mine.slices_in(self._window)
        self._bands[:, *target] = part.decided[:, *inside]

    def result(self) -> Bands:
        """As the protocol says."""
        return self._bands


class _Canvas:
    """Scores and validity for one block.

    Scores lie on the lattice, or on its cells where the result does, and in memory or on the
    device where the tiles' scores are; validity on the frame of the result, in memory.
    """

    def __init__(self, recipe: Recipe, block: Block, task: Task, detail: Detail) -> None:
        self.recipe = recipe
        self.lattice = recipe.lattice
        self.owned = recipe.window_of(block)
        """The block's pixels of the result."""
        self.near = self._lattice_window(block)
        """Lattice pixels whose tiles the block needs."""
        self.window = recipe.cells.window(self.near)
        """Where the scores lie."""
        self.valid = np.zeros(self.owned.shape, bool)
        self._task = task
        self._detail: Detail = detail

    def mark_valid(self, part: TileResult) -> None:
        """Take over the mask under the tile's own pixels."""
        mine = self.recipe.delivered(part.tile.keep).intersect(self.owned)
        if not mine.is_empty:
            inside = mine.slices_in(part.mask.window)
            self.valid[mine.slices_in(self.owned)] = part.mask.valid[inside]

    def blank(self, scores: Array) -> Array:
        """Zeros for all pixels, with the channels, if any, of ``[K, H, W]`` scores, beside them."""
        shape = (*scores.shape[:-2], *self.window.shape)
        return beside(np.zeros(shape, np.float32), scores)

    def empty(self) -> Bands:
        """The block without any result."""
        return self._task.empty(self._detail, self.owned.shape)

    def decide(self, scores: Array, scored: Array) -> Bands:
        """Bring scores to the block's pixels of the result, and decide there."""
        if self.recipe.is_on_lattice:
            moved = scores[:, *self.owned.slices_in(self.window)]
        else:
            factors = self.lattice.to_source_factors
            moved = resample(scores, scored, self.window, self.owned, factors)[0]
        return in_memory(self._task.decide(moved, self.valid, self._detail))

    def _lattice_window(self, block: Block) -> Window:
        if self.recipe.is_on_lattice or self.owned.is_empty:
            return block.window
        return self.lattice.scores_for(self.owned)


class CropMerge:
    """Each lattice pixel comes from the one tile that owns it; no pixel is averaged."""

    def __init__(self, canvas: _Canvas) -> None:
        self._canvas = canvas
        self._scores: Array | None = None
        self._scored = np.zeros(canvas.window.shape, bool)
        self.tiles = tuple(canvas.recipe.tiling.near(canvas.near, 0))
        """As the protocol says."""

    def feed(self, part: TileResult) -> None:
        """As the protocol says."""
        canvas = self._canvas
        canvas.mark_valid(part)
        if part.scores is None:
            return
        tile = canvas.recipe.scored(part.tile)
        served = tile.keep.intersect(canvas.window)
        inside, target = served.slices_in(tile.read), served.slices_in(canvas.window)
        if self._scores is None:
            self._scores = canvas.blank(part.scores)
        self._scores[:, *target] = part.scores[:, *inside]
        self._scored[target] = True if part.has_data is None else part.has_data[inside]

    def result(self) -> Bands:
        """As the protocol says."""
        if self._scores is None:
            return self._canvas.empty()
        return self._canvas.decide(self._scores, self._scored)


class WeightedMerge:
    """Where the reaches of tiles overlap, their scores fade into each other.

    For models whose field of view has no bound (attention, pooling over the whole tile), which
    see the same pixel differently from every tile. A tile's weight rises linearly from 0 to 1
    over twice the margin, half of it beyond its own pixels.
    """

    def __init__(self, canvas: _Canvas) -> None:
        self._canvas = canvas
        recipe = canvas.recipe
        self._margin = recipe.cells.length(recipe.rule.margin)
        self._shape = recipe.cells.shape(recipe.lattice.shape)
        self._total: Array | None = None
        self._weight: Array | None = None
        self.tiles = tuple(recipe.tiling.near(canvas.near, recipe.rule.margin))
        """As the protocol says."""

    def feed(self, part: TileResult) -> None:
        """As the protocol says."""
        canvas, tile = self._canvas, self._canvas.recipe.scored(part.tile)
        canvas.mark_valid(part)
        reach = tile.reach(self._margin).intersect(canvas.window)
        if part.scores is None or reach.is_empty:
            return
        inside, target = reach.slices_in(tile.read), reach.slices_in(canvas.window)
        if self._total is None or self._weight is None:
            self._total, self._weight = canvas.blank(part.scores), canvas.blank(part.scores[0])
        weight = tile_weight(tile, self._shape, self._margin, part.scores)[inside]
        if part.has_data is not None:
            weight = weight * beside(part.has_data[inside], weight)
        self._total[:, *target] += part.scores[:, *inside] * weight
        self._weight[target] += weight

    def result(self) -> Bands:
        """As the protocol says."""
        if self._total is None or self._weight is None:
            return self._canvas.empty()
        scored = self._weight > 0
        weight = namespace(scored).where(scored, self._weight, 1)
        return self._canvas.decide(self._total / weight, scored)


def tile_weight(tile: Tile, shape: tuple[int, int], margin: int, scores: Array) -> Array:
    """Weight ``[H, W]`` of a tile's scores over its ``read`` window, beside the scores.

    Args:
        tile: The tile.
        shape: The raster's, in the tile's pixels: at its edge a weight does not fall.
        margin: Half the length over which it falls elsewhere.
        scores: The array that will be weighted.
    """
    keep, read = tile.keep, tile.read
    rows = _ramp((read.row, read.row_stop), (keep.row, keep.row_stop), shape[0], margin)
    cols = _ramp((read.col, read.col_stop), (keep.col, keep.col_stop), shape[1], margin)
    return beside(rows[:, None], scores) * beside(cols, scores)


def _ramp(read: tuple[int, int], keep: tuple[int, int], length: int, margin: int) -> F32:
    centre = np.arange(*read, dtype=np.float32) + np.float32(0.5)
    width = np.float32(2 * max(margin, 0.25))
    weight = np.ones_like(centre)
    if keep[0] > 0:
        weight *= np.clip((centre - (keep[0] - margin)) / width, 0, 1)
    if keep[1] < length:
        weight *= np.clip(((keep[1] + margin) - centre) / width, 0, 1)
    return weight
