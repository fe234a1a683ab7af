"""What a raster engine needs around DIST-S1: a series and a new image in, how unlikely it is out.

Three parts of a file, see ``maps``: one prepares the tile, one looks at a few windows and is run
again and again, one blends what all windows expect and compares the new image with it.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from engine.models.encoders.dist_s1 import CHANNELS, DistS1
from engine.models.encoders.maps import UNSEEN, lengths

STEP = 4
"""Pixels from one window to the next: what the authors' ``compute_transformer_zscore`` takes."""
TOKENS = 1280
"""Of one pass, about."""
LEAST, MOST = 1e-7, 1 - 1e-6
"""Backscatter is held between these, as power: the logit of 0 and 1 is infinite."""
TENTH = math.log(10) / 10
"""Decibels to the natural logarithm of power."""


class SeriesTile(nn.Module):
    """Prepares a tile for windows."""

    def __init__(self, window: int, several: int) -> None:
        super().__init__()
        self.window, self.several = window, several

    def forward(self, after: torch.Tensor, before: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As ``SeriesWindows`` takes it.

        Args:
            after: ``[1, 2, H, W]``, decibels; H and W are multiples of ``STEP``, and no less than
                a window.
            before: ``[1, T, 2, H, W]``, the newest date last.

        Returns:
            Logits of the series ``[T, 2, H, W]``, NaN where no date saw anything, and of the new
            image ``[2, H, W]``, and how many passes there are.
        """
        series = mended(logit(before[0]), before[0] > UNSEEN)
        windows = grid(lengths(after), self.window).prod()
        passes = torch.div(windows + self.several - 1, self.several, rounding_mode="floor")
        return series, logit(after[0]), passes


def logit(decibels: torch.Tensor) -> torch.Tensor:
    """``log(power / (1 - power))``."""
    power = (decibels * TENTH).exp().clamp(LEAST, MOST)
    return power.log() - (1 - power).log()


def mended(series: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """What a date did not see of a pixel as the mean of the other dates, NaN where none saw it."""
    return torch.where(seen, series, torch.where(seen, series, 0.0).sum(0) / seen.float().sum(0))


def plain(windows: torch.Tensor) -> torch.Tensor:
    """What was never seen of a window as the mean of its rest, date by date; 0 without any.

    The authors put in a logit of 0, -3 dB. Beside forest at -12 dB that is a bright edge, and the
    network trusts itself less along it.
    """
    seen = windows.isfinite()
    total = torch.where(seen, windows, 0.0).sum((3, 4), keepdim=True)
    mean = total / seen.float().sum((3, 4), keepdim=True).clamp(min=1)
    return torch.where(seen, windows, mean)


def grid(shape: torch.Tensor, window: int) -> torch.Tensor:
    """How many windows fit below each other and beside each other."""
    return torch.div(shape[-2:] - window, STEP, rounding_mode="floor") + 1


class SeriesWindows(nn.Module):
    """Looks at some windows of a tile."""

    def __init__(self, network: DistS1, several: int) -> None:
        super().__init__()
        self.network, self.several = network, several

    def forward(
        self, number: torch.Tensor, series: torch.Tensor, newest: torch.Tensor
    ) -> torch.Tensor:
        """``[several, 4, window, window]``: two means, two logarithms of variances.

        The last window stands for those beyond it.
        """
        del newest
        window, shape = self.network.form.window, lengths(series)
        found = grid(shape, window)
        index = torch.minimum(number * self.several + torch.arange(self.several), found.prod() - 1)
        rows = torch.div(index, found[1], rounding_mode="floor") * STEP
        cols = torch.remainder(index, found[1]) * STEP
        span = torch.arange(window)
        spots = (rows[:, None] + span)[:, :, None] * shape[3] + (cols[:, None] + span)[:, None]
        pixels = series.flatten(2).index_select(2, spots.flatten())
        parts = pixels.reshape(-1, CHANNELS, self.several, window, window)
        return torch.cat(self.network(plain(parts.permute(2, 0, 1, 3, 4))), 1)


class SeriesVerdict(nn.Module):
    """Averages what the windows over a pixel expect, and compares.

    All windows count alike and variances are averaged as logarithms, as the authors do. A pixel in
    the middle has ``window / STEP`` squared windows, one near the tile's edge fewer.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, pieces: torch.Tensor, newest: torch.Tensor) -> torch.Tensor:
        """``[passes, several, 4, window, window]`` and ``[2, H, W]`` to ``[1, 7, H, W]``.

        Returns:
            The larger of both ``abs(z)``, z of VV and VH, their expected backscatter in decibels,
            the spread of their logits.
        """
        down, across = (cast("int", n) for n in grid(lengths(newest), self.window))
        every = pieces.flatten(0, 1)[: down * across]
        placed = every.reshape(down, across, 2 * CHANNELS, self.window, self.window)
        mean, logvar = (self._laid(placed) / self._laid(torch.ones_like(placed[:, :, :1]))).chunk(2)
        spread = (logvar / 2).exp()
        z = (newest - mean) / spread
        expected = functional.logsigmoid(mean) / TENTH
        return torch.cat([z.abs().amax(0, keepdim=True), z, expected, spread])[None]

    def _laid(self, placed: torch.Tensor) -> torch.Tensor:
        """Windows ``[down, across, C, window, window]`` where they lie, added: ``[C, H, W]``."""
        strips = self._added(placed.permute(2, 0, 3, 1, 4))
        return self._added(strips.permute(0, 3, 1, 2)).transpose(1, 2)

    def _added(self, pieces: torch.Tensor) -> torch.Tensor:
        """Overlapping pieces of a line, ``[..., pieces, window]``, as the line."""
        parts, total = self.window // STEP, torch.zeros(1)
        for n, part in enumerate(pieces.split(STEP, -1)):
            total = total + functional.pad(part, (0, 0, n, parts - 1 - n))
        return total.flatten(-2)
