"""Models that tell what changed between two dates."""

from __future__ import annotations

from engine.contract.messages import ModelClass
from engine.models.card import ModelCard

SAME = (
    *("no change", "no-change", "no_change", "nochange", "not changed", "unchanged", "same"),
    "dry",
)
"""Names under which models have the class of what did not change, or of nothing to see."""
LASTING = ("permanent water",)
"""Names of classes that are worth seeing, and no change either."""
TELLING = "chang"
"""Part of a class's name: change, changed, no change, building change ..."""
PAIR = 2


def tells_change(card: ModelCard) -> bool:
    """Whether the result says what changed between two dates.

    Models that look at two dates and tell something else, such as fields, do not.
    """
    if card.has_transitions or card.file.format in ("difference", "pair"):
        return True
    names = (member.name.lower() for member in card.output.classes)
    return _is_of_two_dates(card) and any(TELLING in name for name in names)


def unchanged_class(card: ModelCard) -> ModelClass | None:
    """The class of what did not change, where a result that tells change has one."""
    if not tells_change(card):
        return None
    return next((c for c in card.output.classes if c.name.lower() in SAME), None)


def is_change(card: ModelCard, name: str) -> bool:
    """Whether a class of a result that tells change is one of what changed."""
    same = unchanged_class(card)
    return name not in LASTING and (same is None or name != same.name)


def _is_of_two_dates(card: ModelCard) -> bool:
    if len(card.inputs) == 1:
        return card.input.dates == (PAIR, PAIR)
    return len(card.inputs) == PAIR and card.inputs[0].bands == card.inputs[1].bands
