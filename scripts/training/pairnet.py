"""Two dates through one U-Net, compared so that swapped dates give the mirrored answer.

Each date's picture goes through the same network; a comparison ``c`` looks at the features of one
date and then of the other, in both orders. With ``lean`` and ``calm`` its two numbers:

    t = lean(before, after) - lean(after, before)        above 0: more building after
    m = softplus(calm(before, after) + calm(after, before))

and the scores are ``m`` for no change, ``t`` for a new building and ``-t`` for one that is gone.
Swapped, ``t`` changes its sign and ``m`` stays; of equal dates ``t`` is 0 and no change wins.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from training.encoder import lite0
from training.unet import BLOCKS, WIDTHS, Unet, enlarged, folded

WIDTH = 32
"""Channels of the comparison."""
DILATIONS = (1, 2, 4)
"""Of its convolutions, at half the resolution: it meets what lies up to 14 pixels apart."""
BANDS = 3


class Pairnet(nn.Module):
    """Normalised pixels of both dates ``[N, 6, H, W]`` to raw scores ``[N, 3, H, W]``.

    While it learns, the buildings of each date follow: ``[N, 3 + 2 + 2, H, W]``.
    """

    def __init__(self, one: Unet) -> None:
        super().__init__()
        self.one = one
        layers: list[nn.Module] = []
        given = 2 * WIDTHS[-1]
        for dilation in DILATIONS:
            layers += [
                nn.Conv2d(given, WIDTH, 3, padding=dilation, dilation=dilation),
                nn.ReLU(),
            ]
            given = WIDTH
        self.compare = nn.Sequential(*layers, nn.Conv2d(WIDTH, 2, 1))
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Half floats while learning, as the U-Net of one date."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training):
            scores: torch.Tensor = self._scores(pixels[:, :BANDS], pixels[:, BANDS:])
        return scores.float()

    def _scores(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        first, second = self.one.features(before), self.one.features(after)
        forth = self.compare(torch.cat([first, second], 1))
        back = self.compare(torch.cat([second, first], 1))
        lean = forth[:, :1] - back[:, :1]
        calm = functional.softplus(forth[:, 1:] + back[:, 1:])
        scores = [calm, lean, -lean]
        if self.training:
            scores += [self.one.decide(first), self.one.decide(second)]
        return enlarged(torch.cat(scores, 1))


def taught(model: Path, frozen: int) -> Unet:
    """The U-Net of a written building model, its norms inside its convolutions."""
    network = Unet(lite0(BLOCKS), 2, frozen).eval()
    network.ups = folded(network.ups)
    graph = onnx.load(model).graph
    kept = {c.name.removesuffix("_half"): numpy_helper.to_array(c) for c in graph.initializer}
    written = [node.input[1:] for node in graph.node if node.op_type == "Conv"]
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    # Both list their layers in the order of computation; the file then lists them once more.
    for layer, names in zip(layers, written[: len(layers)], strict=True):
        for own, name in zip((layer.weight, layer.bias), names, strict=True):
            own.data.copy_(torch.from_numpy(kept[name].astype(np.float32)))
    return network
