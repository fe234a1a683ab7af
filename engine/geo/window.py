"""An integer rectangle of a grid."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Rows ``row .. row+height`` and columns ``col .. col+width`` of a grid, end excluded."""

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def from_spans(cls, rows: tuple[int, int], cols: tuple[int, int]) -> Window:
        """The window between two half-open spans."""
        return cls(rows[0], cols[0], rows[1] - rows[0], cols[1] - cols[0])

    @property
    def row_stop(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """First column right of the window."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def is_empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.height <= 0 or self.width <= 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in an array of the whole grid."""
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def slices_in(self, outer: Window) -> tuple[slice, slice]:
        """Index of this window in an array that holds ``outer``."""
        return self.shift(-outer.row, -outer.col).slices

    def shift(self, rows: int, cols: int) -> Window:
        """The same rectangle elsewhere."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def expand(self, rows: int, cols: int) -> Window:
        """Grown by ``rows`` above and below and ``cols`` on either side."""
        return Window(
            self.row - rows, self.col - cols, self.height + 2 * rows, self.width + 2 * cols
        )

    def intersect(self, other: Window) -> Window:
        """The common part, possibly empty."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row_stop, other.row_stop) - row
        width = min(self.col_stop, other.col_stop) - col
        return Window(row, col, max(height, 0), max(width, 0))

    def contains(self, other: Window) -> bool:
        """Whether ``other`` lies within."""
        return self.intersect(other) == other
