"""Areas as mapped: what the pixels of each class cover, uncorrected for errors of the map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from engine.contract.messages import ClassArea, ModelClass
from engine.geo.crs import areas_m2
from engine.geo.grid import Grid
from engine.geo.window import Window


class MappedArea:
    """Adds up class areas block by block.

    A pixel counts with its area on the ellipsoid, taken row by row at the block's middle column:
    within a block of about a thousand pixels the area of a projected pixel is constant along a
    row to about one part in a hundred thousand, and exactly so on a geographic grid.
    """

    def __init__(
        self, grid: Grid, classes: tuple[ModelClass, ...], pixel_area: float | None
    ) -> None:
        """Begin with nothing.

        Args:
            grid: The pixels that windows refer to.
            classes: The legend.
            pixel_area: Square metres of a pixel when the grid has no georeference, if known.
        """
        self._grid = grid
        self._classes = classes
        self._pixel_area = pixel_area
        self._pixels = np.zeros(len(classes), np.int64)
        self._area = np.zeros(len(classes), np.float64)

    def add(self, window: Window, classes: npt.NDArray[np.integer]) -> None:
        """Count a block of class ids ``[H, W]``."""
        weight = self._row_areas(window)
        for index, member in enumerate(self._classes):
            per_row = np.count_nonzero(classes == member.id, axis=1)
            self._pixels[index] += per_row.sum()
            self._area[index] += float(per_row @ weight)

    def table(self) -> tuple[ClassArea, ...]:
        """One row a class, in the legend's order."""
        total = max(int(self._pixels.sum()), 1)
        known = self._grid.is_georeferenced or self._pixel_area is not None
        rows = zip(self._classes, self._pixels, self._area, strict=True)
        return tuple(
            ClassArea(
                c.id, c.name, c.color, int(n), float(area) if known else None, float(n) / total
            )
            for c, n, area in rows
        )

    def _row_areas(self, window: Window) -> npt.NDArray[np.float64]:
        crs = self._grid.crs
        if crs is None:
            return np.full(window.height, self._pixel_area or 0.0)
        rows = np.arange(window.row, window.row_stop, dtype=np.float64)
        middle = window.col + window.width // 2
        corners = [
            self._grid.place(np.column_stack([np.full_like(rows, middle + dx), rows + dy]))
            for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))
        ]
        rings = np.stack(corners, axis=1)
        return areas_m2(shapely.polygons(rings), crs)
