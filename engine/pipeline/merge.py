"""Tiles' scores become one block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.geo.resample import resample
from engine.geo.tiling import Block, Tile
from engine.geo.window import Window
from engine.pipeline.forward import TileScores
from engine.pipeline.plan import Recipe

F32 = npt.NDArray[np.float32]


class CropMerge:
    """Each lattice pixel comes from the one tile that keeps it; no pixel is averaged.

    Towards a neighbouring block, where scores are needed a little beyond the block to resample
    them, the block's own tiles serve from their margin.
    """

    def __init__(self, recipe: Recipe, block: Block, channels: int) -> None:
        self._recipe = recipe
        self._block = block
        self._window = recipe.window_of(block)
        lattice = recipe.lattice
        needed = block.window if lattice.is_source else lattice.scores_for(self._window)
        self._canvas = _hull(block.window, needed)
        self._scores = np.zeros((channels, *self._canvas.shape), np.float32)
        self._scored = np.zeros(self._canvas.shape, bool)
        self._valid = np.zeros(self._window.shape, bool)

    def feed(self, part: TileScores) -> None:
        """Take the scores of one of the block's tiles."""
        tile = part.tile
        owned = self._recipe.lattice.owned(tile.keep).intersect(self._window)
        mask = part.chip_valid
        self._valid[owned.slices_in(self._window)] = mask.valid[owned.slices_in(mask.window)]
        if part.scores is None:
            return
        served = self._served(tile)
        inside, target = served.slices_in(tile.read), served.slices_in(self._canvas)
        self._scores[:, *target] = part.scores[:, *inside]
        self._scored[target] = part.has_data[inside]

    def result(self) -> tuple[F32, npt.NDArray[np.bool_]]:
        """Scores ``[K, H, W]`` and validity ``[H, W]`` of the block's source pixels."""
        lattice = self._recipe.lattice
        if lattice.is_source:
            inside = self._window.slices_in(self._canvas)
            return self._scores[:, *inside], self._valid
        factors = lattice.to_source_factors
        scores, _ = resample(self._scores, self._scored, self._canvas, self._window, factors)
        return scores, self._valid

    @property
    def window(self) -> Window:
        """The block's source pixels."""
        return self._window

    def _served(self, tile: Tile) -> Window:
        """The tile's keep, drawn out to the canvas' edge where it lies on the block's edge."""
        keep, block, canvas = tile.keep, self._block.window, self._canvas
        row = canvas.row if keep.row == block.row else keep.row
        col = canvas.col if keep.col == block.col else keep.col
        row_stop = canvas.row_stop if keep.row_stop == block.row_stop else keep.row_stop
        col_stop = canvas.col_stop if keep.col_stop == block.col_stop else keep.col_stop
        return Window.from_spans((row, row_stop), (col, col_stop)).intersect(tile.read)


def _hull(a: Window, b: Window) -> Window:
    rows = min(a.row, b.row), max(a.row_stop, b.row_stop)
    return Window.from_spans(rows, (min(a.col, b.col), max(a.col_stop, b.col_stop)))
