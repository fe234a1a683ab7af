"""What a raster engine needs around the encoders: stored rasters in, a map of embeddings out.

A file for Swath's pipeline takes a tile of any size and gives an embedding for each of its pixels
or patches. It is made of three parts: one that prepares the tile, one that embeds a piece of it and
is run again and again, one that puts the pieces together. Memory is then that of a single piece.

All arrays of a tile start with a batch of one. What is below ``UNSEEN`` was not seen.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from engine.models.encoders.bands import S2_BANDS
from engine.models.encoders.galileo import Galileo
from engine.models.encoders.presto import Presto
from engine.models.encoders.series import WIDTH

UNSEEN = -1e5
"""No reflectance and no backscatter; cards fill with something far below."""
FULL_SCALE = 1e4
"""The networks' numbers for a reflectance of 1."""
WINDOW, STEP = 32, 16
"""Edge of the windows whose patches see each other, and how far apart they are, pixels."""
LEAST = 0.5
"""Share of a patch that a date must see, unless no date sees as much of it."""
PIXELS = 64
"""Pixels of one pass."""


def observed(numbers: torch.Tensor) -> torch.Tensor:
    """NaN where nothing was seen."""
    return torch.where(numbers > UNSEEN, numbers, torch.nan)


def lengths(array: torch.Tensor) -> torch.Tensor:
    """An array's shape as numbers that a file computes anew for every array."""
    shape: torch.Tensor = torch._shape_as_tensor(array)  # noqa: SLF001 - there is no public way
    return shape


