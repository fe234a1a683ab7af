"""What the encoders' networks share: the transformer, and the vegetation index.

Blocks of self-attention and a small network, each normalised before and added to what came in, as
in the vision transformer (Dosovitskiy and others 2021, arXiv 2010.11929). Parameters bear the names
that the published weights use.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from engine.models.encoders.bands import NIR, RED
from engine.models.encoders.series import WIDTH

HEADS = 8
HIDDEN = 4 * WIDTH
PIECE = 256
"""See ``piecewise``."""


class Attention(nn.Module):
    """Every token looks at every token of its own series."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """``[N, L, D]`` in and out; nobody looks at tokens that are not ``seen``, ``[N, L]``."""
        split = self.qkv(tokens)
        split = split.reshape(*tokens.shape[:2], 3, HEADS, WIDTH // HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        if seen is None and torch.onnx.is_in_onnx_export():
            mixed = piecewise()(query, key, value, PIECE)
        else:
            mask = None if seen is None else seen[:, None, None]
            mixed = functional.scaled_dot_product_attention(query, key, value, mask)
        result: torch.Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return result


@functools.cache
def piecewise() -> Any:
    """Attention of ``PIECE`` queries at a time, for files that have no such operator.

    A long series has ten thousand tokens in a window, and their square would fill the memory.
    """
    return torch.jit.script(_piecewise)


def _piecewise(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, piece: int
) -> torch.Tensor:
    made: list[torch.Tensor] = []
    turned = key.transpose(2, 3) * query.size(3) ** -0.5
    for start in range(0, query.size(2) + 1, piece):  # one at least, if of no query
        weights = torch.matmul(query[:, :, start : start + piece], turned).softmax(-1)
        made.append(torch.matmul(weights, value))
    return torch.cat(made, 2)


class Block(nn.Module):
    """One layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        layers = {
            "fc1": nn.Linear(WIDTH, HIDDEN),
            "act": nn.GELU(),
            "fc2": nn.Linear(HIDDEN, WIDTH),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """``[N, L, D]`` in and out; see ``Attention``."""
        tokens = tokens + self.attn(self.norm1(tokens), seen)
        result: torch.Tensor = tokens + self.mlp(self.norm2(tokens))
        return result

    def pooled(self, tokens: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """The mean of what ``forward`` gives, ``[N, D]``, without its last and largest product."""
        tokens = tokens + self.attn(self.norm1(tokens), seen)
        hidden = mean(self.mlp[:2](self.norm2(tokens)), seen)
        result: torch.Tensor = mean(tokens, seen) + self.mlp[2](hidden)
        return result


def mean(tokens: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
    """The mean ``[N, D]`` of the tokens ``[N, L, D]`` that are ``seen``, or of all."""
    if seen is None:
        return tokens.mean(1)
    weights = seen / seen.sum(1, keepdim=True)
    return torch.matmul(weights[:, None], tokens)[:, 0]


def blocks(depth: int) -> nn.Sequential:
    """``depth`` layers, one after the other."""
    return nn.Sequential(*(Block() for _ in range(depth)))


def ndvi(s2: torch.Tensor, bands: int) -> torch.Tensor:
    """Normalised difference vegetation index; 0 where both bands are dark.

    Args:
        s2: ``S2_BANDS`` along the dimension ``bands``, which keeps one channel.
        bands: A dimension.
    """
    nir, red = s2.narrow(bands, NIR, 1), s2.narrow(bands, RED, 1)
    total = nir + red
    dark = total <= 0  # neither this nor its opposite is true of what was not seen: NaN stays
    return torch.where(dark, 0.0, (nir - red) / torch.where(dark, 1.0, total))
