"""The disturbance network of OPERA DIST-S1 from its authors' weights to an ONNX file.

The file takes a tile as Swath's pipeline gives it; see ``engine.models.encoders.dist_s1_map``.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from encoders import as_numpy, keep
from looping import looped
from onnx import TensorProto, helper

from engine.models.encoders.dist_s1 import CHANNELS, load_dist_s1
from engine.models.encoders.dist_s1_map import (
    STEP,
    TOKENS,
    SeriesTile,
    SeriesVerdict,
    SeriesWindows,
)
from engine.models.encoders.onnx_run import OnnxRun

AGREE = 1e-4
"""Largest difference between PyTorch and ONNX Runtime in logits, which are about -3."""
AXES = {
    "after": {2: "H", 3: "W"},
    "before": {1: "T", 3: "H", 4: "W"},
    "embedding": {2: "H", 3: "W"},
}
MONTHS = helper.make_tensor_value_info("months", TensorProto.FLOAT, [1, "T"])
"""Of the series: Swath's pipeline gives them to all that take one; this network does not look."""
Given = dict[str, torch.Tensor]


def main() -> None:
    """Convert, compare, say what was written."""
    parser = argparse.ArgumentParser(prog="convert", description=__doc__)
    parser.add_argument("folder", type=Path, help="with config.json and state_dict.pt")
    parser.add_argument("onnx", type=Path, help="the file to write")
    asked = parser.parse_args()
    worst = convert(asked.folder, asked.onnx)
    if not worst < AGREE:
        asked.onnx.unlink()
        sys.exit(f"convert: the file's answers differ by {worst:.1e} from PyTorch's")
    content = asked.onnx.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    print(f"{asked.onnx}: {len(content)} bytes, sha256 {digest}, differs by {worst:.1e}")


def convert(folder: Path, path: Path) -> float:
    """Write the file; the largest difference on tiles of several shapes, lengths and gaps."""
    network = load_dist_s1(folder)
    form = network.form
    several = max(1, TOKENS // (form.dates * form.patches))
    parts = (
        SeriesTile(form.window, several),
        SeriesWindows(network, several),
        SeriesVerdict(form.window),
    )
    side = form.window
    example = tile(3, side + 4 * STEP, side + 6 * STEP)
    model = looped(parts, example, AXES, ("series", "newest"), "newest")
    model.graph.input.append(MONTHS)
    keep(model, path)
    run, worst = OnnxRun(path), 0.0
    for shape in ((1, side, side), (2, 2 * side, side + STEP), (form.dates, side, 3 * side)):
        given = tile(*shape)
        with torch.inference_mode():
            wanted = alone(parts, given)
        worst = max(
            worst, difference(wanted, run(as_numpy({**given, "months": torch.ones(1, shape[0])})))
        )
    return worst


def alone(parts: tuple[torch.nn.Module, ...], given: Given) -> np.ndarray:
    """What the three parts give without a file around them."""
    series, newest, passes = parts[0](*given.values())
    pieces = [parts[1](torch.tensor(n), series, newest) for n in range(passes)]
    return parts[2](torch.stack(pieces), newest).numpy()


def difference(wanted: np.ndarray, found: np.ndarray) -> float:
    """The largest of means, as logits, and of spreads; infinite without a number."""
    mean, spread = slice(1 + CHANNELS, 1 + 2 * CHANNELS), slice(1 + 2 * CHANNELS, None)
    decibels = np.log(10) / 10
    gaps = (wanted - found)[:, mean] * decibels, (wanted - found)[:, spread]
    return max(float(np.nan_to_num(np.abs(gap), nan=np.inf).max()) for gap in gaps)


def tile(dates: int, rows: int, columns: int) -> Given:
    """Plausible numbers with gaps."""
    random = np.random.default_rng(dates)
    ground = random.uniform(-20, -5, (1, CHANNELS, rows, columns))
    noise = random.normal(0, 1, (1, dates + 1, *ground.shape[1:]))
    scenes = torch.from_numpy((ground[:, None] + noise).astype(np.float32))
    scenes[:, 1:dates, :, : rows // 2] = -1e6
    scenes[:, :dates, :, :, :STEP] = -1e6
    return {"after": scenes[:, -1].contiguous(), "before": scenes[:, :-1]}


if __name__ == "__main__":
    main()
