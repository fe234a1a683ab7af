"""Post-classification comparison: a model of one date sees both, and its classes are compared."""

from __future__ import annotations

from dataclasses import replace

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import SegmentRequest
from engine.models.card import ModelCard
from engine.models.catalogue import find_card
from engine.models.each_date import of_two_dates
from engine.models.store import ModelStore
from engine.pipeline.comparison import AFTER, Comparison


def is_post_classification(request: SegmentRequest) -> bool:
    """Whether a model is to make the class maps that are compared."""
    change = request.change
    return change is not None and change.method == "classes" and request.model != "auto"


def classified_twice(request: SegmentRequest, store: ModelStore) -> Comparison:
    """The card of a single date as one of two, and the request that it runs.

    Args:
        request: Names the model; its input is the first date, its one further input the second.
        store: Whose cards are known beside the catalogue's.

    Raises:
        EngineError: ``REQUEST_INVALID`` for options of other comparisons or without a second
            date, ``MODEL_UNSUITABLE`` for models that give no class for each pixel of one image,
            or what finding the card raises.
    """
    options = request.change
    if len(request.others) != 1:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"A change needs two dates, and {1 + len(request.others)} are given.",
            "Give one scene of before and one of after.",
        )
    if options and (options.false_alarm is not None or options.threshold is not None):
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "Classes are compared one by one: there is no threshold of change.",
            "Leave out --false-alarm and --threshold.",
        )
    card = find_card(request.model, store)
    _check(card)
    second = replace(request.others[0], name=AFTER)
    note = (
        f"{card.id} classifies each date by itself, so the errors of both add up: what its map of "
        "one date has wrong may show as change."
    )
    settled = replace(request, others=(second,), change=None)
    return Comparison(settled, of_two_dates(card), (note,))


def _check(card: ModelCard) -> None:
    output = card.output
    is_of_one = len(card.inputs) == 1 and card.input.dates is None
    if is_of_one and output.classes and output.is_on_input and not card.has_transitions:
        return
    raise EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"The model {card.id} does not give every pixel of one image a class, so that two dates "
        "could be compared.",
        "Name a model of classes; a model of two dates runs without --method.",
    )
