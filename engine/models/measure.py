"""How fast a model runs here, and in how much memory, for several tile sizes.

The measurement runs in a process of its own, so that its peak memory is the model's, and is kept:
it belongs to this model file, on this device, with this version of the runtime.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import psutil

from engine.contract.codec import from_plain, to_plain
from engine.contract.errors import EngineError, ErrorCode, ErrorInfo
from engine.contract.messages import Precision
from engine.models.card import ModelCard
from engine.models.cardfile import card_to_json, read_card
from engine.models.disk import whole_file
from engine.models.runtime import Model, open_model, runtime_version
from engine.models.shapes import noise

F32 = npt.NDArray[np.float32]

SIZES = (256, 512, 768, 1024, 1280, 1536, 2048)
"""Tile edges that are tried, as far as a model allows them."""
LONG = 0.3
"""A pass of this many seconds is timed once; shorter ones twice, for their noise."""
LONGEST = 1.2
"""Larger tiles are not tried once a pass takes this many seconds."""
MOST_MEMORY = 4 * 2**30
"""Nor once the process has grown to this size."""
MOST_READERS = 16
"""Each may hold a tile's scores in a device's memory."""
TIMEOUT = 300
"""Seconds after which a measurement is given up."""


@dataclass(frozen=True, slots=True)
class Point:
    """One tile size."""

    size: int
    seconds: float
    """Of one tile, while every thread works on one."""
    memory: int
    """Bytes above those of the process without the model, at its peak."""


@dataclass(frozen=True)
class Measurement:
    """What is known of a model on this machine."""

    sha256: str
    device: str
    """Really used."""
    threads: int
    """Passes side by side."""
    points: tuple[Point, ...]
    """By size."""

    def at(self, size: int) -> Point:
        """The point of a size; between points the seconds and bytes per pixel of the next one."""
        near = min(self.points, key=lambda p: abs(p.size - size))
        share = (size / near.size) ** 2
        return Point(size, near.seconds * share, round(near.memory * share))


def passes_side_by_side(device: str) -> int:
    """Single-threaded passes side by side beat one pass with many threads on a CPU."""
    return (os.cpu_count() or 1) if device == "cpu" else 2


def tiles_side_by_side(device: str) -> int:
    """Tiles that are read or computed at once: enough readers to keep any device busy."""
    return max(min(os.cpu_count() or 1, MOST_READERS), passes_side_by_side(device))


def measured(
    card: ModelCard, path: Path, device: str, folder: Path, precision: Precision = "exact"
) -> Measurement:
    """The measurement of a model, made now if there is none.

    Args:
        card: The model's card.
        path: Its file.
        device: As asked for.
        folder: Where measurements are kept.
        precision: As settled.

    Raises:
        EngineError: ``MODEL_FAILED`` or what running the model raises.
    """
    name = f"{card.file.sha256[:16]}-{card.tiling.size}-{device.replace(':', '')}"
    kept = folder / f"{name}-{precision}-{runtime_version(card)}.json"
    with contextlib.suppress(OSError, ValueError, EngineError):
        return from_plain(Measurement, json.loads(kept.read_text("utf-8")))
    found = _measure_apart(card, path, device, precision)
    with whole_file(kept) as file:
        file.write(json.dumps(to_plain(found)).encode())
    return found


def _measure_apart(card: ModelCard, path: Path, device: str, precision: Precision) -> Measurement:
    with tempfile.TemporaryDirectory(prefix="swath-measure-") as folder:
        place = Path(folder) / "card.json"
        place.write_text(json.dumps(card_to_json(card)), "utf-8")
        command = [sys.executable, "-I", "-X", "utf8", "-m", "engine.models.measure"]
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and module
                [*command, str(place), str(path), device, precision],
                capture_output=True,
                text=True,
                encoding="utf-8",
                stdin=subprocess.DEVNULL,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise _unmeasured(card, device, f"it took more than {late.timeout:g} s") from late
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        why = f"its process ended with {done.returncode}"
        raise _unmeasured(card, device, why) from None
    if "error" in answer:
        info = from_plain(ErrorInfo, answer["error"])
        raise EngineError(info.code, info.message, info.hint)
    return from_plain(Measurement, answer)


def _unmeasured(card: ModelCard, device: str, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_FAILED,
        f"The model {card.id} could not be measured on {device}; {why}.",
        "Choose another device, or a model that needs less memory.",
    )


def sizes_for(card: ModelCard) -> tuple[int, ...]:
    """Tile edges that a model can be run with."""
    rule = card.tiling
    if rule.fixed:
        return (rule.size,)
    whole = {size // rule.stride * rule.stride for size in (*SIZES, rule.size)}
    least = 2 * rule.margin + rule.stride
    return tuple(sorted(size for size in whole if least <= size <= rule.size))


def measure(
    card: ModelCard, path: Path, device: str, precision: Precision = "exact"
) -> Measurement:
    """Run the model on noise in every size that it can be run with, in this process."""
    before = _peak()
    model = open_model(card, path, device, 1, precision)
    threads = passes_side_by_side(model.device)
    points: list[Point] = []
    for size in sizes_for(card):
        try:
            seconds = _seconds(model, size, threads)
        except EngineError as error:
            if points and error.code is ErrorCode.OUT_OF_MEMORY:
                break
            raise
        points.append(Point(size, seconds, _peak() - before))
        if seconds > LONGEST or points[-1].memory > MOST_MEMORY / 2:
            break
    return Measurement(card.file.sha256, model.device, threads, tuple(points))


def measure_open(model: Model) -> Measurement:
    """A quick look at a model of fixed tile size that is open already: one pass of each thread.

    Its memory is what the process grew by since; passes made before hide their share.
    """
    process = psutil.Process()
    before = process.memory_info().rss
    threads = passes_side_by_side(model.device)
    size = model.card.tiling.size
    seconds = _seconds(model, size, threads)
    grown = max(process.memory_info().rss - before, 0)
    return Measurement(
        model.card.file.sha256, model.device, threads, (Point(size, seconds, grown),)
    )


def _seconds(model: Model, size: int, threads: int) -> float:
    """Of one tile: the best of some rounds, after one that does not count; one if that is long."""
    arrays = noise(model.card, size)
    with ThreadPoolExecutor(threads) as pool:
        first = _round(pool, model, arrays, threads)
        rounds = 1 if first > LONG else 2
        return min(_round(pool, model, arrays, threads) for _ in range(rounds))


def _round(pool: ThreadPoolExecutor, model: Model, arrays: tuple[F32, ...], threads: int) -> float:
    """On a CPU its own time counts, which other programs of a busy machine disturb less."""
    on_cpu = model.device == "cpu"
    clock, side_by_side = (time.process_time, threads) if on_cpu else (time.perf_counter, 1)
    start = clock()
    list(pool.map(lambda _: model.predict(*arrays), range(threads)))
    return (clock() - start) / side_by_side


def _peak() -> int:
    """Bytes of this process at its largest."""
    usage = psutil.Process().memory_info()
    if sys.platform == "win32":
        return int(usage.peak_wset)
    status = Path("/proc/self/status")
    if status.exists():  # Linux' rusage would count the program that started this one
        line = next(x for x in status.read_text("ascii").splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # noqa: PLC0415 - POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return max(int(usage.rss), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def main() -> None:
    """Measure what the command line names, and print it, or the error, as JSON."""
    card, path, device, precision = sys.argv[1:]
    answer: Measurement | dict[str, ErrorInfo]
    try:
        asked = cast("Precision", precision)
        answer = measure(read_card(Path(card)), Path(path), device, asked)
    except EngineError as error:
        answer = {"error": error.info}
    print(json.dumps(to_plain(answer)))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
