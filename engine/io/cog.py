"""Cloud-optimised GeoTIFFs from windows that arrive in any order."""

from __future__ import annotations

import contextlib
import glob
import itertools
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from engine.contract.errors import EngineError
from engine.contract.messages import ModelClass
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.overviews import write_class_overviews
from engine.io.staging import disk_full, free_bytes, unwritable

BLOCK = 512
"""Rows and columns of a TIFF tile, unless its many bands would make it large."""
_LARGEST_BLOCK = 8 * 2**20
"""Bytes of all bands of a TIFF tile."""
_CACHE_BYTES = 64 * 2**20
_OVERVIEW_SHARE = 4 / 3
"""Size of a raster with its overviews, of the raster alone."""

_ROUGH = {
    "tiled": True,
    # as fast as no compression, and a class raster takes a hundredth of the disk
    "compress": "ZSTD",
    "zstd_level": 1,
    "bigtiff": "YES",
}
"""How files are stored that are thrown away again."""
_CLASS_LEVEL, _VALUE_LEVEL = 1, 6
"""DEFLATE levels: on classes, level 6 takes five times as long for a file a fifth smaller."""

BlockStream = Iterable[tuple[Window, npt.NDArray[Any]]]


@dataclass(frozen=True)
class RasterLayout:
    """What the numbers of a raster are, and how to store them."""

    dtype: str
    """numpy name."""
    nodata: float | None
    """Stored value without meaning; never a class id."""
    descriptions: tuple[str, ...]
    """One a band; their count is the number of bands."""
    overview: Literal["mode", "average"]
    """How pixels are merged: ``mode`` for classes, ``average`` for quantities."""
    classes: tuple[ModelClass, ...] = ()
    """Legend of a class raster (uint8, one band)."""
    scale: float | None = None
    """``physical = stored * scale + offset``"""
    offset: float | None = None
    units: tuple[str, ...] = ()
    """One for all bands, or one each; "" for none."""
    tags: dict[str, str] = field(default_factory=dict)
    """Metadata in the file; equal runs give equal bytes only while there is no date in it."""

    @property
    def band_units(self) -> tuple[str, ...]:
        """Of each band; "" for none."""
        count = len(self.descriptions)
        return self.units if len(self.units) == count else (self.units or ("",))[:1] * count


def write_cog(path: Path, grid: Grid, layout: RasterLayout, blocks: BlockStream) -> None:
    """Write ``blocks`` as one COG on exactly ``grid``; pixels in no block are nodata.

    GDAL writes a COG only from a whole raster. The blocks go to a tiled file beside ``path``
    first, so memory holds one block and GDAL's cache, whatever the raster's size. The bytes
    depend on the pixels alone, not on the order of the blocks.

    Args:
        path: File to write, on a staging path.
        grid: Where the pixels are. Without CRS the transform is kept: QGIS then shows the file
            where it shows the image that it was made from.
        layout: Bands and their meaning.
        blocks: Windows of ``grid`` and their pixels ``[C, H, W]``.

    Raises:
        EngineError: ``DISK_FULL`` or ``OUTPUT_UNWRITABLE``; no file is left then.
    """
    rough = path.with_name(f"{path.name}.blocks.tif")
    try:
        with _write_errors(path, grid, layout), _environment():
            _write_rough(rough, grid, layout, blocks)
            _check_whole(rough, _block(layout))
            if layout.overview == "mode":
                write_class_overviews(rough, _overview_profile(layout), BLOCK)
            rasterio.shutil.copy(rough, path, driver="COG", **_cog_options(layout))
            _check_whole(path, _block(layout))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        for leftover in (rough, *path.parent.glob(f"{glob.escape(rough.name)}.*")):
            leftover.unlink(missing_ok=True)


class _IncompleteFileError(Exception):
    """GDAL said nothing, yet pixels are missing in the file."""


@contextlib.contextmanager
def _write_errors(path: Path, grid: Grid, layout: RasterLayout) -> Iterator[None]:
    # rasterio raises SystemError when GDAL fails without a message, as it does on a full disk
    problems = (RasterioError, CPLE_BaseError, SystemError, _IncompleteFileError)
    try:
        yield
    except problems as error:
        raise _explain(error, path, grid, layout) from error


