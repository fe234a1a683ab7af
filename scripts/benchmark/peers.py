"""Other programs on the same raster with the same networks, each in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from benchmark.models import CHECKOUT, NAMES
from benchmark.progress import tell
from benchmark.rows import Check, Findings, Speeds, add_swath
from benchmark.runs import RunFailedError
from benchmark.timing import Bench, Scale, Timing, as_record

PROGRAMS = Path(__file__).parent / "peer"
TORCH = "torch==2.13.0"
TORCHVISION = "torchvision==0.28.0"


@dataclass(frozen=True)
class Peer:
    """A program and how its environment is made."""

    program: str
    installs: tuple[tuple[str, ...], ...]
    """Arguments of one ``uv pip install`` after another."""


PEERS = {
    "geodeep": Peer("run_geodeep.py", (("geodeep==0.9.13", "onnx"),)),
    "geo-inference": Peer(
        "run_geo_inference.py",
        (
            (TORCH,),
            # Its own demands would bring another build of PyTorch along.
            ("--no-deps", TORCHVISION),
            (TORCH, TORCHVISION, "geo-inference==3.2.4", "onnx"),
        ),
    ),
}


@dataclass(frozen=True)
class _Trial:
    """One peer with one network on one raster."""

    peer: str
    python: Path
    model: str
    scale: Scale

    @property
    def title(self) -> str:
        return f"{self.peer} {self.model} {self.scale.raster}"

    def time(self, bench: Bench, work: Path) -> tuple[Timing, Path]:
        """One run between two probes, and its class raster."""
        work.mkdir(exist_ok=True)
        result = work / f"{self.scale.raster}-{self.model}.tif"
        source = bench.workload.raster(self.scale.raster)
        program, network = PROGRAMS / PEERS[self.peer].program, bench.models[self.model].network
        before = bench.speed(self.model, self.scale.probe_s)
        tell(self.title)
        run = bench.watch([self.python, program, source, network, result, work], result)
        probes = [before, bench.speed(self.model, self.scale.probe_s)]
        return bench.timing(self.scale.raster, result, [run], probes), result


def measure_peers(bench: Bench, scale: Scale, found: Findings) -> None:
    """Swath and every peer with both networks; a peer that fails is told and passed over."""
    pythons = {name: _environment(bench.cache / "peers" / name, PEERS[name]) for name in PEERS}
    for model in NAMES:
        if found.timing(model, scale.raster) is None:
            add_swath(bench, scale, found, model)
        for name, python in pythons.items():
            if python is not None:
                _add(_Trial(name, python, model, scale), bench, found)


def _add(trial: _Trial, bench: Bench, found: Findings) -> None:
    try:
        timing, result = trial.time(bench, bench.folder / trial.peer)
    except RunFailedError as error:
        tell(f"{trial.title}: {error}")
        found.checks.append(Check(trial.title, "failed"))
        return
    same = _agreement(result, bench.result(trial.model, trial.scale.raster))
    found.speeds.append(Speeds(trial.peer, trial.model, trial.scale.raster, timing))
    found.record[trial.title] = as_record(timing) | {"same_as_swath": same}
    found.checks.append(Check(f"{trial.title}: same class as Swath", f"{100 * same:.2f} %"))


def _agreement(one: Path, other: Path) -> float:
    """Share of pixels with the same class: whether both did the same work."""
    with rasterio.open(one) as a, rasterio.open(other) as b:
        return float(np.mean(a.read(1) == b.read(1)))


def _environment(folder: Path, peer: Peer) -> Path | None:
    """The environment's Python; None, and a word why, when it cannot be made."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "ready"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == repr(peer.installs):
        return python
    tell(f"making an environment for {folder.name}")
    try:
        _uv("venv", "--clear", "--python", sys.executable, str(folder))
        for packages in peer.installs:
            _uv("pip", "install", *_local_builds(), "--python", str(python), *packages)
    except (OSError, subprocess.CalledProcessError) as error:
        tell(f"{folder.name} is left out, since it cannot be installed: {error}")
        return None
    stamp.write_text(repr(peer.installs), encoding="utf-8")
    return python


def _uv(*arguments: str) -> None:
    command = [CHECKOUT / "scripts" / "uv", *arguments, "--quiet"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _local_builds() -> list[str]:
    """Folders in which pip is told to look for builds; uv does not ask by itself."""
    said = os.environ.get("PIP_FIND_LINKS")
    if said is None:
        asked = ("python3", "-m", "pip", "config", "get", "global.find-links")
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return ["--find-links", said] if said else []
