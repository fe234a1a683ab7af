"""Floods: water before and after, found by the catalogue's network, and what backscatter says."""

from __future__ import annotations

from dataclasses import replace

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ChangeOptions, ModelClass, NamedInput, SegmentRequest
from engine.io.scene import open_scene
from engine.models.card import ModelCard, ModelOutput
from engine.models.catalogue import find_card
from engine.models.pair import FloodPair, pair_file
from engine.models.store import ModelStore
from engine.pipeline.comparison import (
    AFTER,
    BEFORE,
    METHODS,
    NOTHING,
    SPECKLE,
    Comparison,
    check_radar,
    two_dates,
)

METHOD = "flood"
NETWORK = "flood"
"""The card of the network that finds water in one date."""
DROP = 3.0
"""dB, half of the power. Our choice: smooth water reflects 6 to 10 dB less than most land, and 3 dB
is far beyond what is left of speckle over a window, so the figure matters little."""
CLASSES = (
    ModelClass(0, "dry", "#cdbf9f"),
    ModelClass(1, "flooded", "#e31a1c"),
    ModelClass(2, "permanent water", "#2b7bba"),
    ModelClass(3, "receded water", "#fdbf4f"),
)
"""In the order of ``pair_model.FloodNetwork``."""


def compared_floods(
    request: SegmentRequest, options: ChangeOptions, store: ModelStore
) -> Comparison:
    """Make the card of a network that sees both dates.

    A place is flooded where the network sees water at the second date and not at the first, and
    backscatter, averaged over both polarisations and a window, fell by ``DROP`` or the threshold
    asked for; receded water is the same the other way round. ``pair_model.FloodNetwork`` has the
    scores.

    Args:
        request: Its input is the date before, its one further input the one after.
        options: A threshold is the drop in dB.
        store: Whose cards are known beside the catalogue's.

    Raises:
        EngineError: ``REQUEST_INVALID`` without a second date, for a model or for a share of false
            alarms; ``MODEL_UNSUITABLE`` for scenes of anything but radar.
    """
    second, _ = two_dates(request)
    _check(request, options)
    check_radar("The comparison of floods", open_scene(request.input), open_scene(second))
    card = find_card(NETWORK, store)
    drop = DROP if options.threshold is None else options.threshold
    note = (
        f"Water is what {card.id} finds at each date. It counts as flooded, or as receded, where "
        f"backscatter fell, or rose, by {drop:g} dB or more over {SPECKLE} x {SPECKLE} pixels."
    )
    settled = replace(request, others=(NamedInput(AFTER, second),), change=None)
    return Comparison(settled, _card(card, drop), (note,))


def _check(request: SegmentRequest, options: ChangeOptions) -> None:
    if request.model != "auto":
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"Floods are found with the model {NETWORK} of the catalogue alone.",
            "Leave out --model; maps of water of another model can be compared with --method "
            "classes.",
        )
    if options.false_alarm is not None:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "Floods are found by a network and a drop of backscatter: there is no share of false "
            "alarms.",
            "Leave out --false-alarm; --threshold is the drop in dB.",
        )


def _card(water: ModelCard, drop: float) -> ModelCard:
    given = replace(water.input, name=BEFORE, transforms=(), fill=NOTHING)
    return replace(
        water,
        title=f"{METHODS[METHOD]}, {water.title}",
        summary="Tells floods from water that was there before, by radar of two dates.",
        inputs=(given, replace(given, name=AFTER)),
        joining="separate",
        output=ModelOutput(CLASSES),
        file=pair_file(FloodPair(water, drop, SPECKLE)),
        metrics=(),
    )
