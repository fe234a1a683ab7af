"""How far a network looks."""

from __future__ import annotations

import torch
from torch import nn


def reach(network: nn.Module, channels: int, stride: int, edge: int = 256) -> int:
    """The receptive field's radius: pixels from an input to the farthest output it can change.

    One pixel that is not a number makes every output that depends on it no number; this is asked
    for one pixel at each place within a stride, since the answer differs among them.
    """
    middle = edge // 2 // stride * stride
    farthest = 0
    with torch.no_grad():
        for y, x in torch.cartesian_prod(torch.arange(stride), torch.arange(stride)).tolist():
            pixels = torch.zeros(1, channels, edge, edge)
            pixels[0, :, middle + y, middle + x] = torch.nan
            rows, cols = network(pixels)[0, 0].isnan().nonzero(as_tuple=True)
            away = torch.stack([(rows - middle - y).abs(), (cols - middle - x).abs()])
            farthest = max(farthest, int(away.max()))
    return farthest
