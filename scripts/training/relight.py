"""Another day over the same ground: sun, shadows, haze, seasons, sensors, and a small shift."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from training.augment import uniform

LONGEST = 9
"""Pixels of a cast shadow."""
STILL = 0.3
"""Share of the pictures that are not moved."""
FARTHEST = 2.0
"""Pixels by which each date is moved, at the most, along rows and columns."""


def another_day(pixels: torch.Tensor, roofs: torch.Tensor) -> torch.Tensor:
    """Pictures ``[N, 3, H, W]`` of 0 to 1 as another flight on another day would show them.

    Args:
        pixels: What is there.
        roofs: ``[N, 1, H, W]`` 1 where there is a building: they cast shadows.
    """
    lit = sunned(shaded(seasoned(pixels), roofs))
    return sensed(moved(coloured(lit))).clamp(0, 1)


def seasoned(pixels: torch.Tensor) -> torch.Tensor:
    """Greener or drier plants, in half of the pictures."""
    count = len(pixels)
    red, green, blue = pixels.split(1, 1)
    plants = (2 * green - red - blue).clamp(min=0)
    dry = uniform(count, -0.5, 1.0) * (uniform(count, 0, 1) < 0.5)  # noqa: PLR2004 - half
    return pixels + dry * plants * torch.tensor([0.8, -0.3, 0.1]).view(1, 3, 1, 1)


def shaded(pixels: torch.Tensor, roofs: torch.Tensor) -> torch.Tensor:
    """Shadows beside the roofs, in half of the pictures."""
    made = [
        _shadow(roof) if torch.rand(()) < 0.5 else torch.zeros_like(roof)  # noqa: PLR2004 - half
        for roof in roofs
    ]
    return pixels * (1 - uniform(len(pixels), 0.3, 0.65) * torch.stack(made))


def _shadow(roof: torch.Tensor) -> torch.Tensor:
    """``[1, H, W]``: where one sun leaves the ground beside roofs dark."""
    angle, length = 2 * math.pi * torch.rand(()).item(), int(torch.randint(2, LONGEST + 1, ()))
    steps = [(round(k * math.sin(angle)), round(k * math.cos(angle))) for k in range(1, length + 1)]
    dark = torch.stack([roof.roll(step, (1, 2)) for step in steps]).amax(0)
    return functional.avg_pool2d(dark * (1 - roof), 3, 1, 1)


def sunned(pixels: torch.Tensor) -> torch.Tensor:
    """Light that differs from place to place."""
    count = len(pixels)
    field = functional.interpolate(torch.randn(count, 1, 4, 4), pixels.shape[2:], mode="bicubic")
    return pixels * (uniform(count, 0, 0.2) * field).exp()


def coloured(pixels: torch.Tensor) -> torch.Tensor:
    """Saturation, contrast, brightness, white balance, haze and gamma."""
    count = len(pixels)
    grey, mean = pixels.mean(1, keepdim=True), pixels.mean((1, 2, 3), keepdim=True)
    pixels = grey + (pixels - grey) * uniform(count, 0.4, 1.5)
    pixels = (pixels - mean) * uniform(count, 0.6, 1.4) + mean * uniform(count, 0.65, 1.4)
    pixels = pixels * torch.empty(count, 3, 1, 1).uniform_(0.88, 1.12)
    haze = uniform(count, -0.1, 0.25).clamp(min=0)
    pixels = pixels + haze * (uniform(count, 0.5, 0.9) - pixels)
    return pixels.clamp(1e-3, 1) ** uniform(count, 0.7, 1.4)


def moved(pixels: torch.Tensor) -> torch.Tensor:
    """Shifted by a pixel or two, turned and scaled by next to nothing, but for some."""
    count, edge = len(pixels), pixels.shape[-1]
    does = (torch.rand(count) >= STILL).float()
    turn = does * torch.empty(count).uniform_(-0.005, 0.005)
    grow = 1 + does * torch.empty(count).uniform_(-0.005, 0.005)
    by = does[:, None] * torch.empty(count, 2).uniform_(-FARTHEST, FARTHEST) * 2 / edge
    rows = [torch.stack([grow, -turn, by[:, 0]], 1), torch.stack([turn, grow, by[:, 1]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, "bilinear", "reflection", align_corners=False)


def sensed(pixels: torch.Tensor) -> torch.Tensor:
    """Softer optics and noise."""
    count = len(pixels)
    for _ in range(2):
        soft = functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        pixels = torch.lerp(pixels, soft, uniform(count, -1, 1).clamp(min=0))
    return pixels + torch.randn_like(pixels) * uniform(count, 0, 0.03)
