"""Polygons against the class raster that they were traced from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from scipy import ndimage

from benchmark.workload import PIXEL_M

BATCH = 50_000


@dataclass(frozen=True)
class Polygons:
    """What a GeoPackage of polygons is worth."""

    count: int
    patches: int
    """4-connected patches of equal class in the raster: one polygon each is right."""
    invalid: int
    area_error: float
    """Planar area of all polygons over that of the raster's pixels with a class, minus one."""

    @property
    def cut(self) -> int:
        """Polygons too many: patches cut at an edge of a tile or block, or lost ones."""
        return self.count - self.patches


def judge(vector: Path, raster: Path) -> Polygons:
    """Read everything back and compare."""
    count = invalid = 0
    area = 0.0
    for batch in _batches(vector):
        count += batch.size
        invalid += int((~shapely.is_valid(batch)).sum())
        area += float(shapely.area(batch).sum())
    patches, pixels = _patches(raster)
    return Polygons(count, patches, invalid, area / (pixels * PIXEL_M**2) - 1)


def _batches(vector: Path) -> Iterator[npt.NDArray[np.object_]]:
    """All geometries, in the order of their ids."""
    count = pyogrio.read_info(vector, layer=vector.stem)["features"]
    start, seen = 0, 0
    while seen < count:
        chosen = f"fid >= {start} AND fid < {start + BATCH}"
        geometry = pyogrio.raw.read(vector, vector.stem, columns=[], where=chosen)[2]
        seen, start = seen + len(geometry), start + BATCH
        yield shapely.from_wkb(geometry)


def _patches(raster: Path) -> tuple[int, int]:
    """Patches of equal class, and pixels with a class."""
    with rasterio.open(raster) as source:
        classes, nodata = source.read(1), source.nodata
    known = [int(k) for k in np.unique(classes) if k != nodata]
    patches = sum(ndimage.label(classes == k)[1] for k in known)
    return int(patches), int((classes != nodata).sum())
