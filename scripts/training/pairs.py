"""Pairs of dates from pictures of one date and their building labels.

Z. Zheng et al. (2021), Change is Everywhere: Single-Temporal Supervised Object Change Detection:
two places make a pair whose change is the exclusive or of their labels. Here most pairs show one
place, with edits at one date, edits at both, or none, and each date under a light of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from training import edits
from training.crops import IGNORED, Mosaic, crop, normalised
from training.edits import Edit, View
from training.relight import another_day

KINDS = {"same": 0.2, "edited": 0.5, "quarter": 0.15, "elsewhere": 0.15}
"""How often: nothing changed, buildings did, a quarter did, another place altogether."""
BUILT: tuple[Edit, ...] = (edits.build, edits.erase)
IDLE: tuple[Edit, ...] = (edits.dig, edits.cover, edits.repaint)
"""What is no change of buildings."""
EVERY: tuple[Edit, ...] = (*BUILT, *IDLE, edits.replace)


@dataclass(frozen=True)
class Lesson:
    """Mosaics of one resolution, how often they are drawn, and how far crops are cut."""

    mosaics: tuple[Mosaic, ...]
    share: float


@dataclass(frozen=True, eq=False)
class Pair:
    """One place at two dates, before either day's light."""

    before: View
    after: View

    @property
    def change(self) -> npt.NDArray[np.uint8]:
        """``[E, E]``: 0 no change, 1 new building, 2 building gone, 255 unknown."""
        return edits.change(self.before.labels, self.after.labels)


def reduced(mosaic: Mosaic, times: int) -> Mosaic:
    """A mosaic of larger pixels: means of colours, the commoner label."""
    height, width = (n // times * times for n in mosaic.labels.shape)
    cells = (height // times, times, width // times, times)
    pixels = mosaic.pixels[:, :height, :width].reshape(3, *cells).mean((2, 4))
    labels = mosaic.labels[:height, :width].reshape(cells)
    roofs = (labels == 1).mean((1, 3)) > 0.5  # noqa: PLR2004 - half
    unknown = (labels == IGNORED).any((1, 3))
    made = np.where(unknown, IGNORED, roofs).astype(np.uint8)
    return replace(mosaic, pixels=np.rint(pixels).astype(np.uint8), labels=made)


def pair(lesson: Lesson, kind: str, edge: int, dice: np.random.Generator) -> Pair:
    """A pair of a kind, from two crops of mosaics of one resolution."""
    shares = np.array([m.share for m in lesson.mosaics])
    first, second = dice.choice(len(shares), 2, p=shares / shares.sum())
    second = first if dice.random() < 0.6 else second  # noqa: PLR2004 - a share
    here, there = (_view(lesson.mosaics[i], edge, dice) for i in (first, second))
    if dice.random() < 0.5:  # noqa: PLR2004 - what both dates show tells nothing
        here = EVERY[dice.integers(len(EVERY))](here, there, dice)
    pair = Pair(here, _later(kind, here, there, dice))
    return pair if dice.random() < 0.5 else Pair(pair.after, pair.before)  # noqa: PLR2004 - half


def _later(kind: str, here: View, there: View, dice: np.random.Generator) -> View:
    """The second date; what is no change of buildings may happen in every pair of one place."""
    if kind == "elsewhere":
        return there
    idle = IDLE[dice.integers(len(IDLE))]
    later = idle(here, there, dice) if dice.random() < 0.5 else here  # noqa: PLR2004 - half
    if kind == "quarter":
        return edits.replace(later, there, dice)
    for _ in range(dice.integers(1, 3) if kind == "edited" else 0):
        later = BUILT[dice.integers(len(BUILT))](later, there, dice)
    return later


def _view(mosaic: Mosaic, edge: int, dice: np.random.Generator) -> View:
    pixels, labels = crop(mosaic, edge, dice)
    return View(pixels[0].numpy(), labels[0].numpy().astype(np.uint8))


def batches(
    lessons: Sequence[Lesson], edge: int, count: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches: both dates ``[N, 6, E, E]``, and ``[N, 3, E, E]`` of labels.

    The labels are the change, the buildings before and the buildings after. The light of the days
    comes from PyTorch's own dice.
    """
    dice = np.random.default_rng(seed)
    kinds, often = list(KINDS), list(KINDS.values())
    shares = np.array([lesson.share for lesson in lessons])
    while True:
        drawn = dice.choice(len(shares), count, p=shares / shares.sum())
        pairs = [pair(lessons[i], dice.choice(kinds, p=often), edge, dice) for i in drawn]
        yield seen(pairs), wanted(pairs)


def seen(pairs: Sequence[Pair]) -> torch.Tensor:
    """Normalised pixels of both dates ``[N, 6, E, E]``, each under a light of its own."""
    days = []
    for views in ([p.before for p in pairs], [p.after for p in pairs]):
        pixels = torch.from_numpy(np.stack([v.pixels for v in views]))
        roofs = torch.from_numpy(np.stack([v.roofs for v in views])[:, None].astype(np.float32))
        days.append(normalised(another_day(pixels, roofs)))
    return torch.cat(days, 1)


def wanted(pairs: Sequence[Pair]) -> torch.Tensor:
    """Change, buildings before, buildings after: ``[N, 3, E, E]``."""
    labels = [np.stack([p.change, p.before.labels, p.after.labels]) for p in pairs]
    return torch.from_numpy(np.stack(labels)).long()
