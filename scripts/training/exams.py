"""How good maps of building change are: on pairs made from places that nothing was learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.fitting import repeatable
from training.overlap import Tally
from training.pairs import KINDS, Lesson, Pair, pair, seen
from training.rivals import F32, U8

CHANGES = ("no change", "new building", "building gone")
Mapper = Callable[[F32, F32], U8]
"""Normalised pixels ``[3, H, W]`` of both dates to the change; all of it may be 1."""


@dataclass(frozen=True)
class Exam:
    """Pairs of one resolution, made from places that nothing was learnt from."""

    name: str
    lesson: Lesson
    edge: int = 256
    count: int = 40

    def pairs(self) -> list[tuple[str, Pair, F32, F32]]:
        """The kind, the pair, and each date in its own light; the same ones every time."""
        repeatable(seed=100, threads=1)
        dice = np.random.default_rng(100)
        kinds = list(KINDS)
        made = []
        for number in range(self.count):
            kind = kinds[number % len(kinds)]
            one = pair(self.lesson, kind, self.edge, dice)
            days = seen([one])[0].numpy()
            made.append((kind, one, days[:3], days[3:]))
        return made


@dataclass(frozen=True)
class Found:
    """Shares of the pixels whose truth is known, from 0 to 1."""

    precision: float
    recall: float
    f1: float
    iou: float

    def __str__(self) -> str:
        return (
            f"change F1 {self.f1:.3f}, IoU {self.iou:.3f}, "
            f"precision {self.precision:.3f}, recall {self.recall:.3f}"
        )


def found(counts: npt.NDArray[np.int64]) -> Found:
    """Of change in either direction, from pixels by truth and by map."""
    both, false, missed = counts[1:, 1:].sum(), counts[0, 1:].sum(), counts[1:, 0].sum()
    return Found(
        float(both / max(both + false, 1)),
        float(both / max(both + missed, 1)),
        float(2 * both / max(2 * both + false + missed, 1)),
        float(both / max(both + false + missed, 1)),
    )


def examined(name: str, mapper: Mapper, pairs: Sequence[tuple[str, Pair, F32, F32]]) -> None:
    """Print how good a way of finding change is on an exam's pairs."""
    tallies = {kind: Tally(len(CHANGES)) for kind in KINDS}
    for kind, one, before, after in pairs:
        tallies[kind].add(one.change, mapper(before, after))
    whole = sum(tallies.values(), Tally(len(CHANGES)))
    none, new, gone = whole.iou()
    print(f"  {name}: {found(whole.counts)}; IoU new {new:.3f}, gone {gone:.3f}, none {none:.3f}")
    false = tallies["same"].counts[0, 1:].sum() / tallies["same"].counts[0].sum()
    each = (f"{k} {found(t.counts).f1:.3f}" for k, t in tallies.items() if k != "same")
    print(f"    F1 of {', '.join(each)}; nothing changed: {100 * false:.2f} % called change")