class ChipTile(nn.Module):
    """Prepares a tile for windows of patches."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(
        self, s2: torch.Tensor, s1: torch.Tensor, months: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """As ``ChipWindow`` takes it.

        Args:
            s2: ``[1, T, 10, H, W]``, reflectance; H and W are multiples of ``WINDOW``.
            s1: ``[1, T, 2, H, W]``, decibels.
            months: ``[1, T]``, January is 1.

        Returns:
            Both satellites' pixels and the months without the batch, how many windows there are
            from west to east, and how many in all.
        """
        seen = whole(observed(s2[0]) * FULL_SCALE, self.patch), whole(observed(s1[0]), self.patch)
        size = lengths(s2)[3:] - WINDOW
        windows = torch.div(size, STEP, rounding_mode="floor") + 1
        return *seen, (months[0] - 1).long(), windows[1], windows.prod()


def whole(pixels: torch.Tensor, patch: int) -> torch.Tensor:
    """Patches ``[T, C, H, W]`` that are seen in part, as all seen or as not seen at all.

    What is missing takes the mean of what a date sees of the patch, if that is ``LEAST`` of it, or
    if no other date sees more.
    """
    rows, cols = (pixels.shape[n] // patch for n in (2, 3))
    split = pixels.reshape(*pixels.shape[:2], rows, patch, cols, patch)
    seen = split.isfinite()
    share = seen.float().mean((3, 5), keepdim=True)
    enough = share.amax(0, keepdim=True).clamp(max=LEAST)
    mean = torch.where(seen, split, 0.0).mean((3, 5), keepdim=True) / share
    mended = torch.where(seen, split, mean)
    return torch.where((share > 0) & (share >= enough), mended, torch.nan).reshape(pixels.shape)


class ChipWindow(nn.Module):
    """Embeds one window of a tile."""

    def __init__(self, network: Galileo) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        number: torch.Tensor,
        s2: torch.Tensor,
        s1: torch.Tensor,
        months: torch.Tensor,
        across: torch.Tensor,
    ) -> torch.Tensor:
        """``[D, rows, columns]``, 0 where nothing was seen."""
        span = torch.arange(WINDOW)
        rows = torch.div(number, across, rounding_mode="floor") * STEP + span
        cols = torch.remainder(number, across) * STEP + span
        parts = (a.index_select(2, rows).index_select(3, cols) for a in (s2, s1))
        made: torch.Tensor = self.network(months, torch.full((1,), 10.0), *parts)
        return made.nan_to_num(0.0)


class ChipBlend(nn.Module):
    """Blends the windows of a tile: each counts the less, the further a patch is from its centre.

    The weights of the four windows over a patch add up to 1, so that a map of maps has no seams; a
    patch within ``STEP`` of the tile's edge has fewer.
    """

    weights: torch.Tensor

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.quarter = STEP // patch
        ramp = (torch.arange(self.quarter) + 0.5) / self.quarter
        ramp = torch.cat([ramp, ramp.flip(0)])
        self.register_buffer("weights", ramp[:, None] * ramp, persistent=False)

    def forward(self, pieces: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
        """``[windows, D, rows, columns]`` to ``[1, D, H // patch, W // patch]``."""
        size, half = 2 * self.quarter, self.quarter
        columns = cast("int", across)  # a file computes it anew for every tile
        grid = pieces.reshape(-1, columns, WIDTH, size, size)
        total = self._laid(grid * self.weights)
        weight = self._laid(torch.ones_like(grid[:, :, :1]) * self.weights)
        found = (total / weight).permute(2, 0, 3, 1, 4)
        return found.reshape(1, WIDTH, found.shape[1] * half, found.shape[3] * half)

    def _laid(self, grid: torch.Tensor) -> torch.Tensor:
        """Quarters of windows where they lie, added: ``[rows + 1, columns + 1, D, half, half]``."""
        half, total = self.quarter, torch.zeros(1)
        for row in (0, 1):
            for col in (0, 1):
                quarter = grid[..., row * half :, col * half :][..., :half, :half]
                total = total + functional.pad(
                    quarter, (0, 0, 0, 0, 0, 0, col, 1 - col, row, 1 - row)
                )
        return total


class PixelTile(nn.Module):
    """Prepares a tile for pixels that are embedded each on its own."""

    def forward(
        self, s2: torch.Tensor, s1: torch.Tensor, months: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """As ``PixelPiece`` takes it.

        Args:
            s2: ``[1, T, 14, H, W]``: reflectance, then sine and cosine of twice the latitude and
                of the longitude, as cards derive them.
            s1: ``[1, T, 2, H, W]``, decibels.
            months: ``[1, T]``, January is 1.

        Returns:
            Both satellites' series ``[P, T, C]``, places ``[P, 2]``, months, and how many pieces
            there are.
        """
        optical, radar = (observed(a[0]).flatten(2).permute(2, 0, 1) for a in (s2, s1))
        bands = len(S2_BANDS)
        waves = s2[0, :, bands:].amax(0).flatten(1).T * 2 - 1
        lat = torch.atan2(waves[:, 0], waves[:, 1]) / 2
        lon = torch.atan2(waves[:, 2], waves[:, 3])
        latlon = torch.stack([lat, lon], 1) * (180 / math.pi)
        pieces = torch.div(lengths(optical)[0] + PIXELS - 1, PIXELS, rounding_mode="floor")
        optical = optical[:, :, :bands] * FULL_SCALE
        return optical, radar, latlon, (months[0] - 1).long(), pieces


class PixelPiece(nn.Module):
    """Embeds a piece of a tile's pixels."""

    def __init__(self, network: Presto) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        number: torch.Tensor,
        s2: torch.Tensor,
        s1: torch.Tensor,
        latlon: torch.Tensor,
        months: torch.Tensor,
    ) -> torch.Tensor:
        """``[PIXELS, D]``; the last pixel stands for those beyond it."""
        index = (number * PIXELS + torch.arange(PIXELS)).clamp(max=s2.shape[0] - 1)
        parts = (a.index_select(0, index) for a in (s2, s1))
        return self.network.masked(latlon.index_select(0, index), months, *parts)


class PixelMap(nn.Module):
    """Puts the pieces of a tile together."""

    def forward(self, pieces: torch.Tensor, s1: torch.Tensor) -> torch.Tensor:
        """``[pieces, PIXELS, D]`` to ``[1, D, H, W]``; ``s1`` is the tile's, for its size."""
        height, width = s1.shape[3:]
        every = pieces.flatten(0, 1)[: height * width]
        return every.T.reshape(1, WIDTH, height, width)
