"""Floods under another sky: what changes backscatter from one acquisition to the next."""

from __future__ import annotations

import torch
from torch.nn import functional

from training.augment import uniform

WIND = 5.0
"""dB by which waves lift the VV of water at the most; VH hardly sees them."""
WINDY = 0.5
"""Share of the crops with wind."""
PLANTS = 5.0
"""dB by which plants that stand in the water brighten it at the most, in patches."""
GROWN = 0.5
"""Share of the crops with such plants."""
BUILT = 12.0
"""dB by which buildings brighten land at the most, in some patches of it."""
BUILT_FROM = 0.8
"""Patches of 0 to 1 are built up from here on."""
NOISE_FLOOR = (-36.0, -25.0)
"""dB under which a sensor sees only itself: between sub-swaths and products."""


def other_weather(backscatter: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Backscatter as it might have been with other wind, moisture, angle and noise.

    Args:
        backscatter: ``[N, 2, H, W]``, VV and VH in dB.
        label: ``[N, H, W]``, 1 is water.
    """
    count = len(backscatter)
    vv, vh = backscatter[:, :1], backscatter[:, 1:]
    water = (label == 1)[:, None].float()
    wind = uniform(count, 0, 1) * (uniform(count, 0, 1) < WINDY)
    plants = PLANTS * (uniform(count, 0, 1) < GROWN) * water * _patchy(vv)
    built = BUILT * uniform(count, 0, 1) * (1 - water) * (_patchy(vv) > BUILT_FROM).float()
    vv = vv + plants + built + WIND * wind * water * (0.5 + 0.5 * _patchy(vv))
    vh = vh + plants + built + 2.0 * wind * water * uniform(count, 0, 1)
    both = torch.cat([_with_floor(vv), _with_floor(vh)], 1)
    common, each = 1.0 * torch.randn(count, 1, 1, 1), 0.5 * torch.randn(count, 2, 1, 1)
    speckle = uniform(count, 0, 1.5) * torch.randn_like(both)
    return both + common + each + speckle


def _patchy(like: torch.Tensor) -> torch.Tensor:
    """Slow changes over a crop, of 0 to 1."""
    coarse = torch.rand(len(like), 1, 5, 5)
    return functional.interpolate(coarse, size=like.shape[2:], mode="bilinear", align_corners=False)


def _with_floor(decibel: torch.Tensor) -> torch.Tensor:
    floor = uniform(len(decibel), *NOISE_FLOOR)
    return 10 * torch.log10(10 ** (decibel / 10) + 10 ** (floor / 10))
