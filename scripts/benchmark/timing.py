"""Runs of Swath between probes of the machine's speed, and what follows from both."""

from __future__ import annotations

import functools
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio

from benchmark.limits import BASE_TILE, Cost, Forward, Limit, Speed, reading, writing
from benchmark.models import BenchModel
from benchmark.progress import tell
from benchmark.runs import SWATH, Run, watched
from benchmark.workload import Workload
from engine.contract.codec import from_plain
from engine.geo.tiling import TileRule, Tiling
from engine.geo.window import Window


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    raster: str
    repeats: int
    """Runs at the most."""
    patience_s: float
    """No further run begins once the runs have taken so long."""
    probe_s: float
    bars: bool
    """Whether the bars of speed hold at this size."""


@dataclass(frozen=True)
class Timing:
    """A program on one raster, again and again, with a probe before, between and after."""

    runs: tuple[Run, ...]
    probes: tuple[Speed, ...]
    """One more than runs."""
    read: Cost
    write: Cost
    pixels: int

    @property
    def all_probes(self) -> Speed:
        """All bursts of all probes."""
        return functools.reduce(lambda a, b: a + b, self.probes)

    def limit(self, speed: float) -> Limit:
        """The limit at a forward speed, megapixels per second."""
        cpu = statistics.median(p.cpu for p in self.probes)
        return Limit(self.pixels, speed, cpu, self.read, self.write)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of each run: its wall over the limit as the probes on both its sides have it."""
        sides = zip(self.probes, self.probes[1:], strict=False)
        beside = [(before.median + after.median) / 2 for before, after in sides]
        return tuple(
            run.wall / self.limit(speed).wall for run, speed in zip(self.runs, beside, strict=True)
        )

    @property
    def unrest(self) -> float:
        """How far the two probes beside a run differ at the most, as a share of the faster one."""
        sides = zip(self.probes, self.probes[1:], strict=False)
        pairs = [sorted((before.median, after.median)) for before, after in sides]
        return max(1 - slower / faster for slower, faster in pairs)

    @property
    def ratio(self) -> float:
        """The middle one of the ratios."""
        return statistics.median(self.ratios)

    @property
    def strict_ratio(self) -> float:
        """The middle wall over the limit of the quietest moment that any probe met."""
        wall = statistics.median(run.wall for run in self.runs)
        return wall / self.limit(self.all_probes.best).wall

    @property
    def cpu_ratio(self) -> float:
        """Processor seconds over those of the limit; other work on the machine hardly moves it."""
        cpu = statistics.median(run.cpu for run in self.runs)
        return cpu / self.limit(self.all_probes.median).cpu

    @property
    def peak_mib(self) -> float:
        """The largest of all runs."""
        return max(run.peak_mib for run in self.runs)


@dataclass(frozen=True)
class Tiles:
    """The tiles that Swath took."""

    rule: TileRule
    overlap: float
    """Pixels computed per pixel kept."""


class Bench:
    """Runs Swath as a user does, in a state folder of its own."""

    def __init__(
        self, workload: Workload, models: dict[str, BenchModel], cache: Path, folder: Path
    ) -> None:
        self.workload = workload
        self.models = models
        self.cache = cache
        """What outlives this run of the benchmark."""
        self.folder = folder
        """Results and state of this run."""
        self._forwards: dict[str, Forward] = {}

    def swath(self, model: str, raster: str, *, polygons: bool = False, memory: int = 0) -> Run:
        """One run; its outputs stay where ``result`` says.

        Args:
            model: ``unet`` or ``tiny``.
            raster: Name of a raster of the workload.
            polygons: Whether to trace polygons too.
            memory: Mebibytes to stay within, for an engine that can be told; 0 says nothing.
        """
        result = self.result(model, raster)
        command = [SWATH, "segment", self.workload.raster(raster), result, "--overwrite", "--quiet"]
        command += ["--model", self.models[model].card, "--input-profile", "rgb8"]
        command += ["--device", "cpu"]
        if polygons:
            command += ["--vector", result.with_suffix(".gpkg")]
        if memory and "--memory" in options_of_segment():
            command += ["--memory", str(memory)]
        tell(f"swath: {model} on {raster}{' with polygons' if polygons else ''}")
        return self.watch(command, result)

    def watch(
        self, command: list[str | Path], result: Path, environment: dict[str, str] | None = None
    ) -> Run:
        """Run any program that writes ``result``."""
        state = {"SWATH_STATE": str(self.folder / "state")}
        return watched(command, result, self.folder / "log.txt", state | (environment or {}))

    def result(self, model: str, raster: str) -> Path:
        """The class raster of a run."""
        return self.folder / f"{raster}-{model}.tif"

    def forward(self, model: str) -> Forward:
        """The network by itself."""
        if model not in self._forwards:
            raster = self.workload.raster("rgb_2500")
            self._forwards[model] = Forward(self.models[model], raster)
        return self._forwards[model]

    def speed(self, model: str, seconds: float) -> Speed:
        """A probe of the forward pass alone."""
        found = self.forward(model).speed(seconds)
        tell(f"forward alone: {model} at {BASE_TILE}: {found.median:.2f} MPix/s")
        return found

    def tiles(self, model: str, raster: str) -> Tiles:
        """What the item beside a result says about its tiles."""
        item = json.loads(self.result(model, raster).with_suffix(".json").read_text("utf-8"))
        rule = from_plain(TileRule, item["properties"]["swath:options"]["tile"])
        with rasterio.open(self.workload.raster(raster)) as source:
            shape = source.shape
        tiling = Tiling(shape, Window(0, 0, *shape), rule)
        return Tiles(rule, tiling.computed_pixels / (shape[0] * shape[1]))

    def time_swath(self, model: str, scale: Scale, memory: int = 0) -> Timing:
        """Swath between probes, and the limits of reading and writing.

        A small raster goes first, since Swath measures a model of free size once on a machine;
        its time is told, not counted.
        """
        first = self.swath(model, "rgb_2k", memory=memory)
        tell(f"{model}: measured once, with a raster of 2048²: {first.wall:.1f} s, not counted")
        raster, probes = scale.raster, [self.speed(model, scale.probe_s)]
        runs: list[Run] = []
        while len(runs) < scale.repeats and sum(r.exit for r in runs) <= scale.patience_s:
            runs.append(self.swath(model, raster, memory=memory))
            probes.append(self.speed(model, scale.probe_s))
        return self.timing(raster, self.result(model, raster), runs, probes)

    def timing(self, raster: str, result: Path, runs: list[Run], probes: list[Speed]) -> Timing:
        """Put runs and probes together with what reading and writing cost alone."""
        source = self.workload.raster(raster)
        with rasterio.open(source) as opened:
            pixels = opened.width * opened.height
        write = writing(result, self.folder / "written.tif")
        return Timing(tuple(runs), tuple(probes), reading(source), write, pixels)


@functools.cache
def options_of_segment() -> str:
    """The help of ``swath segment``."""
    import subprocess  # noqa: PLC0415

    asked = subprocess.run([SWATH, "segment", "--help"], capture_output=True, text=True, check=True)
    return asked.stdout


def as_record(timing: Timing) -> dict[str, Any]:
    """A timing for the JSON file."""
    probes = timing.all_probes
    return {
        "ratio_512": timing.ratio,
        "ratio_512_of_each_run": list(timing.ratios),
        "ratio_512_strict": timing.strict_ratio,
        "ratio_cpu": timing.cpu_ratio,
        "wall_s": [r.wall for r in timing.runs],
        "exit_s": [r.exit for r in timing.runs],
        "cpu_s": [r.cpu for r in timing.runs],
        "peak_mib": [r.peak_mib for r in timing.runs],
        "others": [r.others for r in timing.runs],
        "limit_512_s": timing.limit(probes.median).wall,
        "limit_512_cpu_s": timing.limit(probes.median).cpu,
        "probes_differ": timing.unrest,
        "forward_512_mpix_s": {
            "median": probes.median,
            "min": min(probes.bursts),
            "max": probes.best,
            "probes": [p.median for p in timing.probes],
        },
        "read_s": {"wall": timing.read.wall, "cpu": timing.read.cpu},
        "write_s": {"wall": timing.write.wall, "cpu": timing.write.cpu},
    }
