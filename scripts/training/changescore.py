"""How good maps of semantic change are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.crops import IGNORED
from training.overlap import Tally

U8 = npt.NDArray[np.uint8]
NONE = 0
"""Where nothing changed, in maps of what changed; classes are counted from 1 there."""


@dataclass(frozen=True)
class Dates:
    """Classes ``[H, W]`` of two dates, by number; ``IGNORED`` where nobody knows."""

    before: U8
    after: U8

    @property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """At both dates."""
        known: npt.NDArray[np.bool_] = (self.before != IGNORED) & (self.after != IGNORED)
        return known

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """Where both differ."""
        differs: npt.NDArray[np.bool_] = self.before != self.after
        return differs


@dataclass(frozen=True)
class ChangeScore:
    """Of a map against the truth."""

    f1: float
    """Of change, whatever its kind."""
    overlap: float
    """Intersection over union of change."""
    sek: float
    """Separated kappa: K. Yang et al. (2022), Asymmetric Siamese Networks for Semantic Change
    Detection in Aerial Images, IEEE TGRS 60. Where both say no change counts nowhere."""
    called: float
    """Share of the pixels that the map calls changed."""


def change_score(truth: Dates, said: Dates, classes: int) -> ChangeScore:
    """Score a map where the truth of both dates is known."""
    known = truth.is_known
    real, found = truth.changed[known], said.changed[known]
    hits = int((real & found).sum())
    either = int((real | found).sum())
    return ChangeScore(
        f1=2 * hits / max(int(real.sum() + found.sum()), 1),
        overlap=hits / max(either, 1),
        sek=_separated_kappa(truth, said, classes),
        called=float(found.mean()),
    )


def _separated_kappa(truth: Dates, said: Dates, classes: int) -> float:
    known = truth.is_known
    counts = Tally(classes + 1)
    for side in ("before", "after"):
        maps = [
            np.where(d.changed, getattr(d, side) + 1, NONE).astype(np.uint8) for d in (truth, said)
        ]
        counts.add(np.where(known, maps[0], IGNORED).astype(np.uint8), maps[1])
    table = counts.counts.astype(np.float64)
    either = table.sum() - table[NONE, NONE]
    overlap = table[1:, 1:].sum() / max(either, 1)
    table[NONE, NONE] = 0
    total = max(table.sum(), 1)
    agreed = table.trace() / total
    by_chance = float((table.sum(0) * table.sum(1)).sum()) / total**2
    kappa = (agreed - by_chance) / max(1 - by_chance, 1e-9)
    return float(np.exp(overlap - 1) * kappa)
