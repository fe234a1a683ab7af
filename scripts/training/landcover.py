"""Trains the land cover model: five classes in satellite or aerial pictures, at about 2 m."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from training.crops import IGNORED, Cutting, Mosaic, batches
from training.encoder import pretrained
from training.export import write_onnx
from training.fitting import Schedule, fit, repeatable
from training.mapping import FREE, open_model, scores_of
from training.overlap import Tally, overlap_loss, quarters
from training.places import CHECKOUT, cache_folder, data_folder
from training.unet import BLOCKS, STRIDE, Unet

COLOURS = {
    "building": (60, 16, 152),
    "land": (132, 41, 246),
    "road": (110, 193, 228),
    "vegetation": (254, 221, 58),
    "water": (226, 169, 41),
}
"""Classes, in the order of the scores, with their colours in the masks."""
LEARNT = {4: 0.2, 5: 0.4, 7: 0.2, 8: 0.2}
"""Tiles that are learnt from and how often: of these only number 5 has a coast and mangroves."""
HELD = 6
PARTS = 3
"""A tile is so many parts wide and high."""
STEPS, RATE, FROZEN = 1500, 2e-3, 4


@dataclass(frozen=True)
class Tile:
    """A whole tile at the resolution of its files."""

    pixels: npt.NDArray[np.uint8]
    """``[3, H, W]``"""
    labels: npt.NDArray[np.uint8]
    """``[H, W]``"""

    def halved(self) -> npt.NDArray[np.uint8]:
        """The picture at half the resolution, each pixel the mean of four."""
        height, width = (n // 2 * 2 for n in self.labels.shape)
        quads = self.pixels[:, :height, :width].reshape(3, height // 2, 2, width // 2, 2)
        return np.rint(quads.mean((2, 4), dtype=np.float32)).astype(np.uint8)


def read_tile(folder: Path, number: int) -> Tile:
    """The parts of a tile put together; they are numbered row by row."""
    tile = folder / f"tile_{number}"
    pixels = _joined([tile / "images" / f"image_part_{n:03}.jpg" for n in range(1, PARTS**2 + 1)])
    masks = _joined([tile / "masks" / f"image_part_{n:03}.png" for n in range(1, PARTS**2 + 1)])
    labels = np.full(masks.shape[:2], IGNORED, np.uint8)
    for number_of_class, colour in enumerate(COLOURS.values()):
        labels[(masks == colour).all(2)] = number_of_class
    return Tile(np.ascontiguousarray(pixels.transpose(2, 0, 1)), labels)


def _joined(paths: list[Path]) -> npt.NDArray[np.uint8]:
    parts = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    rows = [np.hstack(parts[n : n + PARTS]) for n in range(0, len(parts), PARTS)]
    return np.vstack(rows)


def lessons(folder: Path) -> list[Mosaic]:
    """What is learnt from, at half the resolution of the files."""
    made = []
    for number, share in LEARNT.items():
        tile = read_tile(folder, number)
        pixels = tile.halved()
        height, width = pixels.shape[1:]
        labels = np.ascontiguousarray(tile.labels[::2, ::2][:height, :width])
        made.append(Mosaic(pixels, labels, share))
    return made


def train(folder: Path, cache: Path) -> torch.nn.Module:
    """The network with averaged weights."""
    network = Unet(pretrained(BLOCKS, cache), len(COLOURS), FROZEN)
    schedule = Schedule(STEPS, RATE, warm=30, memory=0.99, told=20)
    return fit(network, batches(lessons(folder), Cutting(), seed=0), overlap_loss, schedule)


def main() -> None:
    """Train, write the model, and print how good the written file is."""
    parser = argparse.ArgumentParser(prog="scripts/train/landcover", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=data_folder())
    parser.add_argument("--score", action="store_true", help="only measure the model that is there")
    asked = parser.parse_args()
    folder = asked.data / "dubai_mbrsc"
    target = CHECKOUT / "resources" / "models" / "landcover.onnx"
    if not asked.score:
        repeatable(seed=0, threads=1)
        network = train(folder, cache_folder())
        print(write_onnx(network, torch.zeros(1, 3, 4 * STRIDE, 4 * STRIDE), target, FREE))
    report(target, folder)


def report(model: Path, folder: Path) -> None:
    """Print overlaps on the whole tile that nothing was learnt from, and on its quarters."""
    tile = read_tile(folder, HELD)
    said = mapped(open_model(model), tile)
    print(f"{model.name}: {model.stat().st_size} bytes")
    whole = Tally(len(COLOURS))
    whole.add(tile.labels, said)
    for name, value in zip(COLOURS, whole.iou(), strict=True):
        print(f"  {name}: IoU {value:.3f}")
    print(f"tile {HELD}: mean IoU {whole.iou().mean():.3f}, accuracy {whole.accuracy():.3f}")
    for name, part in quarters(*said.shape).items():
        here = Tally(len(COLOURS))
        here.add(tile.labels[part], said[part])
        values = ", ".join(f"{n} {v:.3f}" for n, v in zip(COLOURS, here.iou(), strict=True))
        print(f"  {name} quarter: {values}")


def mapped(session, tile: Tile) -> npt.NDArray[np.uint8]:  # noqa: ANN001 - onnxruntime has no types
    """The likeliest class of each pixel of the tile, seen at half its resolution."""
    scores = torch.from_numpy(scores_of(session, tile.halved()))[None]
    whole = functional.interpolate(scores, size=tile.labels.shape, mode="bilinear")[0]
    return whole.numpy().argmax(0).astype(np.uint8)


if __name__ == "__main__":
    main()
