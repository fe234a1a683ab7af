"""The result's pixels beside those of the model's lattice: same origin, a whole ratio of sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.window import Window

B = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cells:
    """Result pixels ``cell`` times as large as the lattice's, or ``zoom`` times as small."""

    cell: int = 1
    """Lattice pixels along a result pixel."""
    zoom: int = 1
    """Result pixels along a lattice pixel."""

    @property
    def are_pixels(self) -> bool:
        """Whether result and lattice have the same pixels."""
        return self.cell == self.zoom == 1

    def length(self, pixels: int) -> int:
        """Result pixels that a length on the lattice touches."""
        return -(-pixels * self.zoom // self.cell)

    def shape(self, lattice: tuple[int, int]) -> tuple[int, int]:
        """The result's ``(height, width)``; the last row and column may reach beyond."""
        return self.length(lattice[0]), self.length(lattice[1])

    def window(self, lattice: Window) -> Window:
        """The result pixels of a window that begins on a whole cell."""
        rows = self._first(lattice.row), self.length(lattice.row_stop)
        return Window.from_spans(rows, (self._first(lattice.col), self.length(lattice.col_stop)))

    def snapped(self, lattice: Window, shape: tuple[int, int]) -> Window:
        """A lattice window grown to whole cells, within a lattice of ``shape``."""
        spans = []
        for start, stop, length in (
            (lattice.row, lattice.row_stop, shape[0]),
            (lattice.col, lattice.col_stop, shape[1]),
        ):
            first = start // self.cell * self.cell
            spans.append((first, min(-(-stop // self.cell) * self.cell, length)))
        return Window.from_spans(*spans)

    def mask(self, lattice: B) -> B:
        """Result pixels of which at least half is True; the array begins on a whole cell."""
        if self.zoom > 1:
            return lattice.repeat(self.zoom, axis=0).repeat(self.zoom, axis=1)
        if self.cell == 1:
            return lattice
        counted = self._sums(lattice.astype(np.float32))
        return counted >= self._sums(np.ones_like(lattice, np.float32)) / 2

    def _sums(self, numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        height, width = numbers.shape
        rows = np.add.reduceat(numbers, range(0, height, self.cell), axis=0)
        sums: npt.NDArray[np.float32] = np.add.reduceat(rows, range(0, width, self.cell), axis=1)
        return sums

    def _first(self, position: int) -> int:
        return position * self.zoom // self.cell
