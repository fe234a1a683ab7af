"""Biomass from five sources on five grids: what a run takes whose network sees 24 channels."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from converting.agbd_network import (
    BANDS,
    STATISTICS,
    WIDTHS,
    card_with,
    filed,
    layers_of,
    network_of,
)
from rasterio.warp import transform_bounds

from benchmark.progress import tell
from benchmark.repeated import write_repeated
from benchmark.runs import SWATH, Run
from benchmark.timing import Bench
from engine.models.cardfile import card_to_json
from engine.models.channels import channels_of

EDGE, QUICK_EDGE, FIRST = 10_000, 1000, 256
"""Pixels each way of what is mapped; the files are always of the largest size."""
PIXEL_M = 10.0
CRS = "EPSG:32632"
WEST, NORTH = 500_000.0, 5_200_000.0
TILE, BASE = 512, 1024
SPANS = {"S2_bands": (0.0, 0.4), "ALOS_bands": (-25.0, 0.0), "CH": (0.0, 45.0), "DEM": (0.0, 4e3)}
"""Percentiles of every band of a kind."""
ROLES = ("coastal", "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir")
ROLES += ("nir08", "nir09", "swir16", "swir22")


@dataclass(frozen=True)
class Raster:
    """One source."""

    crs: str
    pixel: float
    """In units of ``crs``."""
    dtype: str
    bands: int
    span: tuple[int, int]
    """Least and largest number."""


SCENE = Raster(CRS, PIXEL_M, "uint16", len(BANDS), (1000, 5000))
LAYERS = {
    "alos": Raster("EPSG:4326", 0.00025, "uint16", 2, (1000, 9000)),
    "height": Raster(CRS, 10.0, "uint8", 1, (0, 45)),
    "height-deviation": Raster(CRS, 10.0, "uint8", 1, (1, 12)),
    "landcover": Raster("EPSG:4326", 0.001, "uint8", 2, (0, 100)),
    "dem": Raster("EPSG:3035", 30.0, "int16", 1, (0, 4000)),
}


def run_stack(bench: Bench, height: int, width: int, memory: int) -> Run:
    """Make the sources and the network, and map a part of them from the upper left corner.

    A small part goes first, since Swath measures a model of free size once on a machine.

    Args:
        bench: Where it is done.
        height: Rows to map.
        width: Columns to map.
        memory: MiB that Swath is told to stay within.
    """
    folder = bench.cache / "stack"
    folder.mkdir(parents=True, exist_ok=True)
    scene, others = _sources(folder)
    network, result = _network(folder), bench.folder / "stack.tif"
    bands = ",".join(f"{role}={number}" for number, role in enumerate(ROLES, 1))
    command: list[str | Path] = [SWATH, "biomass", scene, result, "--model", network, "--quiet"]
    command += ["--overwrite", "--device", "cpu", "--memory", str(memory)]
    command += ["--input-profile", "sentinel2-l2a-0400", "--bands", bands]
    command += itertools.chain(*(("--with", f"{name}={path}") for name, path in others.items()))
    bench.watch([*command, "--bounds", _bounds(FIRST, FIRST)], result)
    tell(f"swath: biomass of five sources, {height} x {width}")
    return bench.watch([*command, "--bounds", _bounds(height, width)], result)


def _bounds(height: int, width: int) -> str:
    """West, south, east and north of rows and columns from the upper left corner."""
    edges = (WEST, NORTH - height * PIXEL_M, WEST + width * PIXEL_M, NORTH)
    return ",".join(str(edge) for edge in edges)


def _sources(folder: Path) -> tuple[Path, dict[str, Path]]:
    scene, side = folder / "s2.tif", EDGE * PIXEL_M
    if not scene.exists():
        _write(scene, SCENE, EDGE, Affine(PIXEL_M, 0, WEST, 0, -PIXEL_M, NORTH))
    others = {name: folder / f"{name}.tif" for name in LAYERS}
    for name, layer in LAYERS.items():
        if not others[name].exists():
            west, south, east, north = transform_bounds(
                CRS, layer.crs, WEST, NORTH - side, WEST + side, NORTH
            )
            pixel = layer.pixel
            beside = 3.3 * pixel  # no pixel of it lies on one of the scene's
            edge = int(max(east - west, north - south) / pixel) + 8
            corner = Affine(pixel, 0, west - beside, 0, -pixel, north + beside)
            _write(others[name], layer, edge, corner)
    return scene, {**others, "landcover-probability": others["landcover"]}


def _write(path: Path, raster: Raster, edge: int, place: Affine) -> None:
    """A square raster whose tiles repeat those of a small one."""
    tell(f"making {path.name}")
    profile: dict[str, Any] = {"driver": "GTiff", "crs": raster.crs, "interleave": "pixel"}
    profile |= {"dtype": raster.dtype, "count": raster.bands}
    profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    profile |= {"compress": "deflate", "zlevel": 1}
    base, unfinished = path.with_name(f"base-{path.name}"), path.with_name(f".{path.name}")
    dice, (least, largest) = np.random.default_rng(edge), raster.span
    with rasterio.open(base, "w", width=BASE, height=BASE, transform=place, **profile) as target:
        for band in range(1, raster.bands + 1):
            coarse = dice.integers(least, largest + 1, (BASE // 8, BASE // 8))
            target.write(coarse.repeat(8, 0).repeat(8, 1).astype(raster.dtype), band)
    write_repeated(unfinished, base, edge, profile)
    if path.stem == "alos":
        with rasterio.open(unfinished, "r+") as target:
            target.descriptions = ("HH", "HV")
    unfinished.replace(path)
    base.unlink()


def _network(folder: Path) -> Path:
    """AGBD's convolutional network with random weights."""
    path = folder / "fcn.onnx"
    card = card_with(_statistics())
    layers = layers_of(dict(_weights(len(channels_of(card)))), len(channels_of(card)))
    content = network_of(layers, card)
    path.write_bytes(content)
    told = filed(card, content, path.name, hashlib.sha256(content).hexdigest())
    path.with_suffix(".json").write_text(json.dumps(card_to_json(told)), encoding="utf-8")
    return path


def _statistics() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for way in itertools.chain(*STATISTICS.values()):
        low, high = SPANS[way[0]]
        place = found
        for key in way:
            place = place.setdefault(key, {})
        place |= {"p1": low, "p99": high}
    return found


def _weights(channels: int) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    dice = np.random.default_rng(0)
    for number, (into, out) in enumerate(itertools.pairwise((channels, *WIDTHS))):
        spread = (2 / (9 * into)) ** 0.5
        yield f"{number}.conv.weight", dice.normal(0, spread, (out, into, 3, 3)).astype(np.float32)
        yield f"{number}.conv.bias", np.zeros(out, np.float32)
        for what, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            yield f"{number}.norm.{what}", np.full(out, value, np.float32)
    yield "last.weight", dice.normal(1, 1, (1, WIDTHS[-1], 1, 1)).astype(np.float32)
    yield "last.bias", np.full(1, 100, np.float32)
