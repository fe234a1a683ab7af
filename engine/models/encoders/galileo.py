"""Galileo (nano): one embedding a patch from Sentinel-2 and Sentinel-1 chips of one or more dates.

Tseng and others 2025, "Galileo: Learning Global & Local Features of Many Remote Sensing
Modalities", arXiv 2502.09356; network and weights (MIT licence) of github.com/nasaharvest/galileo
at commit 0f0b5b95ac81, ``data/models/nano``. Written anew after the paper and that repository.

The bands of a date form groups. Each group of each date of each patch is one token: its pixels
times a kernel, plus a code of four quarters that says which group, which place in the series, which
month and where in the chip. Four transformer layers let all tokens of a chip look at each other; a
patch's embedding is the mean of its normalised tokens. What was not seen is left out, not masked.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from engine.models.encoders.bands import S1_BANDS, S2_BANDS, S2_CHANNELS, S2_GROUPS
from engine.models.encoders.embedding import ChipEncoder
from engine.models.encoders.series import LONGEST, MONTHS, WIDTH
from engine.models.encoders.transformer import blocks, ndvi
from engine.models.encoders.weights import State, TorchRun, fill, joined, read_state

DEPTH = 4
QUARTER = WIDTH // 4
KERNEL = 8
"""Edge of the published kernels, pixels; smaller patches take a smaller image of them."""
BASE_GSD = 10.0
GROUPS = {"S1": 2, **S2_CHANNELS, "NDVI": 1}
"""Channels of a group, in the published order."""


STATISTICS = {
    "VV": (-11.72872, 4.887146),
    "VH": (-18.85558, 5.730270),
    "B02": (1395.341, 917.7041),
    "B03": (1338.403, 913.2988),
    "B04": (1343.099, 1092.679),
    "B05": (1543.861, 1047.221),
    "B06": (2186.202, 1048.010),
    "B07": (2525.093, 1143.690),
    "B08": (2410.338, 1098.979),
    "B8A": (2750.285, 1204.473),
    "B11": (2234.911, 1145.977),
    "B12": (1474.531, 980.2430),
}
"""Mean and standard deviation of the training data, ``config/normalization.json``."""
SCALINGS = {
    "pretrained": {b: (mean - 2 * std, 4 * std) for b, (mean, std) in STATISTICS.items()},
    "fixed": {b: (0.0, 1e4) if b in S2_BANDS else (25.0, 25.0) for b in STATISTICS},
}
"""``(physical - low) / span`` of each band, as ``low, span``.

``pretrained`` is what the network was trained with: two deviations on either side of the mean
become 0 to 1. ``fixed`` is what ``construct_galileo_input(normalize=True)`` of the repository does;
for comparisons only, since it puts Sentinel-1 far outside of what the network was trained with.
"""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the published network leaves open."""

    patch: int = 4
    """Edge of a patch, pixels, 1 to 8."""
    scaling: Literal["pretrained", "fixed"] = "pretrained"
    """See ``SCALINGS``."""
    ndvi: bool = False
    """Whether the vegetation index is a group of its own, as in the training; the authors'
    evaluations leave it out."""
    placed: bool = True
    """Whether a patch knows where in the chip it lies, as in the training.

    It shows: of a scene of 512 x 512 pixels, cut into chips of 32, 69 % of the embeddings' variance
    was their place in the chip. Without it they vary with the place no more than by chance, and
    water was found as well by a linear classifier (IoU 0.87 instead of 0.86). Take False for the
    tiles of a larger raster.
    """


