"""The radar disturbance network of OPERA DIST-S1: what the next Sentinel-1 image should look like.

A transformer (Hardiman-Mostow, Marshak, Handwerger 2025, arXiv 2501.09129) that looks at windows of
earlier images and tells the mean and the spread that it expects of the next one, pixel by pixel. It
works on ``logit(gamma nought)``. Parameters bear the names that the published weights use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from engine.contract.errors import EngineError, ErrorCode
from engine.models.encoders.weights import fill, read_state

CHANNELS = 2
"""VV and VH."""


@dataclass(frozen=True, slots=True)
class Form:
    """What differs between the published networks."""

    dates: int
    """Earlier images that it takes at most."""
    window: int
    """Edge of what it sees at once, pixels."""
    patch: int
    """Edge of a token, pixels."""
    width: int
    heads: int
    layers: int
    hidden: int

    @property
    def patches(self) -> int:
        """Of one window and date."""
        return (self.window // self.patch) ** 2

    @property
    def numbers(self) -> int:
        """Of one patch and date."""
        return CHANNELS * self.patch**2


class Attention(nn.Module):
    """Some tokens look at all."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.heads = form.heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * form.width, form.width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * form.width))
        self.out_proj = nn.Linear(form.width, form.width)

    def forward(self, some: torch.Tensor, every: torch.Tensor) -> torch.Tensor:
        """``[N, S, D]`` and ``[N, L, D]`` to ``[N, S, D]``."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            functional.linear(tokens, weight, bias).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for tokens, weight, bias in zip((some, every, every), weights, biases, strict=True)
        )
        scores = torch.matmul(query * query.shape[3] ** -0.5, key.transpose(2, 3))
        mixed = torch.matmul(scores.softmax(3), value)
        result: torch.Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return result


class Layer(nn.Module):
    """Attention and a small network, each added to what came in and normalised after."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.self_attn = Attention(form)
        self.linear1 = nn.Linear(form.width, form.hidden)
        self.linear2 = nn.Linear(form.hidden, form.width)
        self.norm1 = nn.LayerNorm(form.width)
        self.norm2 = nn.LayerNorm(form.width)

    def forward(self, some: torch.Tensor, every: torch.Tensor) -> torch.Tensor:
        """See ``Attention``."""
        some = self.norm1(some + self.self_attn(some, every))
        result: torch.Tensor = self.norm2(some + self.linear2(self.linear1(some).relu()))
        return result


class DistS1(nn.Module):
    """The network."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self.embedding = nn.Linear(form.numbers, form.width)
        self.spatial_pos_embed = nn.Parameter(torch.zeros(1, 1, form.patches, form.width))
        self.temporal_pos_embed = nn.Parameter(torch.zeros(1, form.dates, 1, form.width))
        layers = nn.ModuleList(Layer(form) for _ in range(form.layers))
        self.transformer_encoder = nn.ModuleDict({"layers": layers})
        self.mean_out = _answer(form)
        self.logvar_out = _answer(form)

    def forward(self, series: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What to expect of the next image.

        The answer is read from the tokens of the newest date alone, so that these alone pass
        the last layer.

        Args:
            series: ``[N, T, 2, window, window]``, logits of VV and VH, the newest date last.

        Returns:
            Mean and logarithm of the variance, each ``[N, 2, window, window]``.
        """
        dates = self.temporal_pos_embed[:, self.form.dates - series.shape[1] :]
        tokens = self.embedding(self._patches(series)) + self.spatial_pos_embed + dates
        tokens = tokens.flatten(1, 2)
        *layers, last = self.transformer_encoder["layers"]
        for layer in layers:
            tokens = layer(tokens, tokens)
        newest = last(tokens[:, -self.form.patches :], tokens)
        return self._pixels(self.mean_out(newest)), self._pixels(self.logvar_out(newest))

    def _patches(self, series: torch.Tensor) -> torch.Tensor:
        """``[N, T, P, numbers]``."""
        count, times = series.shape[:2]
        patch, rows = self.form.patch, self.form.window // self.form.patch
        split = series.reshape(count, times, CHANNELS, rows, patch, rows, patch)
        return split.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(2, 3)

    def _pixels(self, answer: torch.Tensor) -> torch.Tensor:
        """``[N, P, numbers]`` to ``[N, 2, window, window]``."""
        window, patch = self.form.window, self.form.patch
        rows = window // patch
        split = answer.reshape(-1, rows, rows, CHANNELS, patch, patch)
        return split.permute(0, 3, 1, 4, 2, 5).reshape(-1, CHANNELS, window, window)


def load_dist_s1(folder: Path) -> DistS1:
    """The network of a folder with ``config.json`` and ``state_dict.pt``.

    Raises:
        EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_INVALID``.
    """
    state = read_state(folder / "state_dict.pt")
    form = _form(folder / "config.json")
    network = DistS1(form)
    fill(network, state)
    return network


def _form(path: Path) -> Form:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Form(
            dates=int(told["max_seq_len"]),
            window=int(told["input_size"]),
            patch=int(told["patch_size"]),
            width=int(told["d_model"]),
            heads=int(told["nhead"]),
            layers=int(told["num_encoder_layers"]),
            hidden=int(told["dim_feedforward"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineError(
            ErrorCode.MODEL_INVALID,
            f"{path} does not tell the network's form: {error}.",
            "Take config.json from the folder of the weights.",
        ) from error


def _answer(form: Form) -> nn.Sequential:
    """From a token to a number for each of its pixels."""
    first, second = (form.width, form.hidden), (form.hidden, form.numbers)
    return nn.Sequential(nn.Linear(*first), nn.ReLU(), nn.Linear(*second))
