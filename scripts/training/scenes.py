"""Trains the scene classes: EuroSAT patches of 64 pixels to one of ten kinds of land."""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from training.augment import dihedral, uniform
from training.encoder import MEAN, STD, pretrained
from training.export import write_onnx
from training.fitting import Schedule, fit, repeatable
from training.mapping import open_model
from training.places import CHECKOUT, cache_folder, data_folder
from training.score import (
    best_temperature,
    calibration_error,
    probabilities,
    unseen_calibration_error,
)
from training.unet import folded

MODEL = CHECKOUT / "resources" / "models" / "scenes.onnx"
FREE = {"input": {0: "batch"}, "output": {0: "batch"}}
CLASSES = (
    "AnnualCrop",
    "Forest",
    "HerbaceousVegetation",
    "Highway",
    "Industrial",
    "Pasture",
    "PermanentCrop",
    "Residential",
    "River",
    "SeaLake",
)
EDGE = 64
LAST_TRAINED, LAST = 700, 800
"""Patches of each class are numbered from 1; the rest after the first of these validates."""
BLOCKS = 11
"""Of the encoder: all that work at a sixteenth of the resolution or finer."""
WIDE = 512
LIMIT = 1.001
"""Just beyond what normalised pixels of 8 bits hold: reflectance may be more, and was cut off."""
BATCH = 64
SHIFT = 6
"""Pixels by which a patch is moved at the most, its edge mirrored."""
WHITE = 0.275
"""Top-of-atmosphere reflectance at the pixel 255; 0 is at 1. Measured on six patches that the
data set also has as reflectance."""
HAZE = (0.012, 0.024, 0.055)
"""Reflectance of red, green and blue that a clear sky adds at the most."""
SMOOTHING = 0.05


@dataclass(frozen=True)
class Stage:
    """A part of the training."""

    schedule: Schedule
    cleared: float = 0.0
    """Share of the patches from which some haze is taken, as atmospheric correction does."""


PASS = LAST_TRAINED * len(CLASSES) // BATCH
"""Steps in which each patch is seen once."""
STAGES = (
    Stage(Schedule(9 * PASS, 2e-3, warm=100, memory=0.995)),
    Stage(Schedule(PASS, 5e-4, warm=20, memory=0.98, told=20), cleared=0.5),
)


class Scenes(nn.Module):
    """Normalised pixels to one score a class."""

    def __init__(self, encoder: nn.ModuleList) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*encoder)
        channels = encoder[-1].layers[-1].num_features
        self.widen = nn.Sequential(
            nn.Conv2d(channels, WIDE, 1, bias=False), nn.BatchNorm2d(WIDE), nn.ReLU()
        )
        self.drop = nn.Dropout(0.2)
        self.decide = nn.Linear(WIDE, len(CLASSES))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """``[N, 3, 64, 64]`` to raw scores ``[N, 10]``."""
        seen = self.widen(self.encoder(patches.clamp(-LIMIT, LIMIT)))
        scores: torch.Tensor = self.decide(self.drop(seen.mean((2, 3))))
        return scores


