"""A U-Net on the ImageNet encoder: convolutions only, so that it sees no further than its margin.

O. Ronneberger, P. Fischer, T. Brox (2015), U-Net: Convolutional Networks for Biomedical Image
Segmentation. The encoder's norms are folded into its convolutions before it learns on, which
halves its cost; the decoder's are folded when the network is written.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.encoder import SamePad

STRIDE = 16
"""Heights and widths are multiples of it."""
BLOCKS = 11
"""Of the encoder: all that work at a sixteenth of the resolution or finer."""
SKIPS = {1: 16, 3: 24, 5: 40}
"""Encoder layers whose features the decoder sees again, at 1/2, 1/4 and 1/8, with their widths."""
DEEPEST = 112
WIDTHS = (96, 64, 32)
"""Channels of the decoder at 1/8, 1/4 and 1/2 of the resolution."""


class Unet(nn.Module):
    """Normalised pixels ``[N, 3, H, W]`` to raw scores ``[N, K, H, W]``.

    Args:
        encoder: The stem and the first blocks, as ``encoder.pretrained`` gives them.
        classes: K.
        frozen: Layers of the encoder, from the first on, that stay as they are.
    """

    def __init__(self, encoder: nn.ModuleList, classes: int, frozen: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(folded(layer.eval()) for layer in encoder)
        self.encoder[:frozen].requires_grad_(requires_grad=False)
        self.ups = nn.ModuleList()
        given = DEEPEST
        for skip, width in zip(reversed(SKIPS.values()), WIDTHS, strict=True):
            self.ups.append(convolution(given + skip, width))
            given = width
        self.decide = nn.Conv2d(given, classes, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Half floats while learning on a CPU: they are twice as fast and good enough."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training):
            scores: torch.Tensor = self._scores(pixels)
        return scores.float()

    def _scores(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.scores_of(self.features(pixels))

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the decoder knows of each second pixel, ``[N, WIDTHS[-1], H / 2, W / 2]``."""
        skips = []
        for number, layer in enumerate(self.encoder):
            pixels = layer(pixels)
            if number in SKIPS:
                skips.append(pixels)
        for up in self.ups:
            finer = functional.interpolate(pixels, scale_factor=2.0, mode="nearest")
            pixels = up(torch.cat([finer, skips.pop()], 1))
        return pixels

    def scores_of(self, features: torch.Tensor) -> torch.Tensor:
        """Raw scores of every pixel."""
        return enlarged(self.decide(features))


class InWholeFloats(nn.Module):
    """A layer that is not computed in half floats."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the layer makes of them."""
        with torch.autocast("cpu", enabled=False):
            made: torch.Tensor = self.layer(pixels.float())
        return made


def swift(layer: nn.Module) -> nn.Module:
    """The same layer, learning a third faster on a CPU.

    The gradients of depthwise convolutions in half floats take four times as long as whole ones.
    """
    for name, child in layer.named_children():
        setattr(layer, name, swift(child))
    depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
    return InWholeFloats(layer) if depthwise else layer


def folded(layer: nn.Module) -> nn.Module:
    """A layer with its norms, and its paddings where they are even, inside its convolutions."""
    for name, child in layer.named_children():
        setattr(layer, name, folded(child))
    return nn.Sequential(*_folded(layer)) if type(layer) is nn.Sequential else layer


def _folded(layers: Iterable[nn.Module]) -> list[nn.Module]:
    done: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            done[-1] = fuse_conv_bn_eval(done[-1], layer)
        elif isinstance(layer, nn.Conv2d) and done and _even(done[-1]):
            layer.padding = (layer.kernel_size[0] // 2,) * 2
            done[-1] = layer
        else:
            done.append(layer)
    return done


def _even(layer: nn.Module) -> bool:
    return isinstance(layer, SamePad) and layer.sides[0] == layer.sides[1]


def enlarged(scores: torch.Tensor) -> torch.Tensor:
    """Of each second pixel to those of every one."""
    return functional.interpolate(scores, scale_factor=2.0, mode="bilinear", align_corners=False)


def convolution(given: int, made: int) -> nn.Sequential:
    """Looks at the nearest neighbours."""
    return nn.Sequential(
        nn.Conv2d(given, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU()
    )


class UpsideDownToo(nn.Module):
    """The mean of what a network says of a picture and of it upside down: twice the work."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scores as the network gives them."""
        turned: torch.Tensor = self.network(pixels.flip(2)).flip(2)
        return (self.network(pixels) + turned) / 2
