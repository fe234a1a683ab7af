"""Trains the building model: roofs in pictures from drones and aeroplanes, at about 0.15 m."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import torch

from training.crops import IGNORED, Cutting, Mosaic, batches
from training.encoder import MEAN, pretrained
from training.export import write_onnx
from training.fitting import Schedule, fit, repeatable
from training.mapping import FREE, open_model, scores_of
from training.overlap import Tally, overlap_loss, quarters
from training.places import CHECKOUT, cache_folder, data_folder
from training.unet import BLOCKS, STRIDE, Unet, UpsideDownToo, swift

CLASSES = ("other", "building")
NAME = re.compile(r"OAM-(\d+)-(\d+)-(\d+)\.(tif|jpg)")
"""Column, row and zoom of a tile."""
KAMPALA_HELD, KAMPALA_ZOOM = 619226, 20
"""First column, at a zoom, of the tiles that validate."""
BANEPA_HELD = 220245
"""First row of the tiles that validate."""
REHEARSED = 220244
"""The row of training tiles on which a rehearsal, which does not learn from it, is measured."""
FIRST = Schedule(3000, 2e-3, warm=30, told=20)
SECOND = Schedule(2000, 1.5e-3, warm=30, told=20)
"""Goes on from the averaged weights of the first."""
FROZEN = 4
LEANING = 0.3
"""Added to the score of building; ``--rehearse`` shows what others would do."""
EXAMPLE = torch.zeros(1, 3, 4 * STRIDE, 4 * STRIDE)
Place = tuple[int, int]
"""Column and row."""
Wanted = Callable[[int, int], bool]


def kampala_train(zoom: int) -> Wanted:
    """West of the column that divides both zooms at one line."""
    return lambda column, _row: column < KAMPALA_HELD << (zoom - KAMPALA_ZOOM)


def banepa_train(_column: int, row: int) -> bool:
    """North of a line between two rows."""
    return row < BANEPA_HELD


def banepa_rehearsal(_column: int, row: int) -> bool:
    """North of the last row that is learnt from."""
    return row < REHEARSED


def mosaics(folder: Path, wanted: Wanted) -> list[Mosaic]:
    """The wanted tiles of a folder, one mosaic for each run of neighbouring columns."""
    found = {(int(m[1]), int(m[2])): p for p in folder.iterdir() if (m := NAME.fullmatch(p.name))}
    places = sorted(place for place in found if wanted(*place))
    columns = sorted({column for column, _ in places})
    runs = itertools.groupby(enumerate(columns), lambda pair: pair[1] - pair[0])
    groups = [{column for _, column in run} for _, run in runs]
    return [joined({p: found[p] for p in places if p[0] in group}) for group in groups]


def joined(tiles: dict[Place, Path]) -> Mosaic:
    """Tiles side by side."""
    left, top = (min(place[axis] for place in tiles) for axis in (0, 1))
    right, below = (max(place[axis] for place in tiles) for axis in (0, 1))
    read = {place: tile(path) for place, path in tiles.items()}
    edge = next(iter(read.values()))[1].shape[0]
    shape = ((below - top + 1) * edge, (right - left + 1) * edge)
    pixels = np.full((3, *shape), round(255 * MEAN), np.uint8)
    labels = np.full(shape, IGNORED, np.uint8)
    for (column, row), (seen, truth) in read.items():
        y, x = (row - top) * edge, (column - left) * edge
        pixels[:, y : y + edge, x : x + edge] = seen
        labels[y : y + edge, x : x + edge] = truth
    return Mosaic(pixels, labels)


def tile(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Pixels ``[3, H, W]`` and labels ``[H, W]``: 1 building, 0 other, 255 no data."""
    with (
        rasterio.open(path) as picture,
        rasterio.open(path.with_name(f"{path.stem}_mask.tif")) as mask,
    ):
        return picture.read([1, 2, 3]), mask.read(1)


def lessons(data: Path, banepa_wanted: Wanted) -> list[Mosaic]:
    """What is learnt from, with how often, in which range of scales and how often untouched."""
    kampala, banepa = data / "fair_kampala_buildings", data / "fair_banepa_buildings"
    coarse = mosaics(kampala / "z20", kampala_train(20))
    fine = mosaics(kampala / "z21", kampala_train(21))
    town = mosaics(banepa, banepa_wanted)
    return [
        *(Mosaic(m.pixels, m.labels, 0.17 * part(m, coarse), exact=0.5) for m in coarse),
        *(Mosaic(m.pixels, m.labels, 0.06 * part(m, fine), (0.5, 0.9)) for m in fine),
        *(Mosaic(m.pixels, m.labels, 0.77, (0.85, 1.2), exact=0.5) for m in town),
    ]


