"""What this machine can do at best: forward passes alone, reading alone, writing alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import rasterio
from rasterio.windows import Window

from benchmark.machine import cores
from benchmark.models import BenchModel

F32 = npt.NDArray[np.float32]
BASE_TILE = 512
"""The tile of the limit to which results are held, whatever tile Swath takes."""
BURST_S = 0.7
WINDOW = 1024
VARIETY = 8
"""Different tiles of the base size."""


@dataclass(frozen=True)
class Speed:
    """Bursts of forward passes on all cores."""

    bursts: tuple[float, ...]
    """Megapixels per second, in the order taken."""
    cpu: float
    """Processor seconds per megapixel."""

    @property
    def median(self) -> float:
        """Megapixels per second in an ordinary moment."""
        return statistics.median(self.bursts)

    @property
    def best(self) -> float:
        """Megapixels per second in the quietest moment."""
        return max(self.bursts)

    def __add__(self, other: Speed) -> Speed:
        return Speed((*self.bursts, *other.bursts), (self.cpu + other.cpu) / 2)


@dataclass(frozen=True)
class Cost:
    """Of one thing done once by one thread."""

    wall: float
    cpu: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True)
class Limit:
    """Everything overlaps perfectly, nothing is computed twice, every core is always busy."""

    pixels: int
    speed: float
    """Megapixels per second of the forward pass alone."""
    forward_cpu: float
    """Processor seconds per megapixel of the forward pass alone."""
    read: Cost
    write: Cost

    @property
    def wall(self) -> float:
        """Seconds."""
        return self.pixels / 1e6 / self.speed + (self.read.cpu + self.write.cpu) / cores()

    @property
    def cpu(self) -> float:
        """Processor seconds."""
        return self.pixels / 1e6 * self.forward_cpu + self.read.cpu + self.write.cpu


class Forward:
    """A network in its fastest mode: one thread a call, as many calls at once as cores."""

    def __init__(self, model: BenchModel, raster: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.network, options, providers=["CPUExecutionProvider"]
        )
        self._name = self._session.get_inputs()[0].name
        self._raster = raster
        self._tiles: dict[int, list[F32]] = {}

    def speed(self, seconds: float, edge: int = BASE_TILE) -> Speed:
        """Measure for about ``seconds`` on tiles of ``edge`` pixels that are in memory already."""
        if edge not in self._tiles:
            count = max(cores(), VARIETY * BASE_TILE // edge)
            self._tiles[edge] = _tiles(self._raster, edge, count)
            self._burst(edge, 0.0)
        until = time.perf_counter() + seconds
        bursts: list[float] = []
        spent, done = time.process_time(), 0.0
        while not bursts or time.perf_counter() < until:
            speed, megapixels = self._burst(edge, BURST_S)
            bursts.append(speed)
            done += megapixels
        return Speed(tuple(bursts), (time.process_time() - spent) / done)

    def relative_speed(self, edge: int, seconds: float) -> float:
        """Speed on tiles of ``edge`` pixels over that on base tiles, taken in turns."""
        if edge == BASE_TILE:
            return 1.0
        until = time.perf_counter() + seconds
        found: list[float] = []
        while not found or time.perf_counter() < until:
            base, at_edge = self.speed(0, BASE_TILE), self.speed(0, edge)
            found.append(at_edge.median / base.median)
        return statistics.median(found)

    def _burst(self, edge: int, seconds: float) -> tuple[float, float]:
        """Megapixels per second and megapixels of one burst."""
        tiles = self._tiles[edge]
        until = time.perf_counter() + seconds

        def lane(first: int) -> tuple[int, float]:
            start, calls = time.perf_counter(), 0
            while not calls or time.perf_counter() < until:
                self._session.run(None, {self._name: tiles[(first + calls) % len(tiles)]})
                calls += 1
            return calls, time.perf_counter() - start

        with ThreadPoolExecutor(cores()) as lanes:
            ended = list(lanes.map(lane, range(cores())))
        size = edge * edge / 1e6
        return sum(n / s for n, s in ended) * size, sum(n for n, _ in ended) * size


def reading(raster: Path) -> Cost:
    """Every pixel once, in large windows, with one thread."""
    with rasterio.Env(GDAL_NUM_THREADS=1), rasterio.open(raster) as source:
        started = _now()
        for window in _windows(source.shape):
            source.read(window=window)
        return _since(started)


def writing(result: Path, scratch: Path) -> Cost:
    """The pixels of ``result`` again, tiled and deflated, with one thread and no overviews."""
    with rasterio.open(result) as source:
        profile = {"crs": source.crs, "transform": source.transform, "count": 1, "dtype": "uint8"}
        profile |= {"width": source.width, "height": source.height, "driver": "GTiff"}
        profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
        with rasterio.Env(GDAL_NUM_THREADS=1):
            started = _now()
            target = rasterio.open(scratch, "w", BIGTIFF="IF_SAFER", **profile)
            spent = _since(started)
            for window in _windows(source.shape):
                pixels = source.read(1, window=window)
                started = _now()
                target.write(pixels, 1, window=window)
                spent += _since(started)
            started = _now()
            target.close()
    scratch.unlink()
    return spent + _since(started)


def _tiles(raster: Path, edge: int, count: int) -> list[F32]:
    """Tiles ``[1, 3, edge, edge]`` from different places, 0 to 1."""
    with rasterio.open(raster) as source:
        room = min(source.shape) - edge
        places = [(i * 7919 % (room + 1), i * 104729 % (room + 1)) for i in range(count)]
        read = [source.read(window=Window(col, row, edge, edge)) for row, col in places]
    return [pixels[None].astype(np.float32) / 255 for pixels in read]


def _windows(shape: Sequence[int]) -> list[Window]:
    height, width = shape
    return [
        Window(col, row, min(WINDOW, width - col), min(WINDOW, height - row))
        for row in range(0, height, WINDOW)
        for col in range(0, width, WINDOW)
    ]


def _now() -> Cost:
    return Cost(time.perf_counter(), time.process_time())


def _since(start: Cost) -> Cost:
    now = _now()
    return Cost(now.wall - start.wall, now.cpu - start.cpu)
