"""One raster file: what it says of itself, its pixels, and which of them are valid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.handles import GDAL_ERRORS, Handles, shown, unreadable
from engine.io.source import Scaling

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

PIXEL_COORDINATES = Affine(1, 0, 0, 0, -1, 0)
"""Transform of an image without georeference: x = column, y = -row."""
SAMPLE_WINDOWS = 5
"""Windows each way that a large file without overviews is sampled in."""


class Raster(Protocol):
    """Pixels on a grid, whatever stands behind them. Bands are numbered from 1."""

    @property
    def grid(self) -> Grid:
        """Where the pixels are."""
        ...

    def dtype(self, index: int) -> str:
        """Name in numpy of a band's stored type."""
        ...

    def read(self, indexes: tuple[int, ...], window: Window) -> tuple[Pixels, Mask]:
        """Stored pixels ``[C, H, W]`` and where all of the bands are valid, ``[H, W]``.

        ``window`` lies within the grid.
        """
        ...

    def sample(self, indexes: tuple[int, ...], limit: int) -> list[Pixels]:
        """Valid stored values of each band, of about ``limit`` pixels spread over the grid."""
        ...


@dataclass(frozen=True)
class FileInfo:
    """What one file says of itself; bands are numbered from 1, tuples start with band 1."""

    uri: str
    grid: Grid
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    descriptions: tuple[str, ...]
    colors: tuple[str, ...]
    """Colour interpretation: ``red``, ``gray``, ``undefined`` …"""
    scalings: tuple[Scaling, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    masked: tuple[bool, ...] = ()
    """Whether GDAL keeps a mask for the band besides nodata and alpha."""
    alpha: int | None = None
    """The band that tells transparency, never data."""
    overviews: bool = False
    piece: int = 0
    """Bytes that reading any pixel takes: one block, and its stored form."""
    stored: tuple[int, int] | None = None
    """Rows and columns of the file where ``grid`` has fewer, larger ones; None: they are equal."""

    @property
    def name(self) -> str:
        """The file as a person would name it."""
        return shown(self.uri)

    @property
    def data_bands(self) -> tuple[int, ...]:
        """The numbers of all bands but alpha."""
        return tuple(i for i in range(1, len(self.dtypes) + 1) if i != self.alpha)

    def with_alpha_as_data(self) -> FileInfo:
        """The same file when its alpha band is none: writers mark a fourth band so by default."""
        return replace(self, alpha=None)

    def thinned(self, times: float) -> FileInfo:
        """The same file with pixels so many times as long; one of those within each is read."""
        if times <= 1:
            return self
        height, width = self.grid.shape
        rows, cols = max(1, round(height / times)), max(1, round(width / times))
        transform = self.grid.transform @ Affine.scale(width / cols, height / rows)
        grid = replace(self.grid, transform=transform, shape=(rows, cols))
        return replace(self, grid=grid, stored=self.stored or (height, width))


def describe(uri: str, handles: Handles) -> FileInfo:
    """What the file at ``uri`` says of itself; its last pixel is read to find a truncated file.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``, ``INPUT_ROTATED``.
    """
    dataset = handles.dataset(uri)
    try:
        info = _described(uri, dataset)
        corner = rasterio.windows.Window(dataset.width - 1, dataset.height - 1, 1, 1)
        dataset.read(dataset.count, window=corner)
    except GDAL_ERRORS as error:
        raise unreadable(uri, error) from None
    return info


def _described(uri: str, dataset: Any) -> FileInfo:
    flags = [set(f) for f in dataset.mask_flag_enums]
    colors = tuple(c.name for c in dataset.colorinterp)
    descriptions = tuple((d or "").strip() for d in dataset.descriptions)
    alphas = (
        i
        for i, (c, d) in enumerate(zip(colors, descriptions, strict=True), 1)
        if c == ColorInterp.alpha.name and d.lower() in {"", "alpha"}
    )
    return FileInfo(
        uri=uri,
        grid=_grid_of(uri, dataset),
        dtypes=tuple(dataset.dtypes),
        nodata=tuple(dataset.nodatavals),
        descriptions=descriptions,
        colors=colors,
        scalings=tuple(map(Scaling, dataset.scales, dataset.offsets)),
        tags=dict(dataset.tags()),
        masked=tuple(_has_own_mask(f) for f in flags),
        alpha=next(alphas, None),
        overviews=bool(dataset.overviews(1)) or dataset.driver.startswith("JP2"),
        piece=_piece(dataset),
    )


def _piece(dataset: Any) -> int:
    """A strip or tile as it is stored, and decoded: in GDAL's buffer, its cache and ours."""
    rows, cols = dataset.block_shapes[0]
    sizes = [np.dtype(name).itemsize for name in dataset.dtypes]
    order = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE")
    together = sum(sizes) if order == "PIXEL" else max(sizes)
    stored = dataset.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1)
    return int((together + 2 * max(sizes)) * rows * cols) + int(stored or 0)


