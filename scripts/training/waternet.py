"""The network that finds water in backscatter, and what it learns by."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTHS = (16, 32, 48)
"""Channels at a half, a quarter and an eighth of the resolution."""
STRIDE = 8
LIMIT = 2.5
"""Normalised backscatter is cut off here: beyond lie corner reflectors and the noise floor."""
MISSED = 1.5
"""What missed water costs beside flooded land: missing it is what a flood map must not do."""
RULE = (-1.25, -3.0, -1.0)
"""Log odds of water before anything is learnt: weights of normalised VV and VH, and the rest.

A quarter less for each dB of VV, half less for each dB of VH, even at -10 and -22 dB.
"""
FINE, WIDER = (3, 3), (9, 2)
"""Pixels over which the rule averages, and how often: like Gaussians of 1.4 and 3.7 pixels."""
TRUST = 2.0
"""How far, in log odds, the U-Net may move what the rule says."""


class WaterNet(nn.Module):
    """A threshold that knows its surroundings.

    A rule of two weights says that dark is water; a small U-Net, which never works at full
    resolution, where speckle drowns everything, corrects it within limits. What is far from the
    rule's threshold stays as the rule has it, in landscapes too that the network has never seen.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = WIDTHS
        self.rule = nn.Conv2d(2, 1, 1)
        with torch.no_grad():
            self.rule.weight[:] = torch.tensor(RULE[:2])[None, :, None, None]
            self.rule.bias.fill_(RULE[2])
        self.fold = nn.PixelUnshuffle(2)
        self.fine = _twice(8, half)
        self.middle = _twice(half, quarter)
        self.coarse = _twice(quarter, eighth)
        self.up_middle = _once(quarter + eighth, quarter)
        self.up_fine = _once(half + quarter, half)
        self.decide = nn.Conv2d(half, 4, 3, padding=1)
        self.unfold = nn.PixelShuffle(2)

    def forward(self, backscatter: torch.Tensor) -> torch.Tensor:
        """Normalised VV, VH ``[N, 2, H, W]`` to raw scores of land and water, of that shape."""
        seen = backscatter.clamp(-LIMIT, LIMIT)
        half = self.fine(self.fold(seen))
        quarter = self.middle(functional.avg_pool2d(half, 2))
        eighth = self.coarse(functional.avg_pool2d(quarter, 2))
        quarter = self.up_middle(torch.cat([quarter, _larger(eighth)], 1))
        half = self.up_fine(torch.cat([half, _larger(quarter)], 1))
        correction = TRUST * torch.tanh(self.unfold(self.decide(half)))
        water = (self.rule(_smooth(seen, *FINE)) + correction) / 2
        return torch.cat([-water, water], 1)


class Steadied(nn.Module):
    """A trained network, and beside it the rule as it stood before, over a wider neighbourhood.

    Their log odds are added: in landscapes unlike the learnt ones the two err differently.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, backscatter: torch.Tensor) -> torch.Tensor:
        """As ``WaterNet``'s."""
        around = _smooth(backscatter.clamp(-LIMIT, LIMIT), *WIDER)
        vv, vh = around.split(1, 1)
        water = (RULE[0] * vv + RULE[1] * vh + RULE[2]) / 2
        scores: torch.Tensor = self.network(backscatter) + torch.cat([-water, water], 1)
        return scores


def water_loss(scores: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and one minus the Dice overlap of the batch; label -1 counts for nothing."""
    known = label >= 0
    odds = (scores[:, 1] - scores[:, 0])[known]
    truth = label[known].float()
    entropy = functional.binary_cross_entropy_with_logits(
        odds, truth, pos_weight=torch.tensor(MISSED)
    )
    likely = odds.sigmoid()
    overlap = (2 * (likely * truth).sum() + 1) / (likely.sum() + truth.sum() + 1)
    return entropy + 1 - overlap


def _once(given: int, made: int) -> nn.Module:
    convolution = nn.Conv2d(given, made, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(made), nn.ReLU())


def _twice(given: int, made: int) -> nn.Module:
    return nn.Sequential(_once(given, made), _once(made, made))


def _smooth(pixels: torch.Tensor, edge: int, times: int) -> torch.Tensor:
    for _ in range(times):
        pixels = functional.avg_pool2d(pixels, edge, 1, edge // 2, count_include_pad=False)
    return pixels


def _larger(features: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
