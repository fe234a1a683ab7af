"""Series in, embeddings out, whatever library computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from engine.models.encoders.series import (
    F32,
    I64,
    WIDTH,
    ChipSeries,
    Flags,
    Inputs,
    PixelSeries,
)

Run = Callable[[Inputs], F32]
"""A forward pass. Safe to call from several threads."""
STEP = 64
"""Pixels of a forward pass: on a CPU, what it works on stays in the cache."""


@dataclass(frozen=True, slots=True)
class ChipEncoder:
    """Embeds chips, patch by patch."""

    run: Run

    def embed(self, chips: ChipSeries) -> F32:
        """Embed chips, at least one.

        They go through one by one: that is no slower on a CPU, and a chip's numbers depend on no
        other chip.

        Args:
            chips: What is left over at edges that are no multiple of the patch is not looked at.

        Returns:
            ``[N, D, H // patch, W // patch]``; NaN for a patch of which nothing was seen. A group
            of bands sees a patch on a date if it sees all of its pixels.
        """
        return np.stack([self.run(chips.inputs(i)) for i in range(len(chips))])


@dataclass(frozen=True, slots=True)
class PixelEncoder:
    """Embeds pixels, each from its own series alone."""

    run: Run
    step: int = STEP

    def embed(self, pixels: PixelSeries) -> F32:
        """Embed pixels, those of which the same was seen together: nothing is computed in vain.

        Returns:
            ``[N, D]``; NaN for a pixel of which nothing was seen.
        """
        made = np.full((len(pixels), WIDTH), np.nan, np.float32)
        for members, seen in alike(pixels.seen()):
            for start in range(0, len(members) if seen.any() else 0, self.step):
                part = members[start : start + self.step]
                made[part] = self.run({**pixels.inputs(part), "seen": seen})
        return made


def alike(seen: Flags) -> Iterator[tuple[I64, Flags]]:
    """Rows of ``[N, K]`` that are the same: their numbers, and what they are."""
    if not len(seen):
        return
    _, kind = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    order = np.argsort(kind, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(kind[order])) + 1):
        yield members, seen[members[0]]
