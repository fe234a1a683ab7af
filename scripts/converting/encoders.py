"""Galileo and Presto from their authors' weights to ONNX files that need no PyTorch.

Each file takes physical numbers, with NaN where nothing was seen, and leaves out what was not seen:
one file serves every choice of sensors, bands and dates. With ``--map`` it takes a tile of a raster
as Swath's pipeline gives it, and gives a map of embeddings; see ``engine.models.encoders.maps``.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from looping import looped, traced

from engine.models.encoders.embedding import ChipEncoder, PixelEncoder
from engine.models.encoders.galileo import SCALINGS, Choices, load_galileo
from engine.models.encoders.maps import (
    ChipBlend,
    ChipTile,
    ChipWindow,
    PixelMap,
    PixelPiece,
    PixelTile,
)
from engine.models.encoders.onnx_run import OnnxRun
from engine.models.encoders.presto import load_presto
from engine.models.encoders.series import LONGEST, ChipSeries, Inputs, PixelSeries
from engine.models.encoders.weights import TorchRun

AGREE = 1e-4
"""Largest difference between PyTorch and ONNX Runtime, in numbers of about 1."""
CHIP_AXES = {
    "months": {0: "T"},
    "s2": {0: "T", 2: "H", 3: "W"},
    "s1": {0: "T", 2: "H", 3: "W"},
    "embedding": {1: "rows", 2: "columns"},
}
PIXEL_AXES = {
    "latlon": {0: "N"},
    "srtm": {0: "N"},
    "seen": {0: "K"},
    **{name: {0: "N", 1: "T"} for name in ("months", "s2", "s1", "era5", "cover")},
    "embedding": {0: "N"},
}
MAP_AXES = {
    "s2": {1: "T", 3: "H", 4: "W"},
    "s1": {1: "T", 3: "H", 4: "W"},
    "months": {1: "T"},
    "embedding": {2: "rows", 3: "columns"},
}


def main() -> None:
    """Convert, compare, say what was written."""
    parser = argparse.ArgumentParser(prog="convert", description=__doc__)
    parser.add_argument("encoder", choices=("galileo", "presto"))
    parser.add_argument("weights", type=Path, help="encoder.pt or default_model.pt")
    parser.add_argument("onnx", type=Path, help="the file to write")
    parser.add_argument("--patch", type=int, default=4, choices=range(1, 9))
    parser.add_argument("--scaling", default="pretrained", choices=sorted(SCALINGS))
    parser.add_argument("--ndvi", action="store_true", help="the vegetation index as a group")
    parser.add_argument("--unplaced", action="store_true", help="for tiles of a larger raster")
    parser.add_argument("--map", action="store_true", help="for Swath's pipeline")
    asked = parser.parse_args()
    if asked.encoder == "galileo":
        choices = Choices(asked.patch, asked.scaling, asked.ndvi, not asked.unplaced)
        convert = map_galileo if asked.map else convert_galileo
        worst = convert(asked.weights, asked.onnx, choices)
    else:
        worst = (map_presto if asked.map else convert_presto)(asked.weights, asked.onnx)
    if not worst < AGREE:
        asked.onnx.unlink()
        sys.exit(f"convert: the file's answers differ by {worst:.1e} from PyTorch's")
    content = asked.onnx.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    print(f"{asked.onnx}: {len(content)} bytes, sha256 {digest}, differs by {worst:.1e}")


def convert_galileo(weights: Path, path: Path, choices: Choices) -> float:
    """Write the file; the largest difference on chips of several shapes and gaps."""
    network = load_galileo(weights, choices)
    edge = 4 * choices.patch
    write(network, _chips(3, edge, 2 * edge).inputs(0), CHIP_AXES, path)
    old, new = ChipEncoder(TorchRun(network, "cpu", half=False)), ChipEncoder(OnnxRun(path))
    shapes = [(1, edge, edge), (5, 2 * edge, edge), (LONGEST, edge, edge)]
    tried = [_chips(*shape) for shape in shapes]
    tried += [replace(tried[1], s1=None), replace(tried[1], s2=None)]
    return max(_difference(old.embed(chips), new.embed(chips)) for chips in tried)


def convert_presto(weights: Path, path: Path) -> float:
    """Write the file; the largest difference on series of several lengths and gaps."""
    network = load_presto(weights)
    example = _pixels(5, 7)
    every = np.arange(len(example))
    write(network, {**example.inputs(every), "seen": example.seen()[0]}, PIXEL_AXES, path)
    old, new = PixelEncoder(TorchRun(network, "cpu", half=False)), PixelEncoder(OnnxRun(path))
    tried = [_pixels(100, 12), _pixels(3, 1), _pixels(2, LONGEST)]
    tried += [replace(tried[0], s1=None, cover=None), replace(tried[0], s2=None, srtm=None)]
    return max(_difference(old.embed(pixels), new.embed(pixels)) for pixels in tried)


def map_galileo(weights: Path, path: Path, choices: Choices) -> float:
    """Write the file; the largest difference on tiles from embedding their windows one by one."""
    parts = ChipTile(choices.patch), ChipWindow(load_galileo(weights, choices))
    parts = *parts, ChipBlend(choices.patch)
    ready = ("s2_seen", "s1_seen", "month_numbers", "across")
    keep(looped(parts, tile(_chips(3, 64, 96)), MAP_AXES, ready, "across"), path)

    def alone(shown: dict[str, torch.Tensor]) -> np.ndarray:
        *prepared, count = parts[0](*shown.values())
        pieces = [parts[1](torch.tensor(n), *prepared) for n in range(count)]
        return parts[2](torch.stack(pieces), prepared[-1]).numpy()

    return largest_difference(alone, path, [(1, 32, 32), (2, 64, 48), (13, 32, 48)])


def map_presto(weights: Path, path: Path) -> float:
    """Write the file; the largest difference on tiles from embedding their pixels."""
    network = load_presto(weights)
    parts = PixelTile(), PixelPiece(network), PixelMap()
    ready = ("s2_seen", "s1_seen", "latlon", "month_numbers")
    keep(looped(parts, tile(_chips(3, 13, 17), place=True), MAP_AXES, ready, "s1"), path)
    encoder = PixelEncoder(TorchRun(network, "cpu", half=False))

    def alone(shown: dict[str, torch.Tensor]) -> np.ndarray:
        s2, s1, latlon, months = (a.numpy() for a in parts[0](*shown.values())[:-1])
        series = PixelSeries(latlon, np.tile(months, (len(s2), 1)), s2, s1)
        return encoder.embed(series).T.reshape(1, -1, *shown["s1"].shape[3:])

    return largest_difference(alone, path, [(1, 1, 1), (3, 13, 17), (LONGEST, 8, 20)], place=True)


def largest_difference(
    alone: Callable[[dict[str, torch.Tensor]], np.ndarray],
    path: Path,
    shapes: list[tuple[int, int, int]],
    *,
    place: bool = False,
) -> float:
    """Between a file and what it was made of, on tiles with gaps, with and without radar."""
    run, worst = OnnxRun(path), 0.0
    for chips in (_chips(*shape) for shape in shapes):
        for given in (chips, replace(chips, s1=np.full_like(chips.s1, np.nan))):
            shown = tile(given, place=place)
            with torch.inference_mode():
                wanted = alone(shown)
            worst = max(worst, _difference(wanted, run(as_numpy(shown))))
    return worst


def tile(chips: ChipSeries, *, place: bool = False) -> dict[str, torch.Tensor]:
    """A chip as the pipeline gives a tile; ``place``: with the channels that tell where it is."""
    s2, s1 = (torch.from_numpy(a).nan_to_num(-1e6) for a in (chips.s2 / 1e4, chips.s1))
    if place:
        waves = torch.linspace(0.2, 0.8, 4)[:, None, None].expand(1, s2.shape[1], 4, *s2.shape[3:])
        s2 = torch.cat([s2, waves], 2)
    return {"s2": s2, "s1": s1, "months": torch.from_numpy(chips.months + 1.0).float()}


def as_numpy(arrays: dict[str, torch.Tensor]) -> Inputs:
    """The same arrays."""
    return {name: array.numpy() for name, array in arrays.items()}


def write(
    network: torch.nn.Module, example: Inputs, axes: dict[str, dict[int, str]], path: Path
) -> None:
    """Trace a network with an example and write it, whole or not at all."""
    names = list(inspect.signature(network.forward).parameters)
    given = {name: torch.from_numpy(np.array(example[name])) for name in names}
    keep(traced(network, given, ["embedding"], axes), path)


def keep(model: onnx.ModelProto, path: Path) -> None:
    """Check a file and write it, whole or not at all."""
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_bytes(model.SerializeToString(deterministic=True))
    unfinished.replace(path)


def _chips(dates: int, rows: int, columns: int) -> ChipSeries:
    """One chip of plausible numbers, with a gap when there are several dates."""
    random = np.random.default_rng(dates)
    s2 = random.uniform(0, 5000, (1, dates, 10, rows, columns)).astype(np.float32)
    s1 = random.uniform(-25, 0, (1, dates, 2, rows, columns)).astype(np.float32)
    s2[:, 1:2, 3, : rows // 2] = np.nan
    return ChipSeries(random.integers(0, 12, (1, dates)), s2, s1)


def _pixels(count: int, dates: int) -> PixelSeries:
    """Pixels of plausible numbers, a few with gaps."""
    random = np.random.default_rng(count)

    def between(low: float, high: float, *shape: int) -> np.ndarray:
        return random.uniform(low, high, (count, *shape)).astype(np.float32)

    s2 = between(0, 5000, dates, 10)
    s2[::7, dates // 2] = np.nan
    return PixelSeries(
        between(-60, 60, 2),
        random.integers(0, 12, (count, dates)),
        s2,
        between(-25, 0, dates, 2),
        between(270, 300, dates, 2),
        between(0, 45, 2),
        random.integers(0, 10, (count, dates)),
    )


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest; infinite where only one of them says NaN."""
    if (np.isnan(first) != np.isnan(second)).any():
        return float("inf")
    return float(np.nanmax(np.abs(first - second)))


if __name__ == "__main__":
    main()
