"""The machine: what it is, and who else uses it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import rasterio

LIBRARIES = ("numpy", "onnxruntime", "rasterio", "shapely", "swath-engine")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, object]:
    """The machine and the versions of what computes, without names of people or folders."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "gdal": rasterio.__gdal_version__,
        "commit": _commit(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def short_name() -> str:
    """The machine in a file name."""
    words = re.sub(r"\(.*?\)|@.*|processor|cpu", " ", _processor().lower())
    return "-".join([*re.findall("[a-z0-9]+", words)[:4], f"{cores()}c"])


@dataclass(frozen=True)
class Usage:
    """Processor seconds of the whole machine since it started."""

    busy: float
    stolen: float
    """Taken by other guests of the same host, where the system tells."""

    @classmethod
    def now(cls) -> Usage:
        """Read the counters."""
        times = psutil.cpu_times()
        named = ("user", "nice", "system", "irq", "softirq")
        return cls(sum(getattr(times, n, 0.0) for n in named), getattr(times, "steal", 0.0))

    def others(self, own: float, seconds: float) -> float:
        """Share of all cores, 0 to 1, that other work has taken since.

        Args:
            own: Processor seconds of the work that was measured.
            seconds: For how long it ran.
        """
        now = Usage.now()
        spent = (now.busy - self.busy) + (now.stolen - self.stolen)
        everything = seconds * (os.cpu_count() or 1)
        return min(max((spent - own) / everything, 0.0), 1.0)


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        found = re.search(r"model name\s*:\s*(.+)", listed.read_text(encoding="utf-8"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    asked = ("git", "describe", "--always", "--dirty", "--abbrev=12")
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
