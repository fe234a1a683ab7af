"""Trains the two networks where nobody brings them: a small U-Net and three convolutions."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn import functional

from benchmark.progress import tell

WIDTHS = (16, 24, 32, 64, 96, 160)
"""Channels of the U-Net at full resolution and at each of its five halvings."""
PATCH, BATCH = 192, 6
STEPS = {"unet": 300, "tiny": 150}
EDGE = 2048
"""Pixels of the raster, each way, that are learnt from."""


class Level(nn.Module):
    """One halving with all that lies below it."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        above, here, *deeper = widths
        self.down = _convolutions(above, here, stride=2)
        self.below = Level((here, *deeper)) if deeper else nn.Identity()
        self.up = _convolutions(here + above, above)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of the same size and number."""
        deep = functional.interpolate(self.below(self.down(pixels)), scale_factor=2.0)
        result: torch.Tensor = self.up(torch.cat([deep, pixels], 1))
        return result


def train_models(folder: Path, raster: Path) -> None:
    """Write ``unet.onnx`` and ``tiny.onnx``, each whole or not at all."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(raster) as source:
        pixels = source.read(window=((0, EDGE), (0, EDGE)))
    labels = _labels(pixels)
    for name, network in (("tiny", _tiny()), ("unet", _unet())):
        _fit(network, _batches(pixels, labels), STEPS[name])
        tell(f"{name} trained")
        _export(nn.Sequential(network, nn.Softmax(1)).eval(), folder / f"{name}.onnx")


def _unet() -> nn.Module:
    first = WIDTHS[0]
    return nn.Sequential(_convolutions(3, first), Level(WIDTHS), nn.Conv2d(first, 3, 1))


def _tiny() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 3, 1),
    )


def _convolutions(given: int, made: int, stride: int = 1) -> nn.Module:
    layers = []
    for channels, step in ((given, stride), (made, 1)):
        convolution = nn.Conv2d(channels, made, 3, step, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(made), nn.ReLU()]
    return nn.Sequential(*layers)


def _labels(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Textured, else bright or dark, judged over some tens of pixels."""
    grey = pixels.mean(0, dtype=np.float32)
    texture = gaussian_filter(np.abs(grey - gaussian_filter(grey, 4)), 10)
    brightness = gaussian_filter(grey, 10)
    bright = brightness > np.median(brightness)
    return np.where(texture > np.quantile(texture, 2 / 3), 2, bright).astype(np.int64)


def _batches(
    pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    dice = np.random.default_rng(0)
    while True:
        corners = dice.integers(0, EDGE - PATCH, (BATCH, 2))
        cuts = [(slice(y, y + PATCH), slice(x, x + PATCH)) for y, x in corners]
        seen = np.stack([pixels[:, rows, cols] for rows, cols in cuts])
        wanted = np.stack([labels[cut] for cut in cuts])
        yield torch.from_numpy(seen).float() / 255, torch.from_numpy(wanted)


def _fit(
    network: nn.Module, batches: Iterator[tuple[torch.Tensor, torch.Tensor]], steps: int
) -> None:
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    for _, (seen, wanted) in zip(range(steps), batches, strict=False):
        loss = functional.cross_entropy(network(seen), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _export(network: nn.Module, path: Path) -> None:
    free = {0: "batch", 2: "height", 3: "width"}
    content = io.BytesIO()
    torch.onnx.export(
        network,
        (torch.rand(1, 3, 256, 256),),
        content,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": free, "output": free},
        opset_version=17,
        dynamo=False,
    )
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_bytes(content.getvalue())
    unfinished.replace(path)
