"""How well water is mapped, and the rule of thumb that a network has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.chips import Chip

LIMITS = np.arange(-40.0, -5.0, 0.25)
"""Thresholds of VH, dB, that are tried."""


@dataclass(frozen=True)
class Overlap:
    """Pixels of a map and of its truth."""

    shared: int
    """Water in both."""
    either: int
    """Water in one of them at least."""
    false: int
    """Water in the map alone."""
    dry: int
    """No water in truth."""

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where neither has water."""
        return self.shared / self.either if self.either else 1.0

    @property
    def false_share(self) -> float:
        """Of the dry pixels, those that the map floods."""
        return self.false / self.dry if self.dry else 0.0

    @property
    def water_share(self) -> float:
        """Of all pixels, those that are water."""
        water = self.either - self.false
        return water / (water + self.dry)


def overlap(chip: Chip, said: npt.NDArray[np.bool_]) -> Overlap:
    """A map ``[H, W]`` of a chip against its label, where that is known."""
    said, truth = said[chip.known], (chip.label == 1)[chip.known]
    return Overlap(
        shared=int((said & truth).sum()),
        either=int((said | truth).sum()),
        false=int((said & ~truth).sum()),
        dry=int((~truth).sum()),
    )


def pooled(overlaps: Sequence[Overlap]) -> float:
    """Intersection over union of all pixels together."""
    return sum(o.shared for o in overlaps) / sum(o.either for o in overlaps)


def best_threshold(seen: Sequence[Chip]) -> float:
    """The VH in dB below which calling it water overlaps best with the labels of all chips."""

    def score(limit: float) -> float:
        return pooled([overlap(chip, chip.backscatter[1] < limit) for chip in seen])

    return max(LIMITS.tolist(), key=score)
