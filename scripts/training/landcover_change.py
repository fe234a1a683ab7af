"""Trains the model of land cover change: five classes at two dates, and where they differ."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from training.changescore import Dates, change_score
from training.common_ground import Ground, common_ground, planted
from training.crops import IGNORED, Cutting, Mosaic
from training.encoder import pretrained
from training.export import write_onnx
from training.fitting import Schedule, fit, repeatable
from training.landcover import COLOURS, Tile, read_tile
from training.mapping import FREE, open_model, scores_of
from training.overlap import Tally, overlap_loss
from training.places import CHECKOUT, cache_folder, data_folder
from training.planted import planted_pairs
from training.unet import BLOCKS, STRIDE, WIDTHS, Unet, convolution, enlarged

U8 = npt.NDArray[np.uint8]

LEARNT = {5: 0.25, 6: 0.15, 7: 0.25, 8: 0.35}
"""Tiles that are learnt from and how often; of tile 8 only what lies right of ``GUARD``."""
GUARD = 2048
"""First column of tile 8 that is learnt from: 350 pixels right of the ground that tile 4 shows too,
from which nothing is learnt."""
HEAD = 32
STEPS, RATE, FROZEN, COUNT = 2000, 2e-3, 4, 3


class LandcoverChange(nn.Module):
    """Both dates ``[N, 6, H, W]`` to ``[N, 2 K + 1, H, W]``: classes before, after, and change.

    One network looks at each date, and what tells change takes them in no order: with the dates
    swapped, the classes swap and the change stays.

    Args:
        unet: For one date.
    """

    def __init__(self, unet: Unet) -> None:
        super().__init__()
        self.unet = unet
        self.differ = nn.Sequential(
            convolution(2 * WIDTHS[-1] + 1, HEAD), convolution(HEAD, HEAD), nn.Conv2d(HEAD, 1, 1)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, dates: torch.Tensor) -> torch.Tensor:
        """Half floats while learning on a CPU."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training):
            scores: torch.Tensor = self._scores(dates)
        return scores.float()

    def _scores(self, dates: torch.Tensor) -> torch.Tensor:
        before, after = self.unet.features(torch.cat([dates[:, :3], dates[:, 3:]])).chunk(2)
        one, two = (self.unet.decide(features) for features in (before, after))
        differs = 1 - (one.softmax(1) * two.softmax(1)).sum(1, keepdim=True)
        change = self.differ(torch.cat([(before - after).abs(), before + after, differs], 1))
        return enlarged(torch.cat([one, two, change], 1))


def change_loss(scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Of the classes of both dates, and of what changed: cross-entropy and overlap."""
    count = len(COLOURS)
    before = overlap_loss(scores[:, :count], wanted[:, 0])
    after = overlap_loss(scores[:, count : 2 * count], wanted[:, 1])
    known = wanted[:, 2] != IGNORED
    truth, said = wanted[:, 2][known].float(), scores[:, -1][known]
    likely = said.sigmoid()
    shared = (likely * truth).sum()
    overlap = shared / (likely.sum() + truth.sum() - shared).clamp(min=1)
    entropy = functional.binary_cross_entropy_with_logits(said, truth)
    return (before + after) / 2 + entropy + 1 - overlap


def lessons(folder: Path) -> list[Mosaic]:
    """What is learnt from, at half the resolution of the files."""
    made = []
    for number, share in LEARNT.items():
        tile = read_tile(folder, number)
        if number == 8:  # noqa: PLR2004 - a tile's number
            tile = Tile(tile.pixels[:, :, GUARD:], tile.labels[:, GUARD:])
        pixels = tile.halved()
        height, width = pixels.shape[1:]
        labels = np.ascontiguousarray(tile.labels[::2, ::2][:height, :width])
        made.append(Mosaic(pixels, labels, share))
    return made


def train(folder: Path, cache: Path) -> nn.Module:
    """The network with averaged weights."""
    network = LandcoverChange(Unet(pretrained(BLOCKS, cache), len(COLOURS), FROZEN))
    schedule = Schedule(STEPS, RATE, warm=30, memory=0.99, told=20)
    given = planted_pairs(lessons(folder), Cutting(count=COUNT), seed=0)
    return fit(network, given, change_loss, schedule)


def main() -> None:
    """Train, write the model, and print how good the written file is."""
    parser = argparse.ArgumentParser(prog="scripts/train/landcover-change", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=data_folder())
    parser.add_argument("--score", action="store_true", help="only measure the model that is there")
    asked = parser.parse_args()
    folder = asked.data / "dubai_mbrsc"
    target = CHECKOUT / "resources" / "models" / "landcover-change.onnx"
    if not asked.score:
        repeatable(seed=0, threads=1)
        network = train(folder, cache_folder())
        print(write_onnx(network, torch.zeros(1, 6, 4 * STRIDE, 4 * STRIDE), target, FREE))
    report(target, folder)


def report(model: Path, folder: Path) -> None:
    """Print how good the maps are of the ground that nothing was learnt from."""
    session, count = open_model(model), len(COLOURS)
    print(f"{model.name}: {model.stat().st_size} bytes")
    real = common_ground(folder)
    for name, ground in {"two days": real, "planted": planted(real)}.items():
        scores = scores_of_dates(session, ground)
        alone, joint = by_classes(scores, count), by_change(scores, count)
        drawn = change_score(ground.labels, ground.labels, count).called
        print(f"{name}: {drawn:.3f} of the labels differ")
        for way, said in {"classes alone": alone, "with change": joint}.items():
            found = change_score(ground.labels, said, count)
            print(
                f"  {way}: mIoU before {_mean_overlap(ground.labels.before, said.before):.3f}, "
                f"after {_mean_overlap(ground.labels.after, said.after):.3f}; change F1 "
                f"{found.f1:.3f}, IoU {found.overlap:.3f}, SeK {found.sek:.3f}, "
                f"called {found.called:.3f}"
            )
    same = replace(real, after=real.before)
    print(
        f"one picture twice: {by_change(scores_of_dates(session, same), count).changed.mean():.4f}"
    )


def _mean_overlap(truth: U8, said: U8) -> float:
    tally = Tally(len(COLOURS))
    tally.add(truth, said)
    return float(tally.iou().mean())


def scores_of_dates(session, ground: Ground) -> npt.NDArray[np.float32]:  # noqa: ANN001 - no types
    """Raw scores ``[2 K + 1, H, W]`` of the whole ground at once."""
    return scores_of(session, np.concatenate([ground.before, ground.after]))


def by_classes(scores: npt.NDArray[np.float32], count: int) -> Dates:
    """The likeliest class of each date, whatever the network says of change."""
    one, two = (part.argmax(0).astype(np.uint8) for part in (scores[:count], scores[count:-1]))
    return Dates(one, two)


def by_change(scores: npt.NDArray[np.float32], count: int) -> Dates:
    """As the engine decides: one class where nothing changed, two different ones elsewhere."""
    one, two = (
        torch.from_numpy(part).softmax(0).numpy() for part in (scores[:count], scores[count:-1])
    )
    both = one[:, None] * two[None] * ~np.eye(count, dtype=bool)[..., None, None]
    best = both.reshape(count**2, *one.shape[1:]).argmax(0)
    same = (one + two).argmax(0)
    changed = scores[-1] >= 0
    first, second = (np.where(changed, c, same).astype(np.uint8) for c in divmod(best, count))
    return Dates(first, second)


if __name__ == "__main__":
    main()
