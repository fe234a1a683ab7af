"""Training crops cut from mosaics: turned, scaled and tinted, with labels that turn along."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.augment import uniform
from training.encoder import MEAN, STD

IGNORED = 255
"""Label of pixels that teach nothing."""


@dataclass(frozen=True)
class Mosaic:
    """A picture and its labels; pixels without data are ``MEAN`` grey and ``IGNORED``."""

    pixels: npt.NDArray[np.uint8]
    """``[3, H, W]``"""
    labels: npt.NDArray[np.uint8]
    """``[H, W]``"""
    share: float = 1.0
    """How often it is drawn, relative to the others."""
    zoom: tuple[float, float] = (0.75, 1.33)
    """Least and greatest magnification of a crop."""
    exact: float = 0.0
    """Share of the crops that keep their pixels, only turned by right angles and mirrored."""


@dataclass(frozen=True)
class Cutting:
    """How crops are made."""

    edge: int = 256
    count: int = 4
    """Crops in a batch."""


def batches(
    mosaics: Sequence[Mosaic], cutting: Cutting, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches: normalised pixels ``[N, 3, E, E]`` and labels ``[N, E, E]``."""
    dice = np.random.default_rng(seed)
    shares = np.array([m.share for m in mosaics])
    while True:
        chosen = dice.choice(len(mosaics), cutting.count, p=shares / shares.sum())
        crops = [crop(mosaics[i], cutting.edge, dice) for i in chosen]
        pixels = torch.cat([c[0] for c in crops])
        yield normalised(tinted(pixels)), torch.cat([c[1] for c in crops])


def crop(mosaic: Mosaic, edge: int, dice: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One crop, ``[1, 3, E, E]`` of 0 to 1 and ``[1, E, E]``, about a random point."""
    exact = mosaic.exact > 0 and dice.random() < mosaic.exact
    zoom = 1.0 if exact else math.exp(dice.uniform(*np.log(mosaic.zoom)))
    turn, mirror = dice.uniform(0, 2 * math.pi), dice.choice((-1, 1))
    turn = round(2 * turn / math.pi) * math.pi / 2 if exact else turn
    half = edge / zoom / 2
    height, width = mosaic.labels.shape
    y, x = (dice.uniform(min(half, n / 2), max(n - half, n / 2)) for n in (height, width))
    y, x = (round(y), round(x)) if exact else (y, x)
    pixels, labels, corner = _surroundings(mosaic, y, x, half * math.sqrt(2) + 2)
    cos, sin = math.cos(turn) * half, math.sin(turn) * half
    side = labels.shape[-1]
    middle = 2 * (np.array([x, y]) - corner) / side - 1
    theta = torch.tensor(
        [
            [
                [2 * cos / side * mirror, -2 * sin / side, middle[0]],
                [2 * sin / side * mirror, 2 * cos / side, middle[1]],
            ]
        ],
        dtype=torch.float32,
    )
    grid = functional.affine_grid(theta, [1, 1, edge, edge], align_corners=False)
    seen = functional.grid_sample(pixels, grid, "bilinear", "border", align_corners=False)
    wanted = functional.grid_sample(labels, grid, "nearest", "border", align_corners=False)
    return seen, wanted[:, 0].long()


def _surroundings(
    mosaic: Mosaic, y: float, x: float, radius: float
) -> tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.float64]]:
    """A square of a mosaic, padded where it ends, and its corner ``(x, y)``."""
    side, top, left = math.ceil(2 * radius), math.floor(y - radius), math.floor(x - radius)
    pixels = np.full((1, 3, side, side), round(255 * MEAN), np.uint8)
    labels = np.full((1, 1, side, side), IGNORED, np.uint8)
    height, width = mosaic.labels.shape
    rows, cols = (
        slice(max(top, 0), min(top + side, height)),
        slice(max(left, 0), min(left + side, width)),
    )
    inside = (
        ...,
        slice(rows.start - top, rows.stop - top),
        slice(cols.start - left, cols.stop - left),
    )
    pixels[inside] = mosaic.pixels[:, rows, cols]
    labels[inside] = mosaic.labels[rows, cols]
    return (
        torch.from_numpy(pixels) / 255,
        torch.from_numpy(labels).float(),
        np.array([left, top], float),
    )


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels of 0 to 1 as the encoder learnt them."""
    return ((pixels - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def tinted(pixels: torch.Tensor) -> torch.Tensor:
    """Another light, haze and white balance for each crop."""
    count = len(pixels)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    grey = pixels.mean(1, keepdim=True)
    pixels = grey + (pixels - grey) * uniform(count, 0.7, 1.3)
    pixels = (pixels - mean) * uniform(count, 0.8, 1.25) + mean * uniform(count, 0.8, 1.2)
    tint = torch.empty(count, 3, 1, 1).uniform_(0.92, 1.08)
    return (pixels * tint).clamp(1e-3, 1) ** uniform(count, 0.8, 1.25)
