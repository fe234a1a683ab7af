"""Continuous values: regression, embeddings, and images made of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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

    def activate(self, raw: F32) -> F32:
        """Spreads as standard deviations, the only ones of their measures that average well."""
        found = raw
        if self.card.output.activation == "sigmoid":
            found = (1 / (1 + np.exp(-raw))).astype(np.float32)
        bands = self.card.output.values
        if all(band == ValueBand(band.name, band.unit, band.clip) for band in bands):
            return found
        columns = [_spread(found[:, i], band) for i, band in enumerate(bands)]
        return np.stack(columns, axis=1)

    def decide(self, scores: F32, valid: npt.NDArray[np.bool_], detail: Detail) -> F32:  # noqa: ARG002
        """The values, held between the card's bounds."""
        check_numbers(self.card.id, scores, valid)
        found = np.stack([_clipped(s, b) for s, b in zip(scores, self._bands, strict=True)])
        found[:, ~valid] = np.nan
        return found

    @property
    def _bands(self) -> tuple[ValueBand, ...]:
        return self.card.output.values


def _spread(numbers: F32, band: ValueBand) -> F32:
    if band.measure == "variance":
        numbers = np.sqrt(np.maximum(numbers, 0))
    elif band.measure == "log-variance":
        numbers = np.exp(numbers / 2)
    return numbers * np.float32(band.scale)


def _clipped(numbers: F32, band: ValueBand) -> F32:
    return numbers.astype(np.float32) if band.clip is None else np.clip(numbers, *band.clip)