class Galileo(nn.Module):
    """The network at one patch size; physical numbers in, embeddings out."""

    s1_scaling: torch.Tensor
    s2_scaling: torch.Tensor

    def __init__(self, choices: Choices) -> None:
        super().__init__()
        self.choices = choices
        self.patch = patch = choices.patch
        self.space_time_embed = nn.ModuleDict(
            {name: nn.Conv2d(n, WIDTH, patch, stride=patch) for name, n in GROUPS.items()}
        )
        self.s_t_channel_embed = nn.Parameter(torch.zeros(len(GROUPS), QUARTER))
        self.pos_embed = nn.Parameter(torch.zeros(LONGEST, QUARTER))
        self.month_embed = nn.Embedding(MONTHS, QUARTER)
        self.blocks = blocks(DEPTH)
        self.norm = nn.LayerNorm(WIDTH)
        for sensor, bands in (("s1", S1_BANDS), ("s2", S2_BANDS)):
            numbers = torch.tensor([SCALINGS[choices.scaling][band] for band in bands])
            self.register_buffer(f"{sensor}_scaling", numbers.T[..., None, None], persistent=False)

    def forward(
        self, months: torch.Tensor, gsd: torch.Tensor, s2: torch.Tensor, s1: torch.Tensor
    ) -> torch.Tensor:
        """Embed one chip.

        Args:
            months: ``[T]``, January is 0.
            gsd: ``[1]``, metres.
            s2: ``[T, 10, H, W]``, see ``ChipSeries``; what is not finite was not seen.
            s1: ``[T, 2, H, W]``, the same.

        Returns:
            ``[D, H // patch, W // patch]``, NaN where nothing was seen.
        """
        groups = list(self.channels(s2, s1))
        seen = torch.cat([seen_patches(pixels, self.patch) for _, pixels in groups])
        code = self._code(months, gsd, seen.shape[1], seen.shape[2])
        tokens = torch.cat([self._tokens(name, pixels, code) for name, pixels in groups])
        mixed = self.norm(self.blocks(tokens[seen][None]))[0]
        spread = torch.zeros_like(tokens, dtype=mixed.dtype)
        spread[seen] = mixed
        mean: torch.Tensor = spread.sum(0) / seen.sum(0)[..., None]
        return mean.permute(2, 0, 1)

    def _tokens(self, name: str, pixels: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """A group's tokens, ``[T, rows, columns, D]``; those of what was not seen mean nothing."""
        made = self.space_time_embed[name](pixels.nan_to_num(0.0, 0.0, 0.0))
        group = self.s_t_channel_embed[list(GROUPS).index(name)]
        result: torch.Tensor = made.permute(0, 2, 3, 1) + (code + quarter(0, group))
        return result

    def channels(self, s2: torch.Tensor, s1: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        """The scaled channels ``[T, C, H, W]`` of every group."""
        yield "S1", (s1 - self.s1_scaling[0]) / self.s1_scaling[1]
        scaled = (s2 - self.s2_scaling[0]) / self.s2_scaling[1]
        for name, bands in S2_GROUPS.items():
            yield name, scaled[:, list(bands)]
        if self.choices.ndvi:
            yield "NDVI", ndvi(s2, 1)

    def _code(
        self, months: torch.Tensor, gsd: torch.Tensor, rows: int, columns: int
    ) -> torch.Tensor:
        """Which place in the series, which month, where: ``[T, rows, columns, D]``."""
        order = self.pos_embed[: months.shape[0], None, None]
        month = self.month_embed(months)[:, None, None]
        step = self.patch / BASE_GSD if self.choices.placed else 0.0
        place = place_code(rows, columns, gsd * step)
        return quarter(1, order) + quarter(2, month) + quarter(3, place)


def quarter(number: int, code: torch.Tensor) -> torch.Tensor:
    """A code ``[..., D / 4]`` in its quarter of D, with zeros in the others."""
    return functional.pad(code, (number * QUARTER, (3 - number) * QUARTER))


def place_code(rows: int, columns: int, step: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of a patch's column and row: ``[rows, columns, D / 4]``.

    Args:
        rows: Patches from north to south.
        columns: Patches from west to east.
        step: Edge of a patch, in units of 10 m: the code knows of ground distances.
    """
    waves = QUARTER // 4
    count = functools.partial(torch.arange, device=step.device, dtype=step.dtype)
    rates = torch.exp(count(waves) * (-math.log(1e4) / (4 * waves)))
    x = count(columns)[:, None] * step * rates
    y = count(rows)[:, None] * step * rates
    across = functional.pad(torch.cat([x.sin(), x.cos()], -1), (0, 2 * waves))
    down = functional.pad(torch.cat([y.sin(), y.cos()], -1), (2 * waves, 0))
    return across[None] + down[:, None]


def seen_patches(pixels: torch.Tensor, patch: int) -> torch.Tensor:
    """Patches all seen in all channels: ``[T, C, H, W]`` to ``[T, rows, columns]``."""
    missing = (~pixels.isfinite()).any(1, keepdim=True).float()
    return functional.max_pool2d(missing, patch)[:, 0] == 0


def open_galileo(
    path: Path, choices: Choices | None = None, device: str = "cpu", half: bool = False
) -> ChipEncoder:
    """The encoder with the published weights, on PyTorch.

    Args:
        path: ``encoder.pt``.
        choices: What the published network leaves open; as it was trained, unless given.
        device: ``cpu`` or ``cuda``.
        half: bfloat16 where it does little harm.

    Raises:
        EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_INVALID``.
    """
    return ChipEncoder(TorchRun(load_galileo(path, choices), device, half))


def load_galileo(path: Path, choices: Choices | None = None) -> Galileo:
    """The network with the published weights; see ``open_galileo``."""
    network = Galileo(choices or Choices())
    fill(network, translated(read_state(path), network.patch))
    return network


def translated(state: State, patch: int) -> State:
    """The published tensors under this network's names, without those of other sensors."""
    own: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if name.startswith("space_time_embed."):
            resized = resize_kernels(tensor, patch) if name.endswith("weight") else tensor
            own[name.replace(".proj.", ".")] = resized
        elif name.startswith(("pos_embed", "month_embed", "s_t_channel", "blocks", "norm")):
            own[name] = tensor
    return joined(own)


def resize_kernels(kernels: torch.Tensor, patch: int) -> torch.Tensor:
    """Kernels for smaller patches that answer to a shrunken image as the large ones to the image.

    The pseudo-inverse of the shrinking, as in FlexiViT (Beyer and others 2023, arXiv 2212.08013).

    Args:
        kernels: ``[D, C, 8, 8]``.
        patch: Edge wanted, pixels.
    """
    if patch == KERNEL:
        return kernels
    one_each = torch.eye(KERNEL * KERNEL).view(-1, 1, KERNEL, KERNEL)
    shrunk = functional.interpolate(one_each, (patch, patch), mode="bicubic", antialias=True)
    back: torch.Tensor = torch.linalg.pinv(shrunk.flatten(1))
    return (kernels.flatten(2) @ back.T).reshape(*kernels.shape[:2], patch, patch)
