"""The model's pixels beside the source's: same origin, another size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.geo.resample import ROUNDING, needed_window
from engine.geo.window import Window


@dataclass(frozen=True, slots=True)
class Lattice:
    """Pixels ``factors`` times as large as the source's, counted from the source's origin.

    Fixed to the source's grid and to nothing else, so that a result does not depend on the part
    of the scene that was asked for.
    """

    source_shape: tuple[int, int]
    factors: tuple[float, float] = (1.0, 1.0)
    """Source pixels per lattice pixel, ``(rows, cols)``."""

    @property
    def is_source(self) -> bool:
        """Whether lattice and source are the same pixels."""
        return self.factors == (1.0, 1.0)

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``; the last row and column may reach beyond the source."""
        rows, cols = (
            max(1, math.ceil(n / f - ROUNDING))
            for n, f in zip(self.source_shape, self.factors, strict=True)
        )
        return rows, cols

    @property
    def to_source_factors(self) -> tuple[float, float]:
        """Lattice pixels per source pixel."""
        return 1 / self.factors[0], 1 / self.factors[1]

    def cover(self, source: Window) -> Window:
        """The lattice pixels that touch a window of the source."""
        spans = []
        for axis, (start, stop) in enumerate(_spans(source)):
            factor = self.factors[axis]
            first = math.floor(start / factor + ROUNDING)
            last = math.ceil(stop / factor - ROUNDING)
            spans.append((first, min(last, self.shape[axis])))
        return Window.from_spans(*spans)

    def owned(self, window: Window) -> Window:
        """The source pixels that belong to a lattice window; windows that partition stay so."""
        spans = []
        for axis, (start, stop) in enumerate(_spans(window)):
            spans.append((self._bound(start, axis), self._bound(stop, axis)))
        return Window.from_spans(*spans)

    def source_for(self, window: Window) -> Window:
        """Source pixels needed to compute the pixels of a lattice window."""
        return needed_window(window, self.factors, self.source_shape)

    def scores_for(self, source: Window) -> Window:
        """Lattice pixels needed to compute the source pixels of a window."""
        return needed_window(source, self.to_source_factors, self.shape)

    def _bound(self, position: int, axis: int) -> int:
        if position >= self.shape[axis]:
            return self.source_shape[axis]
        return min(round(position * self.factors[axis]), self.source_shape[axis])


def _spans(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row, window.row_stop), (window.col, window.col_stop)
