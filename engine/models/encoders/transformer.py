"""What the encoders' networks share: the transformer, and the vegetation index.

Blocks of self-attention and a small network, each normalised before and added to what came in, as
in the vision transformer (Dosovitskiy and others 2021, arXiv 2010.11929). Parameters bear the names
that the published weights use.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from engine.models.encoders.bands import NIR, RED
from engine.models.encoders.series import WIDTH

HEADS = 8
HIDDEN = 4 * WIDTH


class Attention(nn.Module):
    """Every token looks at every token of its own series."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """``[N, L, D]`` in and out."""
        split = self.qkv(tokens)
        split = split.reshape(*tokens.shape[:2], 3, HEADS, WIDTH // HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        result: torch.Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return result


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

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """``[N, L, D]`` in and out."""
        tokens = tokens + self.attn(self.norm1(tokens))
        result: torch.Tensor = tokens + self.mlp(self.norm2(tokens))
        return result

    def pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        """The mean of what ``forward`` gives, ``[N, D]``, without its last and largest product."""
        tokens = tokens + self.attn(self.norm1(tokens))
        hidden = self.mlp[:2](self.norm2(tokens)).mean(1)
        result: torch.Tensor = tokens.mean(1) + self.mlp[2](hidden)
        return result


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