def part(one: Mosaic, several: Iterable[Mosaic]) -> float:
    """The share of a mosaic in the pixels of several."""
    return one.labels.size / sum(m.labels.size for m in several)


def train(data: Path, cache: Path, banepa_wanted: Wanted) -> torch.nn.Module:
    """The network with averaged weights."""
    repeatable(seed=0, threads=1)
    network = swift(Unet(pretrained(BLOCKS, cache), len(CLASSES), FROZEN))
    learnt = lessons(data, banepa_wanted)
    network = fit(network, batches(learnt, Cutting(), seed=0), overlap_loss, FIRST)
    repeatable(seed=1, threads=1)
    return fit(network, batches(learnt, Cutting(), seed=1), overlap_loss, SECOND)


def main() -> None:
    """Train, write the model, and print how good the written file is."""
    parser = argparse.ArgumentParser(prog="scripts/train/buildings", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=data_folder())
    parser.add_argument("--score", action="store_true", help="only measure the model that is there")
    parser.add_argument(
        "--rehearse", action="store_true", help="choose on training places: see the README"
    )
    asked = parser.parse_args()
    if asked.rehearse:
        rehearse(asked.data)
        return
    target = CHECKOUT / "resources" / "models" / "buildings.onnx"
    if not asked.score:
        network = train(asked.data, cache_folder(), banepa_train)
        network.decide.bias.data[1] += LEANING
        print(write_onnx(UpsideDownToo(network), EXAMPLE, target, FREE))
    report(target, asked.data)


def rehearse(data: Path) -> None:
    """Learn without one row of the training tiles, and print how leanings do on that row."""
    model = cache_folder() / "buildings-rehearsal.onnx"
    network = UpsideDownToo(train(data, cache_folder(), banepa_rehearsal))
    print(write_onnx(network, EXAMPLE, model, FREE))
    (row,) = mosaics(data / "fair_banepa_buildings", lambda _column, row: row == REHEARSED)
    scores = scores_of(open_model(model), row.pixels)
    for leaning in np.arange(-0.6, 0.7, 0.1):
        here = Tally(len(CLASSES))
        here.add(row.labels, (scores[1] + leaning > scores[0]).astype(np.uint8))
        print(f"leaning {leaning:+.1f}: IoU {here.iou()[1]:.4f}")


def report(model: Path, data: Path) -> None:
    """Print overlaps on whole mosaics of the tiles that nothing was learnt from."""
    session = open_model(model)
    print(f"{model.name}: {model.stat().st_size} bytes")
    kampala, banepa = data / "fair_kampala_buildings", data / "fair_banepa_buildings"
    coarse = mosaics(kampala / "z20", lambda c, r: not kampala_train(20)(c, r))
    fine = mosaics(kampala / "z21", lambda c, r: not kampala_train(21)(c, r))
    town = mosaics(banepa, lambda c, r: not banepa_train(c, r))
    halves = [tally("Kampala, zoom 20", session, coarse)]
    halves.append(tally("Kampala, zoom 21", session, fine, halve=True))
    both = halves[0] + halves[1]
    print(f"Kampala: IoU {both.iou()[1]:.3f}, accuracy {both.accuracy():.3f}")
    tally("Banepa", session, town)


def tally(name: str, session, held: list[Mosaic], *, halve: bool = False) -> Tally:  # noqa: ANN001
    """Count the pixels of mosaics, and print the overlap, also that of each quarter."""
    whole = Tally(len(CLASSES))
    parts: list[str] = []
    for mosaic in held:
        said = building(session, mosaic.pixels, halve=halve)
        whole.add(mosaic.labels, said)
        for where, part in quarters(*said.shape).items():
            here = Tally(len(CLASSES))
            here.add(mosaic.labels[part], said[part])
            parts.append(f"{where} {here.iou()[1]:.3f}")
    print(f"{name}: IoU {whole.iou()[1]:.3f}, accuracy {whole.accuracy():.3f}")
    print(f"  quarters: {', '.join(parts)}")
    return whole


def building(session, pixels: npt.NDArray[np.uint8], *, halve: bool) -> npt.NDArray[np.uint8]:  # noqa: ANN001
    """1 where a building is likelier than none, at the given size or seen at half of it."""
    if not halve:
        return scores_of(session, pixels).argmax(0).astype(np.uint8)
    small = pixels.reshape(3, pixels.shape[1] // 2, 2, -1, 2).mean((2, 4))
    scores = torch.from_numpy(scores_of(session, small))[None]
    whole = torch.nn.functional.interpolate(scores, scale_factor=2.0, mode="bilinear")[0]
    return whole.numpy().argmax(0).astype(np.uint8)


if __name__ == "__main__":
    main()
