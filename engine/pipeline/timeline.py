"""The steps in time that a network sees, and which rasters were taken at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard
from engine.pipeline.inputs import Inputs

YEAR = 12
"""Months."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Of all inputs of a run that are series."""

    months: tuple[int, ...]
    """Of each step, 1 to 12; none without a series."""
    members: tuple[tuple[tuple[int, ...], ...], ...]
    """For each input of the card, and each step, the numbers of its rasters."""


def timeline_of(inputs: Inputs) -> Timeline:
    """The timeline that the card asks for: see ``ModelCard.timeline``.

    Raises:
        EngineError: ``REQUEST_INVALID`` for a date that nobody knows or that is none, and for
            dates too far apart.
    """
    card = inputs.card
    given = [
        several if i.dates else () for several, i in zip(inputs.given, card.inputs, strict=True)
    ]
    numbers = [[_month(one.date) for one in several] for several in given]
    if card.timeline == "months" and any(numbers):
        return _monthly(card, numbers)
    leading = max(numbers, key=len, default=[])
    alone = tuple(
        tuple((n,) if n < len(own) else () for n in range(len(own) or len(leading)))
        for own in numbers
    )
    return Timeline(tuple(number % YEAR + 1 for number in leading), alone)


def _monthly(card: ModelCard, numbers: Sequence[Sequence[int]]) -> Timeline:
    every = [number for own in numbers for number in own]
    steps = range(min(every), max(every) + 1)
    most = max(given.dates[1] for given in card.inputs if given.dates)
    if len(steps) > most:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The rasters span {len(steps)} months, and the model takes {most} at most.",
            "Leave out the earliest or the latest of them.",
        )
    members = tuple(
        tuple(tuple(n for n, number in enumerate(own) if number == step) for step in steps)
        for own in numbers
    )
    return Timeline(tuple(step % YEAR + 1 for step in steps), members)


def _month(date: str | None) -> int:
    """Months since the year 0."""
    try:
        found = datetime.fromisoformat(date or "")
    except ValueError:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"«{date}» is not a date." if date else "The metadata of a raster tell no date.",
            "Give it as --date 2024-07-31, or --with NAME@2024-07-31=FILE.",
        ) from None
    return found.year * YEAR + found.month - 1
