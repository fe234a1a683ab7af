"""Presto: one embedding a pixel from its months of satellite and weather data.

Tseng and others 2023, "Lightweight, Pre-trained Transformers for Remote Sensing Timeseries",
arXiv 2304.14065; network and weights (MIT licence) of github.com/nasaharvest/presto at commit
13173d028f03, ``data/default_model.pt``. Written anew after the paper and that repository; of the
weights only the encoder is used.

The bands of a month form groups. Each group of each month is one token: its numbers times a matrix,
plus a code that says which month of the year, which group and which place in the series. Terrain is
one token without a time, the place on Earth one token without a code. Two transformer layers let
them look at each other; the embedding is their mean, normalised. What was not seen is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from engine.models.encoders.bands import S2_CHANNELS, S2_GROUPS
from engine.models.encoders.embedding import STEP, PixelEncoder
from engine.models.encoders.series import LONGEST, MONTHS, UNKNOWN_COVER, WIDTH
from engine.models.encoders.transformer import Block, blocks, ndvi
from engine.models.encoders.weights import State, TorchRun, fill, read_state

DEPTH = 2
QUARTER, HALF = WIDTH // 4, WIDTH // 2
GROUPS = {"S1": 2, **S2_CHANNELS, "ERA5": 2, "SRTM": 2, "NDVI": 1}
"""Channels of a group, in the order of the groups' codes; the code after them is land cover's."""
SCALING = {
    "s1": ((-25.0, -25.0), (25.0, 25.0)),
    "s2": ((0.0,), (1e4,)),
    "era5": ((272.15, 0.0), (35.0, 0.03)),
    "srtm": ((0.0, 0.0), (2000.0, 50.0)),
}
"""``(physical - low) / span`` of each source, as ``low, span``."""
GPU_STEP = 4096
"""Pixels of a forward pass on a GPU."""


class Presto(nn.Module):
    """The encoder; physical numbers in, embeddings out."""

    def __init__(self) -> None:
        super().__init__()
        self.eo_patch_embed = nn.ModuleDict(
            {name: nn.Linear(n, WIDTH) for name, n in GROUPS.items()}
        )
        self.dw_embed = nn.Embedding(UNKNOWN_COVER + 1, WIDTH)
        self.latlon_embed = nn.Linear(3, WIDTH)
        self.month_embed = nn.Embedding(MONTHS, QUARTER)
        self.channel_embed = nn.Embedding(len(GROUPS) + 1, QUARTER)
        self.pos_embed = nn.Parameter(torch.zeros(1, LONGEST, HALF))
        self.blocks = blocks(DEPTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(  # noqa: PLR0917 - the tracer of ONNX calls by position
        self,
        latlon: torch.Tensor,
        months: torch.Tensor,
        seen: torch.Tensor,
        s2: torch.Tensor,
        s1: torch.Tensor,
        era5: torch.Tensor,
        srtm: torch.Tensor,
        cover: torch.Tensor,
    ) -> torch.Tensor:
        """Embed pixels of which the same was seen.

        Args:
            latlon: ``[N, 2]``, as all that follow but ``seen`` like ``PixelSeries`` has it.
            months: ``[N, T]``.
            seen: ``[K]``, which tokens there are; the others' numbers do not matter.
            s2: ``[N, T, 10]``.
            s1: ``[N, T, 2]``.
            era5: ``[N, T, 2]``.
            srtm: ``[N, 2]``.
            cover: ``[N, T]``.

        Returns:
            ``[N, D]``.
        """
        parts = []
        for name, values in channels(s2, s1, era5, srtm):
            made = self.eo_patch_embed[name](values.nan_to_num(0.0, 0.0, 0.0))
            code = self._code(list(GROUPS).index(name), months)
            parts.append(made + (timeless(code) if name == "SRTM" else code))
        parts.append(self.dw_embed(cover) + self._code(len(GROUPS), months))
        place = self.latlon_embed(on_sphere(latlon))[:, None]
        tokens = torch.cat([place, torch.cat(parts, 1)[:, seen]], 1)
        last = cast(Block, self.blocks[-1])
        result: torch.Tensor = self.norm(last.pooled(self.blocks[:-1](tokens)))
        return result

    def masked(
        self, latlon: torch.Tensor, months: torch.Tensor, s2: torch.Tensor, s1: torch.Tensor
    ) -> torch.Tensor:
        """Embed pixels of which different things were seen by the two satellites.

        What none of them saw is left out, what some did not see is masked; both is the same.

        Args:
            latlon: As in ``forward``, as all that follows.
            months: ``[T]``, those of all pixels.
            s2: ``[N, T, 10]``.
            s1: ``[N, T, 2]``.

        Returns:
            ``[N, D]``; where nothing was seen but the place, that of the place.
        """
        parts, flags = [], []
        for name, values in satellites(s2, s1):
            made = self.eo_patch_embed[name](values.nan_to_num(0.0, 0.0, 0.0))
            parts.append(made + self._code(list(GROUPS).index(name), months[None]))
            flags.append(values.isfinite().all(-1))
        tokens, seen = torch.cat(parts, 1), torch.cat(flags, 1)
        some = seen.any(0)
        place = self.latlon_embed(on_sphere(latlon))[:, None]
        tokens = torch.cat([place, tokens[:, some]], 1)
        seen = torch.cat([torch.ones_like(seen[:, :1]), seen[:, some]], 1)
        for block in cast(nn.Sequential, self.blocks[:-1]):
            tokens = block(tokens, seen)
        result: torch.Tensor = self.norm(cast(Block, self.blocks[-1]).pooled(tokens, seen))
        return result

    def _code(self, group: int, months: torch.Tensor) -> torch.Tensor:
        """Which month and group, a quarter of D each; which place in the series, half of it."""
        month = functional.pad(self.month_embed(months), (0, QUARTER + HALF))
        own = functional.pad(self.channel_embed.weight[group], (QUARTER, HALF))
        order = functional.pad(self.pos_embed[:, : months.shape[1]], (HALF, 0))
        return month + own + order


def timeless(code: torch.Tensor) -> torch.Tensor:
    """The code of what has no time, ``[N, 1, D]``: that of the group alone."""
    return functional.pad(code[:, :1, QUARTER:HALF], (QUARTER, HALF))


def channels(
    s2: torch.Tensor, s1: torch.Tensor, era5: torch.Tensor, srtm: torch.Tensor
) -> Iterator[tuple[str, torch.Tensor]]:
    """The scaled channels of every group, ``[N, T, C]``, in the order of ``PixelSeries.seen``."""
    yield from satellites(s2, s1)
    yield "ERA5", scaled("era5", era5)
    yield "SRTM", scaled("srtm", srtm)[:, None]


def satellites(s2: torch.Tensor, s1: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Those of Sentinel-1 and -2."""
    yield "S1", scaled("s1", s1)
    optical = scaled("s2", s2)
    for group, bands in S2_GROUPS.items():
        yield group, optical[..., list(bands)]
    yield "NDVI", ndvi(optical, -1)


