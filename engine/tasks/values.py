"""Continuous values: regression, embeddings, and images made of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, beside, namespace
from engine.models.card import ModelCard, ValueBand
from engine.tasks.scores import check_numbers
from engine.tasks.task import Detail

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ValuesTask:
    """See ``task.Task``; spreads come out as standard deviations, pixels without result as NaN."""

    card: ModelCard

    def bands(self, detail: Detail) -> int:  # noqa: ARG002 - values have no detail
        """One for each of the card's."""
        return len(self.card.output.values)

    def empty(self, detail: Detail, shape: tuple[int, int]) -> F32:
        """NaN everywhere."""
        return np.full((self.bands(detail), *shape), np.nan, np.float32)

    def activate(self, raw: Array) -> Array:
        """Spreads as standard deviations, the only ones of their measures that average well."""
        xp, found = namespace(raw), raw
        if self.card.output.activation == "sigmoid":
            found = 1 / (1 + xp.exp(-raw))
        bands = self.card.output.values
        if all(band == ValueBand(band.name, band.unit, band.clip) for band in bands):
            return found
        columns = [_spread(found[:, i], band) for i, band in enumerate(bands)]
        return xp.stack(columns, axis=1)

    def decide(self, scores: Array, valid: npt.NDArray[np.bool_], detail: Detail) -> Array:  # noqa: ARG002
        """The values, held between the card's bounds."""
        check_numbers(self.card.id, scores, valid)
        xp, bands = namespace(scores), self._bands
        found = xp.stack([_clipped(scores[i], band) for i, band in enumerate(bands)])
        return found if valid.all() else xp.where(beside(valid, found), found, xp.nan)

    @property
    def _bands(self) -> tuple[ValueBand, ...]:
        return self.card.output.values


def _spread(numbers: Array, band: ValueBand) -> Array:
    xp = namespace(numbers)
    if band.measure == "variance":
        numbers = xp.sqrt(xp.clip(numbers, 0, None))
    elif band.measure == "log-variance":
        numbers = xp.exp(numbers / 2)
    return numbers * band.scale


def _clipped(numbers: Array, band: ValueBand) -> Array:
    return numbers if band.clip is None else namespace(numbers).clip(numbers, *band.clip)
