"""A model of one date applied to each of two: post-classification comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from engine.contract.messages import Precision
from engine.geo.arrays import Array, namespace
from engine.models.card import ModelCard, SemanticChange
from engine.models.runtime import Model, open_model

DATES = ("before", "after")


@dataclass(frozen=True)
class EachDate:
    """See ``runtime.Model``: the scores of the first date, then those of the second."""

    card: ModelCard
    one: Model
    """Of one date."""

    @property
    def device(self) -> str:
        """As the model of one date."""
        return self.one.device

    @property
    def arithmetic(self) -> str:
        """As the model of one date."""
        return self.one.arithmetic

    @property
    def notes(self) -> tuple[str, ...]:
        """As the model of one date."""
        return self.one.notes

    def upload(self, stored: npt.NDArray[Any]) -> Array:
        """As the model of one date."""
        return self.one.upload(stored)

    def predict(self, *arrays: Array) -> Array:
        """Both dates as one batch."""
        xp, count = namespace(arrays[0]), arrays[0].shape[0]
        scores = self.one.predict(xp.concat(arrays))
        return xp.concat([scores[:count], scores[count:]], axis=1)

    def close(self) -> None:
        """Give the memory back."""
        self.one.close()


def open_each(
    card: ModelCard, path: Path, device: str, threads: int, precision: Precision
) -> EachDate:
    """See ``runtime.open_model``."""
    return EachDate(card, open_model(of_one_date(card), path, device, threads, precision))


def of_two_dates(card: ModelCard) -> ModelCard:
    """The card of a model of one date, for two."""
    inputs = tuple(replace(card.input, name=name) for name in DATES)
    output = replace(card.output, semantic_change=SemanticChange(None))
    return replace(card, inputs=inputs, joining="each", output=output)


def of_one_date(card: ModelCard) -> ModelCard:
    """The card of the network itself."""
    output = replace(card.output, semantic_change=None)
    return replace(card, inputs=card.inputs[:1], joining="channels", output=output)
