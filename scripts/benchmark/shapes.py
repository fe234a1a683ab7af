"""Rasters of odd shapes and layouts: memory stays bounded, and no pixel is decoded many times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.windows import Window

from benchmark.progress import tell
from benchmark.runs import SWATH, Run
from benchmark.timing import Bench
from benchmark.workload import ORIGIN, PIXEL_M

BASE = "rgb_2500"
"""Whose pixels are repeated."""
REFERENCE = "tiles of 512"
TILED = {"tiled": True, "blockxsize": 512, "blockysize": 512}
DEFLATE = {"compress": "deflate", "zlevel": 1}
FEW_LINES = 1024
QUICKER = 16
"""Times as few pixels in a quick run."""
ROWS_AT_ONCE = 512
SHIFT = 37
"""Lines by which copies beside each other are shifted."""


@dataclass(frozen=True)
class Shape:
    """A raster to be made."""

    height: int
    width: int
    layout: dict[str, Any]
    """Creation options of GDAL's GTiff driver."""
    bands: int = 3

    @property
    def pixels(self) -> int:
        """Of one band."""
        return self.height * self.width

    def smaller(self, times: int) -> Shape:
        """As odd, with fewer pixels: fewer lines, or shorter ones where there are few."""
        height, width = self.height, self.width
        if height > FEW_LINES:
            height //= times
        else:
            width //= times
        return Shape(height, width, _cut(self.layout, height), self.bands)


SHAPES = {
    REFERENCE: Shape(10_000, 40_000, TILED | DEFLATE),
    "lines, plain": Shape(10_000, 40_000, {"BLOCKYSIZE": 1}),
    "lines, deflate": Shape(10_000, 40_000, DEFLATE | {"BLOCKYSIZE": 1}),
    "lines, deflate, band by band": Shape(
        10_000, 40_000, DEFLATE | {"BLOCKYSIZE": 1, "interleave": "band"}
    ),
    "one strip, plain": Shape(10_000, 40_000, {"BLOCKYSIZE": 10_000}),
    "one strip, deflate": Shape(10_000, 40_000, DEFLATE | {"BLOCKYSIZE": 10_000}),
    "strips of 1024 lines": Shape(10_000, 40_000, DEFLATE | {"BLOCKYSIZE": 1024}),
    "very wide, tiled": Shape(256, 400_000, TILED | DEFLATE | {"blockysize": 256}),
    "very wide, lines": Shape(1024, 400_000, DEFLATE | {"BLOCKYSIZE": 1}),
    "very tall, tiled": Shape(400_000, 256, TILED | DEFLATE | {"blockxsize": 256}),
    "very tall, lines": Shape(400_000, 256, DEFLATE | {"BLOCKYSIZE": 1}),
    "tiles of 16": Shape(
        10_000, 10_000, DEFLATE | {"tiled": True, "blockxsize": 16, "blockysize": 16}
    ),
    "band by band": Shape(10_000, 10_000, TILED | DEFLATE | {"interleave": "band"}),
    "60 bands": Shape(5000, 5000, TILED | DEFLATE, bands=60),
    "60 bands, band by band": Shape(5000, 5000, TILED | DEFLATE | {"interleave": "band"}, bands=60),
    "60 bands, lines": Shape(5000, 5000, DEFLATE | {"BLOCKYSIZE": 1}, bands=60),
}


def run_shape(bench: Bench, name: str, shape: Shape) -> Run:
    """Make the raster, run the tiny model on it, and remove both."""
    scene, result = bench.folder / "shape.tif", bench.folder / "shape-classes.tif"
    write_shape(scene, bench.workload.raster(BASE), shape)
    tell(f"swath: tiny on {name}, {shape.height} x {shape.width}")
    command = [SWATH, "segment", scene, result, "--overwrite", "--quiet", "--device", "cpu"]
    command += ["--model", bench.models["tiny"].card, "--input-profile", "rgb8"]
    command += ["--bands", "red=1,green=2,blue=3"]
    try:
        return bench.watch(command, result)
    finally:
        scene.unlink(missing_ok=True)


def write_shape(path: Path, base: Path, shape: Shape) -> None:
    """Write a raster that repeats the pixels of ``base`` each way, in any layout."""
    with rasterio.open(base) as source:
        pixels = source.read()
    path.unlink(missing_ok=True)
    profile = {"driver": "GTiff", "count": shape.bands, "dtype": "uint8", "crs": "EPSG:32612"}
    profile |= {"height": shape.height, "width": shape.width, "BIGTIFF": "IF_SAFER"}
    profile |= {"interleave": "pixel", **shape.layout}
    place = Affine(PIXEL_M, 0, ORIGIN[0], 0, -PIXEL_M, ORIGIN[1])
    with rasterio.open(path, "w", transform=place, num_threads=2, **profile) as target:
        for top in range(0, shape.height, ROWS_AT_ONCE):
            rows = _lines(pixels, shape, top)
            target.write(rows, window=Window(0, top, shape.width, rows.shape[1]))


def _lines(pixels: npt.NDArray[np.uint8], shape: Shape, top: int) -> npt.NDArray[np.uint8]:
    """Lines of the raster from ``top`` on, ``[C, H, W]``.

    Copies beside each other are shifted: where a line repeated itself, DEFLATE would have an
    easier time than it has with a photograph.
    """
    bands, height, width = pixels.shape
    rows = np.arange(top, min(top + ROWS_AT_ONCE, shape.height))[:, None]
    cols = np.arange(shape.width)[None]
    chosen = np.arange(shape.bands)[:, None, None] % bands
    shifted = (rows + SHIFT * (cols // width)) % height
    return pixels[chosen, shifted, cols % width]


def _cut(layout: dict[str, Any], height: int) -> dict[str, Any]:
    """No strip is longer than the raster."""
    lines = layout.get("BLOCKYSIZE")
    return layout if lines is None else layout | {"BLOCKYSIZE": min(lines, height)}
