"""Patches of equal class, many at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.vectorize.outline import Outlines


@dataclass(frozen=True)
class Tally:
    """What the pixels of patches add up to."""

    class_id: npt.NDArray[np.unsignedinteger[Any]]
    """``[n]``"""
    pixels: npt.NDArray[np.int64]
    """``[n]``"""
    confidence: npt.NDArray[np.float64]
    """``[n]``, summed over the pixels."""
    area: npt.NDArray[np.float64]
    """``[n]``, summed over the pixels, in the unit in which the pixels' areas were given."""

    def __len__(self) -> int:
        return len(self.class_id)

    def take(self, chosen: npt.NDArray[Any] | slice) -> Tally:
        """Some of the patches."""
        return Tally(*(values[chosen] for values in vars(self).values()))

    def merged(self, group: npt.NDArray[np.int32], count: int) -> Tally:
        """The patches that pieces form together; ``group`` is each piece's patch."""
        class_id = np.zeros(count, self.class_id.dtype)
        class_id[group] = self.class_id
        pixels = np.bincount(group, self.pixels, minlength=count).astype(np.int64)
        confidence, area = (
            np.bincount(group, values, minlength=count).astype(np.float64)
            for values in (self.confidence, self.area)
        )
        return Tally(class_id, pixels, confidence, area)

    @classmethod
    def joined(cls, parts: Iterable[Tally]) -> Tally:
        """All patches of all parts."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class Patches:
    """Whole patches."""

    tally: Tally
    outlines: Outlines
    """``[n]`` in pixels of the whole grid: ``x`` = column, ``y`` = row."""

    def __len__(self) -> int:
        return len(self.tally)

    @classmethod
    def none(cls) -> Patches:
        """No patch at all."""
        sums = np.zeros(0, np.float64)
        tally = Tally(np.zeros(0, np.uint8), np.zeros(0, np.int64), sums, sums)
        return cls(tally, Outlines.none())