def _has_own_mask(flags: set[MaskFlags]) -> bool:
    return not flags & {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha}


def _grid_of(uri: str, dataset: Any) -> Grid:
    if dataset.crs is None and dataset.gcps[0]:
        raise EngineError(
            ErrorCode.INPUT_ROTATED,
            f"«{shown(uri)}» is placed by ground control points and not yet on a map grid.",
            "Georeference it first, for example with gdalwarp or QGIS' Warp tool.",
        )
    if dataset.crs is None or dataset.transform == Affine.identity():
        return Grid(None, PIXEL_COORDINATES, dataset.shape)
    grid = Grid(dataset.crs.to_wkt(), dataset.transform, dataset.shape)
    if grid.is_rotated:
        raise EngineError(
            ErrorCode.INPUT_ROTATED,
            f"The grid of «{shown(uri)}» is rotated against its map axes.",
            "Warp it to a north-up grid first, for example with gdalwarp or QGIS' Warp tool.",
        )
    return grid


@dataclass(frozen=True)
class FileRaster:
    """The pixels of one file."""

    info: FileInfo
    handles: Handles
    ignored: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    """By band: values that are nodata besides the one that the file declares."""

    @property
    def grid(self) -> Grid:
        """Where the pixels are."""
        return self.info.grid

    def dtype(self, index: int) -> str:
        """Name in numpy of a band's stored type."""
        return self.info.dtypes[index - 1]

    def read(self, indexes: tuple[int, ...], window: Window) -> tuple[Pixels, Mask]:
        """Stored pixels and where all of the bands are valid."""
        data, valid = self._read(indexes, window, window.shape)
        return data, np.logical_and.reduce(valid)

    def sample(self, indexes: tuple[int, ...], limit: int) -> list[Pixels]:
        """Valid stored values of each band."""
        parts = [self._read(indexes, w, shape) for w, shape in self._sampling(limit)]
        return [
            np.concatenate([data[i][valid[i]] for data, valid in parts])
            for i in range(len(indexes))
        ]

    def _sampling(self, limit: int) -> list[tuple[Window, tuple[int, int]]]:
        """Windows to sample and the shape to read each in."""
        whole = self.grid.window
        shrink = math.sqrt(whole.height * whole.width / limit)
        if shrink <= 1:
            return [(whole, whole.shape)]
        if self.info.overviews:
            rows, cols = (max(1, int(n / shrink)) for n in whole.shape)
            return [(whole, (rows, cols))]
        edge = max(1, int(math.sqrt(limit) / SAMPLE_WINDOWS))
        windows = [
            Window(row, col, edge, edge).intersect(whole)
            for row in _spread(whole.height, edge)
            for col in _spread(whole.width, edge)
        ]
        return [(w, w.shape) for w in windows]

    def _read(
        self, indexes: tuple[int, ...], window: Window, shape: tuple[int, int]
    ) -> tuple[Pixels, Mask]:
        """Pixels and validity of each band, ``[C, *shape]`` both."""
        dataset = self.handles.dataset(self.info.uri)
        where = {"window": self._in_file(window), "out_shape": (len(indexes), *shape)}
        try:
            data = dataset.read(list(indexes), **where)
            valid = np.stack([self._has_value(b, i) for b, i in zip(data, indexes, strict=True)])
            if any(self.info.masked[i - 1] for i in indexes):
                valid &= dataset.read_masks(list(indexes), **where) > 0
            if self.info.alpha is not None:
                valid &= dataset.read(self.info.alpha, window=where["window"], out_shape=shape) > 0
        except GDAL_ERRORS as error:
            raise unreadable(self.info.uri, error) from None
        return data, valid

    def _in_file(self, window: Window) -> Any:
        """A window of the grid in the file's own pixels."""
        row, col, height, width = window.row, window.col, window.height, window.width
        if self.info.stored is None:
            return rasterio.windows.Window(col, row, width, height)
        down, right = (n / m for n, m in zip(self.info.stored, self.grid.shape, strict=True))
        return rasterio.windows.Window(col * right, row * down, width * right, height * down)

    def _has_value(self, band: Pixels, index: int) -> Mask:
        declared = self.info.nodata[index - 1]
        ignored = (*(() if declared is None else (declared,)), *self.ignored.get(index, ()))
        valid: Mask = np.isfinite(band)
        for value in set(ignored):
            if _is_storable(value, band.dtype):
                valid &= band != band.dtype.type(value)
        return valid


def _spread(length: int, edge: int) -> list[int]:
    """Starts of windows spread evenly over an axis."""
    last = max(0, length - edge)
    return sorted({round(last * i / (SAMPLE_WINDOWS - 1)) for i in range(SAMPLE_WINDOWS)})


def _is_storable(value: float, dtype: np.dtype[Any]) -> bool:
    """Whether pixels of ``dtype`` can equal ``value``."""
    if dtype.kind not in "iu":
        return not math.isnan(value)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
