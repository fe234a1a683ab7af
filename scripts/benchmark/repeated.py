"""A GeoTIFF of any size whose directory points to the same compressed tiles again and again.

It is read and decompressed like any other raster of its size, but takes no more disk than the
raster whose tiles it repeats, and is made in seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import rasterio
from rasterio.io import DatasetReader

TILE_OFFSETS, TILE_SIZES = 324, 325
"""Tags of a TIFF directory."""
CODES = {3: "H", 4: "I", 16: "Q"}
"""Field types of TIFF, as ``struct`` names them."""
DIRECTORY_AT = 8
"""Where a BigTIFF says where its directory is."""


def write_repeated(path: Path, base: Path, edge: int, profile: Mapping[str, Any]) -> None:
    """Write a raster of ``edge`` pixels each way that repeats the whole tiles of ``base``.

    Args:
        path: The file to write.
        base: A tiled raster with interleaved bands; tiles that its edge cuts are left out.
        edge: Pixels each way.
        profile: How ``base`` was written, compression and predictor included.
    """
    with rasterio.open(base) as source:
        tile = source.block_shapes[0][0]
        whole = min(source.shape) // tile
        places = [[_place(source, row, col) for col in range(whole)] for row in range(whole)]
        shape = {"width": edge, "height": edge, "transform": source.transform}
    empty = {**profile, **shape, "BIGTIFF": "YES", "SPARSE_OK": True, "ENDIANNESS": "LITTLE"}
    with rasterio.open(path, "w", **empty):
        pass
    across = range(-(-edge // tile))
    with path.open("r+b") as target, base.open("rb") as tiles:
        copied = [[_copy(tiles, target, place) for place in row] for row in places]
        every = [copied[row % whole][col % whole] for row in across for col in across]
        _fill(target, TILE_OFFSETS, [offset for offset, _ in every])
        _fill(target, TILE_SIZES, [size for _, size in every])


def _place(source: DatasetReader, row: int, col: int) -> tuple[int, int]:
    """Offset and size of a tile's bytes."""
    offset, size = (
        source.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1)
        for what in ("OFFSET", "SIZE")
    )
    return int(offset), int(size)


def _copy(source: BinaryIO, target: BinaryIO, place: tuple[int, int]) -> tuple[int, int]:
    offset, size = place
    source.seek(offset)
    start = target.seek(0, 2)
    target.write(source.read(size))
    return start, size


def _fill(file: BinaryIO, tag: int, values: Sequence[int]) -> None:
    """Put numbers into the list that a tag of the directory has room for."""
    kind, count, start = _field(file, tag)
    if count != len(values):
        raise ValueError(f"tag {tag} holds {count} numbers, not {len(values)}")
    file.seek(start)
    file.write(struct.pack(f"<{count}{CODES[kind]}", *values))


def _field(file: BinaryIO, tag: int) -> tuple[int, int, int]:
    """Type, count and place of a tag's numbers."""
    file.seek(DIRECTORY_AT)
    file.seek(*struct.unpack("<Q", file.read(8)))
    (entries,) = struct.unpack("<Q", file.read(8))
    for _ in range(entries):
        found, kind, count, start = struct.unpack("<HHQQ", file.read(20))
        if found == tag:
            return kind, count, start
    raise ValueError(f"no tag {tag}")
