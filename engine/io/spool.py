"""Files stored in lines or strips as wide as the raster, copied into tiles before a run.

Such a file gives a tile's pixels only by decoding everything beside them, once for every tile: a
raster of 40 000 columns would be decoded forty times. One pass from top to bottom costs one.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags

from engine.io.handles import CACHE_BYTES, GDAL_ERRORS, open_dataset, shown, unreadable
from engine.io.staging import disk_full, free_bytes, unwritable

MIB = 2**20
TIMES = 4
"""A file is copied when it would be decoded more often than this."""
LINES_BYTES = 16 * MIB
"""Pixels that are copied at a time, about; a strip is copied whole."""
LEAST, MOST, WIDE = 16, 256, 256
"""Rows and columns of the copy's tiles."""


@dataclass(frozen=True)
class Reading:
    """How a run is going to read."""

    tiles: int
    edge: int
    """Source pixels along a tile, about."""
    group: int
    """Source pixels along the tiles that are read after each other before the next column."""
    threads: int


class Spool:
    """Copies of files that cannot be read in part; made when a file is first asked for."""

    def __init__(
        self,
        folder: Path,
        reading: Reading,
        tell: Callable[[str], None],
        between: Callable[[], None],
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            folder: For the copies; the caller removes it.
            reading: What is going to be read.
            tell: Told about a copy before it is made.
            between: Called now and then while copying; may raise.
        """
        self._folder = folder
        self._reading = reading
        self._tell = tell
        self._between = between
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}

    def __call__(self, uri: str) -> str:
        """The file to read instead of ``uri``; mostly itself. Safe to call from several threads.

        Raises:
            EngineError: ``INPUT_UNREADABLE``, ``DISK_FULL``, ``OUTPUT_UNWRITABLE``.
        """
        with self._lock:
            if uri not in self._known:
                self._known[uri] = self._settled(uri)
            return self._known[uri]

    def _settled(self, uri: str) -> str:
        with open_dataset(uri) as source:
            if not _is_worth_it(source, self._reading):
                return uri
            path = self._folder / f"{secrets.token_hex(4)}.tif"
            size = _bytes(source, source.height)
            if free_bytes(path) < size:
                self._tell(f"{_why(uri, source)}, and there is no room to copy it: this is slow.")
                return uri
            self._tell(f"{_why(uri, source)}: it is copied into tiles first, {size // MIB} MiB.")
            self._copy(uri, source, path)
            return str(path)

    def _copy(self, uri: str, source: Any, path: Path) -> None:
        try:
            target = rasterio.open(path, "w", **_profile(source))
        except GDAL_ERRORS as error:
            raise unwritable(path, str(error)) from error
        with target:
            for bands, window in _parts(source):
                self._between()
                try:
                    pixels = source.read(bands, window=window)
                except GDAL_ERRORS as error:
                    raise unreadable(uri, error) from None
                _write(target, bands, pixels, window)


def _is_worth_it(source: Any, reading: Reading) -> bool:
    """Whether most of what is decoded for a tile is for others, and is gone when they come."""
    rows, cols = source.block_shapes[0]
    if cols < source.width or _has_own_mask(source):
        return False
    decoded = reading.tiles * min(reading.edge + rows - 1, source.height)
    held = _bytes(source, min(reading.group + rows - 1, source.height)) * reading.threads
    return decoded > TIMES * source.height and held > CACHE_BYTES // 2


def _has_own_mask(source: Any) -> bool:
    """A copy would lose it."""
    usual = {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha}
    return any(not usual & set(flags) for flags in source.mask_flag_enums)


def _bytes(source: Any, lines: int) -> int:
    """Of decoded lines."""
    pixel = sum(np.dtype(name).itemsize for name in source.dtypes)
    return int(pixel * source.width * lines)


def _profile(source: Any) -> dict[str, Any]:
    """Small tiles, of which a row fits into the cache."""
    rows = LINES_BYTES // _bytes(source, 1) // LEAST * LEAST
    return {
        "driver": "GTiff",
        "height": source.height,
        "width": source.width,
        "count": source.count,
        "dtype": np.result_type(*source.dtypes).name,
        "interleave": "band",
        "tiled": True,
        "blockxsize": WIDE,
        "blockysize": min(max(rows, LEAST), MOST),
        "compress": "ZSTD",
        "zstd_level": 1,
        "bigtiff": "YES",
    }


def _parts(source: Any) -> Iterator[tuple[list[int], Any]]:
    """Bands and windows as wide as the raster, in an order in which nothing is decoded twice.

    A file of one strip, which GDAL shows as lines, is decoded from its start for a line above the
    last one. Strips of all bands are read band by band: they can be large.
    """
    every = list(source.indexes)
    if source.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "BAND":
        yield from (([band], window) for band in every for window in _windows(source))
    elif source.block_shapes[0][0] == 1:
        yield from ((every, window) for window in _windows(source))
    else:
        yield from (([band], window) for window in _windows(source) for band in every)


def _windows(source: Any) -> Iterator[Any]:
    """Of whole strips, from top to bottom."""
    strip = source.block_shapes[0][0]
    rows = max(_profile(source)["blockysize"] // strip, 1) * strip
    for top in range(0, source.height, rows):
        height = min(rows, source.height - top)
        yield rasterio.windows.Window(0, top, source.width, height)


def _write(target: Any, bands: list[int], pixels: Any, window: Any) -> None:
    try:
        target.write(pixels, bands, window=window)
    except (*GDAL_ERRORS, SystemError) as error:
        path = Path(target.name)
        full = free_bytes(path) < pixels.nbytes
        raise (disk_full(path) if full else unwritable(path, str(error))) from error


def _why(uri: str, source: Any) -> str:
    rows = source.block_shapes[0][0]
    strips = "lines" if rows == 1 else f"strips of {rows} lines"
    return f"«{shown(uri)}» is stored in {strips} of {source.width} pixels"
