"""How much of each class became which other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.areas import pixel_areas_m2
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.models.transition import NO_PAIR, Pairs, codes_of

BASES = (10, 100, 1_000, 10_000, 65_536)


@dataclass(frozen=True)
class Cover:
    """What pixels cover together."""

    pixels: int
    area_m2: float | None
    """On the ellipsoid, to a hundredth; None without georeference."""

    @classmethod
    def joined(cls, parts: Sequence[Cover]) -> Cover:
        """Several together; the sum of the hundredths, to the last one."""
        areas = [part.area_m2 for part in parts if part.area_m2 is not None]
        whole = len(areas) == len(parts)
        total = round(sum(round(100 * a) for a in areas) / 100, 2) if whole else None
        return cls(sum(part.pixels for part in parts), total)


@dataclass(frozen=True)
class Cell:
    """One entry of the matrix."""

    before: int
    after: int
    cover: Cover

    @property
    def is_change(self) -> bool:
        """Whether the class is another one."""
        return self.before != self.after


@dataclass(frozen=True)
class Matrix:
    """Every transition that occurs, by the code before and then by that after."""

    cells: tuple[Cell, ...]
    has_areas: bool

    @property
    def codes(self) -> tuple[int, ...]:
        """Every class that occurs at either date."""
        return tuple(sorted({code for c in self.cells for code in (c.before, c.after)}))

    @property
    def whole(self) -> Cover:
        """All valid pixels."""
        return self._sum([c.cover for c in self.cells])

    @property
    def changed(self) -> Cover:
        """All whose class is another one."""
        return self._sum([c.cover for c in self.cells if c.is_change])

    def before(self, code: int) -> Cover:
        """What a class covered at the first date."""
        return self._sum([c.cover for c in self.cells if c.before == code])

    def after(self, code: int) -> Cover:
        """What it covered at the second."""
        return self._sum([c.cover for c in self.cells if c.after == code])

    def share(self, part: Cover) -> float:
        """Of all valid pixels."""
        return part.pixels / max(self.whole.pixels, 1)

    def _sum(self, parts: Sequence[Cover]) -> Cover:
        return Cover.joined(parts) if parts else Cover(0, 0.0 if self.has_areas else None)


class Counting:
    """Adds up a matrix block by block; memory follows the pairs that occur, not the raster."""

    def __init__(self, grid: Grid, pixel_area: float | None) -> None:
        """Begin with nothing.

        Args:
            grid: The pixels that windows refer to.
            pixel_area: Square metres of a pixel when the grid has no georeference, if known.
        """
        self._grid = grid
        self._pixel_area = pixel_area
        self._pixels: dict[int, int] = {}
        self._area: dict[int, float] = {}

    def add(self, window: Window, pairs: Pairs) -> None:
        """Count a block ``[H, W]``."""
        found, where = np.unique(pairs, return_inverse=True)
        where = where.ravel()
        weight = np.broadcast_to(self._weight(window), pairs.shape).ravel()
        pixels = np.bincount(where, minlength=len(found))
        area = np.bincount(where, weight, minlength=len(found))
        for pair, count, size in zip(found.tolist(), pixels.tolist(), area.tolist(), strict=True):
            if pair != NO_PAIR:
                self._pixels[pair] = self._pixels.get(pair, 0) + count
                self._area[pair] = self._area.get(pair, 0.0) + size

    def matrix(self) -> Matrix:
        """What was counted."""
        known = self._grid.is_georeferenced or self._pixel_area is not None
        return Matrix(
            tuple(
                Cell(
                    *codes_of(pair),
                    Cover(self._pixels[pair], round(self._area[pair], 2) if known else None),
                )
                for pair in sorted(self._pixels)
            ),
            known,
        )

    def _weight(self, window: Window) -> npt.NDArray[np.float64]:
        if self._grid.crs is None:
            return np.array([[self._pixel_area or 0.0]])
        return pixel_areas_m2(self._grid, self._grid.crs, window)


@dataclass(frozen=True)
class Coding:
    """The numbers of the raster: ``before * base + after``, which people can read."""

    base: int

    @classmethod
    def up_to(cls, largest: int) -> Coding:
        """For classes whose codes go up to this one."""
        return cls(next(base for base in BASES if largest < base))

    @property
    def dtype(self) -> str:
        """Of the smallest type in numpy that holds all of them and nodata."""
        return str(np.min_scalar_type(self.base**2 - 1))

    @property
    def nodata(self) -> int:
        """The largest number of that type; never a transition."""
        return int(np.iinfo(self.dtype).max)

    def number(self, before: int, after: int) -> int:
        """Of one transition."""
        return before * self.base + after

    def encoded(self, pairs: Pairs) -> npt.NDArray[np.unsignedinteger]:
        """The raster's numbers of a block of pairs."""
        before, after = np.divmod(pairs, np.uint32(1 << 16))
        numbers = before * np.uint32(self.base) + after
        numbers[pairs == NO_PAIR] = self.nodata
        return numbers.astype(self.dtype)
