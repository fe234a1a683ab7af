"""The engine's memory does not grow with the raster, and its work not with the raster's layout.

Whole runs of the command in a process of its own, as scripts/bench --only shapes makes them larger.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from engine.geo.tiling import TileRule

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells a process' peak memory"
)

MIB = 2**20
GROWTH = 150 * MIB
"""Tiles in hand and strips; GDAL's cache is made small, so as not to hide what grows."""
PROGRAM = """
import json, os, re, sys
from engine.cli.__main__ import main
code = main(sys.argv[1:])
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
times = os.times()
print(json.dumps([code, peak, times.user + times.system]))
"""
TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}
DEFLATE = {"compress": "deflate", "zlevel": 1}
LINES = DEFLATE | {"BLOCKYSIZE": 1}
WIDE = (1100, 30_000)
SHAPES = {
    "very wide": ((64, 400_000), 2, DEFLATE | TILED | {"blockysize": 64}),
    "very tall": ((400_000, 64), 2, DEFLATE | TILED | {"blockxsize": 64}),
    "lines": (WIDE, 2, LINES),
    "lines, band by band": (WIDE, 2, LINES | {"interleave": "band"}),
    "lines, plain": (WIDE, 2, {"BLOCKYSIZE": 1}),
    "strips of 100 lines": (WIDE, 2, DEFLATE | {"BLOCKYSIZE": 100}),
    "tiles of 16": ((4000, 5000), 2, DEFLATE | TILED | {"blockxsize": 16, "blockysize": 16}),
    "band by band": ((4000, 5000), 2, DEFLATE | TILED | {"interleave": "band"}),
    "40 bands": ((1500, 2500), 40, DEFLATE | TILED),
    "40 bands in lines": ((1500, 2500), 40, LINES),
}


@dataclass(frozen=True)
class Cost:
    peak: int
    seconds: float
    """Of processors."""
    said: str


def write(path, shape, bands, layout):
    """Reflectance times 10 000 without repetition that would make decoding easy."""
    height, width = shape
    noise = np.random.default_rng(0).integers(8, 140, (2, 256, width), np.uint16) * 64
    profile = {"driver": "GTiff", "dtype": "uint16", "count": bands, "interleave": "pixel"}
    profile |= {"height": height, "width": width, "crs": "EPSG:32632", **layout}
    place = from_origin(500_000, 5_000_000, 10, 10)
    with rasterio.open(path, "w", transform=place, **profile) as target:
        for top in range(0, height, 256):
            rows = noise[np.arange(bands) % 2, : min(256, height - top)]
            target.write(rows, window=rasterio.windows.Window(0, top, width, rows.shape[1]))


@pytest.fixture(scope="module")
def cost(lab_class, tmp_path_factory):
    """What a run costs on a raster of a shape, band count and layout."""
    lab = lab_class(tmp_path_factory.mktemp("memory"))
    card = lab.card(TileRule(256, 8, 8))
    scene, result = lab.folder / "scene.tif", lab.folder / "classes.tif"

    def go(shape, bands, layout):
        write(scene, shape, bands, layout)
        words = ["segment", str(scene), str(result), "--model", str(card), "--overwrite"]
        words += ["--input-profile", "reflectance-10000", "--bands", "red=1,nir=2"]
        environment = {
            **os.environ,
            "SWATH_STATE": str(lab.folder / "state"),
            "GDAL_CACHEMAX": "16",
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words, "--device", "cpu"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        code, peak, seconds = json.loads(done.stdout.splitlines()[-1])
        assert code == 0, done.stderr
        with rasterio.open(result) as source:
            assert source.shape == shape
        return Cost(peak, seconds, done.stderr)

    return go


@pytest.fixture(scope="module")
def small(cost):
    return cost((512, 512), 2, DEFLATE | TILED)


@pytest.fixture(scope="module")
def tiled(cost):
    """As many pixels as the wide rasters have, in the layout that is the easiest to read."""
    return cost(WIDE, 2, DEFLATE | TILED)


@pytest.mark.parametrize("name", SHAPES)
def test_memory_and_work_are_bounded(name, cost, small, tiled, record_property):
    shape, bands, layout = SHAPES[name]
    found = cost(shape, bands, layout)
    record_property("MiB", found.peak // MIB)
    record_property("processor_seconds", found.seconds)
    assert found.peak < small.peak + GROWTH
    if shape == WIDE:
        assert found.seconds < 2 * tiled.seconds + 3
        assert "copied into tiles" in found.said
