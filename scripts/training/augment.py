"""Pictures seen from above look as good turned or mirrored."""

from __future__ import annotations

import torch


def dihedral(pixels: torch.Tensor, which: int) -> torch.Tensor:
    """One of the eight turns and mirrors of the last two axes, which are of one length.

    Args:
        pixels: ``[..., H, W]`` with ``H == W``.
        which: 0 (as it is) to 7.
    """
    if which & 1:
        pixels = pixels.flip(-1)
    if which & 2:
        pixels = pixels.flip(-2)
    return pixels.transpose(-1, -2) if which & 4 else pixels


def uniform(count: int, low: float, high: float) -> torch.Tensor:
    """``[count, 1, 1, 1]`` numbers, one for each picture of a batch."""
    return torch.empty(count, 1, 1, 1).uniform_(low, high)
