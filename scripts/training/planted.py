"""Pairs of two dates made from labelled pictures of one: single-temporal supervision.

Z. Zheng et al. (2021), Change is Everywhere: Single-Temporal Supervised Object Change Detection in
Remote Sensing Imagery. The second date is the first one moved a little, in another light, with
parts of another crop in it: what changed is known without anybody having drawn it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from training.augment import uniform
from training.crops import IGNORED, Cutting, Mosaic, crop, normalised, tinted

UNCHANGED = 0.25
"""Share of the pairs in which nothing is planted."""
FARTHEST = 2.0
"""Pixels by which the second date may lie elsewhere."""
SEASON = 0.3
"""Share of the classes that get a light of their own at one date: dry lawns, muddy water."""
COARSE = (4, 24)
"""Fewest and most blobs of a mask along a crop's edge, about."""
COVER = (0.05, 0.6)
"""Least and greatest share of a crop that a mask covers."""
HALF = 0.5


@dataclass(frozen=True)
class Planted:
    """A second date."""

    pixels: torch.Tensor
    """``[N, 3, E, E]`` of 0 to 1"""
    labels: torch.Tensor
    """``[N, E, E]``: its classes, where it shows them."""
    change: torch.Tensor
    """``[N, E, E]``: 1 where the class is another one, 0 where not, or ``IGNORED``."""


def planted_pairs(
    mosaics: Sequence[Mosaic], cutting: Cutting, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of both dates.

    Yields:
        Normalised pixels ``[N, 6, E, E]``, the first date's channels first; and ``[N, 3, E, E]``:
        the classes of the first date, those of the second, and what changed.
    """
    dice = np.random.default_rng(seed)
    shares = np.array([m.share for m in mosaics])
    while True:
        chosen = dice.choice(len(mosaics), 2 * cutting.count, p=shares / shares.sum())
        crops = [crop(mosaics[i], cutting.edge, dice) for i in chosen]
        pixels, others = torch.cat([c[0] for c in crops]).chunk(2)
        labels, theirs = torch.cat([c[1] for c in crops]).chunk(2)
        second = plant(pixels, labels, others, theirs, dice)
        dates = [seen(pixels, labels, dice), seen(second.pixels, second.labels, dice)]
        wanted = [labels, second.labels]
        order = (0, 1) if dice.random() < HALF else (1, 0)
        given = torch.cat([dates[n] for n in order], 1)
        yield given, torch.stack([*(wanted[n] for n in order), second.change], 1)


def plant(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    others: torch.Tensor,
    theirs: torch.Tensor,
    dice: np.random.Generator,
) -> Planted:
    """The same place with parts of another in it, and moved a little afterwards.

    Args:
        pixels: ``[N, 3, E, E]`` of 0 to 1.
        labels: ``[N, E, E]``
        others: As ``pixels``: what parts are taken from.
        theirs: Their labels.
        dice: Chooses.
    """
    mask = torch.stack([_mask(one, dice) for one in theirs])
    found = torch.where(mask[:, None], others, pixels)
    became = torch.where(mask, theirs, labels)
    unknown = mask & ((labels == IGNORED) | (became == IGNORED))
    change = torch.where(unknown, IGNORED, (labels != became).long())
    theta = torch.eye(2, 3).repeat(len(pixels), 1, 1)
    move = dice.uniform(-FARTHEST, FARTHEST, (len(pixels), 2)) * 2 / labels.shape[-1]
    theta[:, :, 2] = torch.from_numpy(move).float()
    grid = functional.affine_grid(theta, list(found.shape), align_corners=False)
    moved = functional.grid_sample(found, grid, "bilinear", "border", align_corners=False)
    where = functional.grid_sample(
        became[:, None].float(), grid, "nearest", "border", align_corners=False
    )
    return Planted(moved, where[:, 0].long(), change)


def seen(pixels: torch.Tensor, labels: torch.Tensor, dice: np.random.Generator) -> torch.Tensor:
    """One date in a light and a season of its own, normalised."""
    for number in np.unique(labels[labels != IGNORED].numpy()):
        if dice.random() < SEASON:
            count = len(pixels)
            tint = torch.empty(count, 3, 1, 1).uniform_(0.8, 1.25) * uniform(count, 0.75, 1.3)
            changed = pixels * tint + uniform(count, -0.04, 0.08)
            pixels = torch.where((labels == number)[:, None], changed.clamp(0, 1), pixels)
    return normalised(tinted(pixels))


def _mask(labels: torch.Tensor, dice: np.random.Generator) -> torch.Tensor:
    """Where another crop shows through: blobs, or only what it has of some classes in them."""
    if dice.random() < UNCHANGED:
        return torch.zeros_like(labels, dtype=torch.bool)
    edge = labels.shape[-1]
    count = int(dice.integers(*COARSE))
    noise = torch.from_numpy(dice.random((1, 1, count, count), np.float32))
    smooth = functional.interpolate(noise, size=(edge, edge), mode="bicubic")[0, 0]
    mask = smooth < torch.quantile(smooth, float(dice.uniform(*COVER)))
    there = np.unique(labels[labels != IGNORED].numpy())
    if dice.random() < HALF and len(there) > 1:
        some = dice.choice(there, int(dice.integers(1, len(there))), replace=False)
        mask &= torch.isin(labels, torch.from_numpy(some))
    return mask
