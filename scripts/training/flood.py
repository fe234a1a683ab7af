"""Trains the flood model: Sentinel-1 backscatter to water, and asks every chip for its opinion.

With ``--folds`` it trains one model for each chip on all the others, and says how well each maps
the chip that it has never seen, beside the best single VH threshold of those others.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter

from training.augment import dihedral
from training.chips import UNKNOWN, Chip, chips
from training.export import write_onnx
from training.fitting import Schedule, fit, repeatable
from training.mapping import FREE, open_model
from training.places import CHECKOUT, cache_folder, data_folder
from training.reach import reach
from training.waternet import STRIDE, Steadied, WaterNet, water_loss
from training.waterscore import best_threshold, overlap, pooled
from training.weather import other_weather

MODEL = CHECKOUT / "resources" / "models" / "flood.onnx"
MEAN, STD = (-12.0, -19.0), (5.0, 6.0)
"""Of VV and VH in dB: round numbers, the same for every image and tile."""
HIDDEN, AROUND = -18.0, 2.0
"""Water with a brighter VH than this, dB, as the mean over so many pixels, lies under plants."""
CROP, BATCH = 128, 12
SCHEDULE = Schedule(steps=200, rate=4e-3, warm=50, memory=0.98, told=50)


def normalised(backscatter: torch.Tensor) -> torch.Tensor:
    """Backscatter ``[..., 2, H, W]`` in dB as the network wants it; nothing becomes 0."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return ((backscatter - mean) / std).nan_to_num(0.0)


def batches(seen: Sequence[Chip]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of crops, the chips in turn."""
    pixels = [torch.from_numpy(chip.backscatter) for chip in seen]
    labels = [torch.from_numpy(lesson(chip)) for chip in seen]
    turn = 0
    while True:
        crops = []
        for _ in range(BATCH):
            crops.append(_crop(pixels[turn], labels[turn]))
            turn = (turn + 1) % len(seen)
        decibel, label = (torch.stack(part) for part in zip(*crops, strict=True))
        given = normalised(other_weather(decibel, label))
        yield given.contiguous(memory_format=torch.channels_last), label


def lesson(chip: Chip) -> npt.NDArray[np.int64]:
    """The label without the water that only the optical image has seen.

    Under dense plants a flood is as bright as dry land. A network that must call this water learns
    to call land water elsewhere, so such pixels teach nothing; they count when maps are scored.
    """
    around = gaussian_filter(np.nan_to_num(chip.backscatter[1], nan=MEAN[1]), AROUND)
    hidden = (chip.label == 1) & (around > HIDDEN)
    return np.where(chip.known & ~hidden, chip.label, UNKNOWN).astype(np.int64)


def _crop(pixels: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = labels.shape
    y = int(torch.randint(0, height - CROP + 1, ()))
    x = int(torch.randint(0, width - CROP + 1, ()))
    rows, cols = slice(y, y + CROP), slice(x, x + CROP)
    which = int(torch.randint(0, 8, ()))
    return dihedral(pixels[:, rows, cols], which), dihedral(labels[rows, cols], which)


def train(seen: Sequence[Chip], path: Path) -> None:
    """Train on chips and write the model."""
    print(f"training on {', '.join(chip.name for chip in seen)}", flush=True)
    repeatable(seed=0, threads=1)
    network = WaterNet().to(memory_format=torch.channels_last)
    network = Steadied(fit(network, batches(seen), water_loss, SCHEDULE)).eval()
    digest = write_onnx(network, torch.zeros(1, 2, 64, 64), path, FREE)
    count = sum(p.numel() for p in network.parameters())
    print(f"{path.name}: {path.stat().st_size} bytes, sha256 {digest}, {count} parameters")
    print(f"it sees {reach(network, 2, STRIDE)} pixels far")


def fold_path(chip: Chip) -> Path:
    """The model that has seen all chips but this one."""
    return cache_folder() / "flood" / f"without-{chip.name}.onnx"


def water(model: Path, chip: Chip) -> npt.NDArray[np.bool_]:
    """Where a written model sees water in a chip, ``[H, W]``."""
    given = normalised(torch.from_numpy(chip.backscatter)).numpy()[None]
    scores = open_model(model).run(None, {"input": given})[0][0]
    seen: npt.NDArray[np.bool_] = scores[1] > scores[0]
    return seen


def report(every: Sequence[Chip]) -> None:
    """Print how each chip is mapped by the model and by the threshold that have not seen it."""
    models, thresholds = [], []
    print("chip                  water   model IoU  false   VH threshold IoU  false")
    for chip in every:
        others = [other for other in every if other is not chip]
        limit = best_threshold(others)
        models.append(overlap(chip, water(fold_path(chip), chip)))
        thresholds.append(overlap(chip, chip.backscatter[1] < limit))
        by_model, by_limit = models[-1], thresholds[-1]
        print(
            f"{chip.name:20} {100 * by_model.water_share:5.1f} %"
            f" {by_model.iou:10.3f} {100 * by_model.false_share:5.1f} %"
            f" < {limit:6.2f} dB {by_limit.iou:6.3f} {100 * by_limit.false_share:5.1f} %"
        )
    print(f"all of them: model {pooled(models):.3f}, threshold {pooled(thresholds):.3f}, ", end="")
    print(f"water everywhere {pooled([overlap(c, c.label > UNKNOWN) for c in every]):.3f}")
    print("false: share of the dry pixels that are taken for water")


def main() -> None:
    """Train what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/train/flood", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=data_folder())
    parser.add_argument("--folds", action="store_true", help="train and measure the seven models")
    parser.add_argument("--score", action="store_true", help="only measure those that are there")
    asked = parser.parse_args()
    every = chips(asked.data)
    if asked.score and not all(fold_path(chip).is_file() for chip in every):
        parser.error("no models of single chips in build/training; --folds trains and measures")
    if asked.folds:
        for chip in every:
            train([other for other in every if other is not chip], fold_path(chip))
    elif not asked.score:
        train(every, MODEL)
    if asked.folds or asked.score:
        report(every)


if __name__ == "__main__":
    main()