def patches(folder: Path, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels ``[N, 3, 64, 64]`` of 0 to 255 and class numbers ``[N]`` of the patches by number."""
    pixels, labels = [], []
    for label, name in enumerate(CLASSES):
        with tarfile.open(folder / "eurosat_rgb" / f"{name}.tar") as tar:
            for number in range(first, last + 1):
                member = tar.extractfile(f"{name}/{name}_{number}.jpg")
                if member is None:
                    raise FileNotFoundError(f"{name}_{number}.jpg is not in {name}.tar")
                picture = Image.open(io.BytesIO(member.read())).convert("RGB")
                pixels.append(np.asarray(picture))
                labels.append(label)
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return stacked, torch.tensor(labels)


def batches(
    pixels: torch.Tensor, labels: torch.Tensor, cleared: float
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless passes in random order, each patch turned, moved and tinted anew."""
    while True:
        order = torch.randperm(len(pixels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            moved = torch.stack([_moved(pixels[i]) for i in chosen.tolist()])
            seen = moved.float() / 255
            if cleared:
                seen = _cleared(seen, cleared)
            yield normalised(_tinted(seen)), labels[chosen]


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels of 0 to 1 as the encoder learnt them."""
    scaled = (pixels - MEAN) / STD
    return scaled.contiguous(memory_format=torch.channels_last)


def _moved(patch: torch.Tensor) -> torch.Tensor:
    y, x = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    mirrored = functional.pad(patch[None].float(), (SHIFT,) * 4, mode="reflect")[0]
    cut = mirrored[:, y : y + EDGE, x : x + EDGE]
    return dihedral(cut, int(torch.randint(0, 8, ())))


def _cleared(pixels: torch.Tensor, often: float) -> torch.Tensor:
    count = len(pixels)
    share = uniform(count, 0, 1) * (uniform(count, 0, 1) < often)
    haze = torch.tensor(HAZE)[:, None, None] / WHITE * 254 / 255
    return (pixels - share * haze).clamp(min=0)


def _tinted(pixels: torch.Tensor) -> torch.Tensor:
    """Another stretch for each patch, and a little less or more of each colour."""
    count = len(pixels)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    contrast, brightness = uniform(count, 0.8, 1.25), uniform(count, 0.85, 1.18)
    tint = torch.empty(count, 3, 1, 1).uniform_(0.94, 1.06)
    return (((pixels - mean) * contrast + mean * brightness) * tint).clamp(0, 1)


def train(pixels: torch.Tensor, labels: torch.Tensor, cache: Path) -> Scenes:
    """The network after all stages, its weights averaged over the last steps of each."""
    repeatable(seed=0)
    network = Scenes(pretrained(BLOCKS, cache)).to(memory_format=torch.channels_last)
    for number, stage in enumerate(STAGES, 1):
        network = advance(network, stage, pixels, labels)
        repeatable(seed=number)  # so that the next stage depends on this one's weights alone
    return network


def advance(network: Scenes, stage: Stage, pixels: torch.Tensor, labels: torch.Tensor) -> Scenes:
    """The network after one more stage."""
    cost = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    given = batches(pixels, labels, stage.cleared)
    return cast("Scenes", fit(network, given, cost, stage.schedule))


def calibrate(network: Scenes, pixels: torch.Tensor, labels: torch.Tensor) -> None:
    """Sharpen or soften the scores until they are as sure as they are right; no class changes."""
    with torch.no_grad():
        cuts = normalised(pixels.float() / 255).split(100)
        scores = torch.cat([network(cut) for cut in cuts]).numpy()
        temperature = best_temperature(scores, labels.numpy())
        network.decide.weight /= temperature
        network.decide.bias /= temperature
    print(f"temperature {temperature:.3f}, chosen on the validation patches; with each half's")
    error = unseen_calibration_error(scores, labels.numpy())
    print(f"chosen on the other half the expected calibration error is {100 * error:.2f} %")


def main() -> None:
    """Train, write the model, and print how good the written file is."""
    parser = argparse.ArgumentParser(prog="scripts/train/scenes", description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=data_folder())
    parser.add_argument("--score", action="store_true", help="only measure the model that is there")
    asked = parser.parse_args()
    unseen = patches(asked.data, LAST_TRAINED + 1, LAST)
    if not asked.score:
        network = train(*patches(asked.data, 1, LAST_TRAINED), cache_folder())
        calibrate(network, *unseen)
        count = sum(p.numel() for p in network.parameters())
        digest = write_onnx(folded(network), torch.zeros(1, 3, EDGE, EDGE), MODEL, FREE)
        print(f"{count} parameters, sha256 {digest}")
    report(MODEL, *unseen)


def report(model: Path, pixels: torch.Tensor, labels: torch.Tensor) -> None:
    """Print accuracy, confusions and calibration of a model file on patches."""
    session = open_model(model)
    given = ((pixels.float() / 255 - MEAN) / STD).numpy()
    scores = np.concatenate(
        [session.run(None, {"input": given[i : i + 100]})[0] for i in range(0, len(given), 100)]
    )
    truth, said = labels.numpy(), scores.argmax(1)
    print(f"{model.name}: {model.stat().st_size} bytes")
    print(f"top-1 {100 * (said == truth).mean():.2f} % of {len(truth)} patches")
    for label, name in enumerate(CLASSES):
        mine = truth == label
        wrong = {CLASSES[w]: int((said[mine] == w).sum()) for w in set(said[mine]) - {label}}
        print(f"  {name}: {100 * (said[mine] == label).mean():.0f} %, taken for {wrong or 'none'}")
    error = calibration_error(probabilities(scores), truth)
    print(f"expected calibration error {100 * error:.2f} % (15 bins)")


if __name__ == "__main__":
    main()