def scaled(source: str, values: torch.Tensor) -> torch.Tensor:
    """Physical numbers as the network was trained with them; see ``SCALING``."""
    low, span = (torch.tensor(numbers, device=values.device) for numbers in SCALING[source])
    return (values - low) / span


def on_sphere(latlon: torch.Tensor) -> torch.Tensor:
    """Degrees of latitude and longitude ``[N, 2]`` as points of the unit sphere ``[N, 3]``."""
    lat, lon = (latlon * (math.pi / 180)).unbind(-1)
    return torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], -1)


def open_presto(path: Path, device: str = "cpu", half: bool = False) -> PixelEncoder:
    """The encoder with the published weights, on PyTorch.

    Args:
        path: ``default_model.pt``.
        device: ``cpu`` or ``cuda``.
        half: bfloat16 where it does little harm.

    Raises:
        EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_INVALID``.
    """
    step = STEP if device == "cpu" else GPU_STEP
    return PixelEncoder(TorchRun(load_presto(path), device, half), step)


def load_presto(path: Path) -> Presto:
    """The network with the published weights; see ``open_presto``."""
    network = Presto()
    fill(network, translated(read_state(path)))
    return network


def translated(state: State) -> State:
    """The encoder's tensors, without the decoder's."""
    start = "encoder."
    return {name[len(start) :]: t for name, t in state.items() if name.startswith(start)}
