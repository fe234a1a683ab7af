"""The ground that tile 4 and tile 8 of the pictures of Dubai both show, on two days."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.changescore import Dates
from training.crops import IGNORED
from training.landcover import Tile, read_tile

U8 = npt.NDArray[np.uint8]
FIRST, SECOND = 4, 8
LEFT, BOTTOM = 1650, 2000
"""First column and last row of tile 4 that tile 8 shows too."""
ROWS = (2434.17, 0.99830, 0.001875)
COLS = (-2.56, -0.00311, 1.02821)
"""Where in tile 8 row ``r`` and column ``LEFT - 4 + c`` of tile 4 are: ``a + b r + d c``. Fitted to
99 windows of 256 pixels, by the best normalised correlation of each; 0.3 and 0.9 pixels of standard
deviation are left. The two pictures have pixels of unlike width."""
PLANTED = 0.3
"""Share of the second picture that is replaced by its mirror image."""
BLOBS = 24
"""Along an edge of the mask, about."""


@dataclass(frozen=True)
class Ground:
    """Pictures ``[3, H, W]`` and labels at half the resolution of the files, pixel on pixel."""

    before: U8
    after: U8
    labels: Dates
    """As two people drew them, one for each picture."""


def common_ground(folder: Path) -> Ground:
    """Both dates on the pixels of tile 4."""
    tiles = [read_tile(folder, number) for number in (FIRST, SECOND)]
    first = Tile(tiles[0].pixels[:, :BOTTOM, LEFT:], tiles[0].labels[:BOTTOM, LEFT:])
    second = _moved(tiles[1], first.labels.shape)
    pictures = [tile.halved() for tile in (first, second)]
    height, width = pictures[0].shape[1:]
    labels = [np.ascontiguousarray(t.labels[::2, ::2][:height, :width]) for t in (first, second)]
    return Ground(*pictures, Dates(*labels))


def planted(ground: Ground) -> Ground:
    """The same with known change: parts of the second picture come from its mirror image.

    The truth of both dates is what was drawn for the second picture, before and after planting:
    two people draw even one ground differently.
    """
    dice = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 1, BLOBS, BLOBS, generator=dice)
    shape = ground.labels.after.shape
    smooth = functional.interpolate(noise, size=shape, mode="bicubic")[0, 0].numpy()
    mask = smooth < np.quantile(smooth, PLANTED)
    drawn = ground.labels.after
    after = np.where(mask, ground.after[:, :, ::-1], ground.after)
    return Ground(ground.before, after, Dates(drawn, np.where(mask, drawn[:, ::-1], drawn)))


def _moved(tile: Tile, shape: tuple[int, int]) -> Tile:
    """Tile 8 on the pixels of the common ground in tile 4."""
    row, col = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    col += 4
    there = [a + b * row + d * col for a, b, d in (ROWS, COLS)]
    height, width = tile.labels.shape
    grid = torch.from_numpy(
        np.stack([2 * there[1] / (width - 1) - 1, 2 * there[0] / (height - 1) - 1], -1)
    ).float()[None]
    pixels = torch.from_numpy(tile.pixels).float()[None]
    labels = torch.from_numpy(tile.labels).float()[None, None]
    seen = functional.grid_sample(pixels, grid, "bilinear", "border", align_corners=True)[0]
    drawn = functional.grid_sample(labels, grid, "nearest", "border", align_corners=True)[0, 0]
    outside = (there[0] < 0) | (there[1] < 0) | (there[0] > height - 1) | (there[1] > width - 1)
    return Tile(
        seen.round().byte().numpy(),
        np.where(outside, IGNORED, drawn.numpy()).astype(np.uint8),
    )