def _explain(error: Exception, path: Path, grid: Grid, layout: RasterLayout) -> EngineError:
    """GDAL's messages do not tell a full disk from other failures; the free space does."""
    height, width = grid.shape
    pixel = np.dtype(layout.dtype).itemsize * len(layout.descriptions)
    if free_bytes(path) < height * width * pixel * _OVERVIEW_SHARE:
        return disk_full(path)
    return unwritable(path, f"GDAL says «{error}»")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a drone photo is no mistake
        yield


def _write_rough(rough: Path, grid: Grid, layout: RasterLayout, blocks: BlockStream) -> None:
    with rasterio.open(rough, "w", **_rough_profile(grid, layout)) as target:
        _describe(target, layout)
        for window, pixels in blocks:
            place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
            target.write(pixels, window=place)


def _rough_profile(grid: Grid, layout: RasterLayout) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "height": grid.shape[0],
        "width": grid.shape[1],
        "count": len(layout.descriptions),
        "dtype": layout.dtype,
        "nodata": layout.nodata,
        "crs": None if grid.crs is None else CRS.from_wkt(grid.crs),
        "transform": grid.transform,
        "interleave": "pixel",
        "photometric": "MINISBLACK",
        "blockxsize": _block(layout),
        "blockysize": _block(layout),
        **_ROUGH,
    }


def _block(layout: RasterLayout) -> int:
    """Rows and columns of a TIFF tile: a power of two."""
    pixel = np.dtype(layout.dtype).itemsize * len(layout.descriptions)
    edge = BLOCK
    while edge > 64 and edge * edge * pixel > _LARGEST_BLOCK:  # noqa: PLR2004 - small enough
        edge //= 2
    return edge


def _overview_profile(layout: RasterLayout) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "count": 1,
        "dtype": layout.dtype,
        "nodata": layout.nodata,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        **_ROUGH,
    }


def _describe(target: Any, layout: RasterLayout) -> None:
    """Everything about the bands, before their first pixel."""
    target.descriptions = layout.descriptions
    count = len(layout.descriptions)
    if layout.scale is not None:
        target.scales = (layout.scale,) * count
    if layout.offset is not None:
        target.offsets = (layout.offset,) * count
    if any(layout.units):
        target.units = layout.band_units
    if layout.classes and layout.dtype == "uint8":
        target.write_colormap(1, _color_table(layout))
    else:  # three bands are no picture, and a fourth is no transparency
        target.colorinterp = (ColorInterp.gray, *(ColorInterp.undefined,) * (count - 1))
    target.update_tags(AREA_OR_POINT="Area", **layout.tags)


def _color_table(layout: RasterLayout) -> dict[int, tuple[int, int, int, int]]:
    colors = {c.id: (*bytes.fromhex(c.color.lstrip("#")), 255) for c in layout.classes}
    if layout.nodata is not None:
        colors[int(layout.nodata)] = (0, 0, 0, 0)
    return colors


def _cog_options(layout: RasterLayout) -> dict[str, Any]:
    common = {
        "BLOCKSIZE": _block(layout),
        "COMPRESS": "DEFLATE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }
    if layout.overview == "mode":
        own = {"LEVEL": _CLASS_LEVEL, "PREDICTOR": "NO", "OVERVIEWS": "FORCE_USE_EXISTING"}
    else:
        level = _CLASS_LEVEL if layout.dtype == "float32" else _VALUE_LEVEL
        own = {"LEVEL": level, "PREDICTOR": "YES", "OVERVIEW_RESAMPLING": "AVERAGE"}
    return {**common, **own}


def _check_whole(path: Path, block: int) -> None:
    """Refuse a file with missing tiles: GDAL may lose them silently when a disk is full."""
    size = path.stat().st_size
    with rasterio.open(path) as source:
        levels = [None, *range(len(source.overviews(1)))]
        for level in levels:
            if any(_tile_end(source, level, *tile) > size for tile in _tiles(path, level, block)):
                raise _IncompleteFileError(f"a tile of {path.name} is missing")


def _tiles(path: Path, level: int | None, block: int) -> Iterator[tuple[int, int]]:
    """Row and column of each TIFF tile of the raster, or of one of its overviews."""
    # an overview's factor is reported for one axis only, hence its true shape
    with rasterio.open(path, **({} if level is None else {"overview_level": level})) as source:
        rows, cols = (-(-n // block) for n in source.shape)
    return itertools.product(range(rows), range(cols))


def _tile_end(source: Any, level: int | None, row: int, col: int) -> float:
    """Last byte of a tile in its file; infinite when the tile was never written."""
    offset = source.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1, ovr=level)
    length = source.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1, ovr=level)
    return int(offset) + int(length) if offset and length else float("inf")
