"""Which of a model's inputs a raster is for, when nobody says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import NamedInput
from engine.models.card import ModelCard, ModelInput


def with_names(card: ModelCard, others: Sequence[NamedInput]) -> tuple[NamedInput, ...]:
    """The further inputs, each under a name of the card.

    Rasters without a name get those that the model lacks, in the card's order, when there are as
    many of both; or that of the only input that has room for more.

    Args:
        card: Says which inputs there are.
        others: In the user's order; "" for a name that is to be found.

    Raises:
        EngineError: ``REQUEST_INVALID`` when more than one way is open, or none.
    """
    unnamed = [given for given in others if not given.name]
    names = iter(_names(card, [g.name for g in others if g.name], len(unnamed)))
    return tuple(given if given.name else replace(given, name=next(names)) for given in others)


def naming_notes(before: Sequence[NamedInput], after: Sequence[NamedInput]) -> tuple[str, ...]:
    """Sentences that tell the user which names were found."""
    return tuple(
        f"{PurePath(named.input.uris[0]).name} is taken as the model's input «{named.name}»."
        for given, named in zip(before, after, strict=True)
        if not given.name
    )


def _names(card: ModelCard, taken: Sequence[str], count: int) -> Sequence[str]:
    if not count:
        return ()
    have = Counter([card.input.name, *taken])
    missing = [i.name for i in card.inputs for _ in range(_fewest(i) - have[i.name])]
    roomy = [i.name for i in card.inputs if i.dates or not have[i.name]]
    if len(missing) == count:
        return missing
    if len(roomy) == 1:
        return roomy * count
    raise EngineError(
        ErrorCode.REQUEST_INVALID,
        f"It is not clear which inputs of the model {card.id} the {count} further rasters are: "
        f"it has room for {', '.join(roomy) or 'none'}.",
        f"Name each of them with --with NAME=FILE; the model's inputs are {_listed(card)}.",
    )


def _fewest(given: ModelInput) -> int:
    if given.is_optional:
        return 0
    return given.dates[0] if given.dates else 1


def _listed(card: ModelCard) -> str:
    optional = {given.name for given in card.inputs if given.is_optional}
    return ", ".join(f"{i.name} (optional)" if i.name in optional else i.name for i in card.inputs)
