"""One network that looks at each of two dates, and what is said of both results.

The card of such a pair names the network's own file; the rest stands in ``ModelFile.network`` as
JSON: the card of the network, and how its results are compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from engine.models.card import ModelCard, ModelFile
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.departure import Departure, departure_from_json, departure_to_json

FORMAT = "pair"


@dataclass(frozen=True)
class EmbeddingPair:
    """Embeddings of both dates, and how they differ."""

    network: ModelCard
    """The encoder."""
    input: int
    """Number of the encoder's input that the scenes are given as; others see nothing."""
    channels: tuple[int, ...]
    """Those of that input that the scenes have; others see nothing."""
    month: int
    """1 to 12, for encoders that are told one: the same for both dates, so that what differs comes
    from the pixels. 0 for others."""
    departure: Departure | None = None
    """None before it is fitted."""


@dataclass(frozen=True)
class FloodPair:
    """Water at both dates, and whether backscatter changed as it should."""

    network: ModelCard
    """Of a model whose second class is water."""
    drop: float
    """Decibels by which flooded land got darker at least."""
    window: int
    """Pixels along the square over which backscatter is averaged for that."""


def pair_file(pair: EmbeddingPair | FloodPair) -> ModelFile:
    """The file of a card of two dates."""
    if isinstance(pair, EmbeddingPair):
        told: dict[str, Any] = {
            "kind": "embedding",
            "input": pair.input,
            "channels": list(pair.channels),
            "month": pair.month,
            "departure": pair.departure and json.loads(departure_to_json(pair.departure)),
        }
    else:
        told = {"kind": "flood", "drop": pair.drop, "window": pair.window}
    text = json.dumps({**told, "card": card_to_json(pair.network)})
    return replace(pair.network.file, format="pair", network=text)


def pair_of(card: ModelCard) -> EmbeddingPair | FloodPair:
    """What ``pair_file`` was made of.

    Raises:
        ValueError: when the text was not written by it.
        EngineError: ``MODEL_INVALID`` when the network's card is broken.
    """
    try:
        told = json.loads(card.file.network)
        inner = card_from_json(told["card"], card.id)
        if told["kind"] == "flood":
            return FloodPair(inner, float(told["drop"]), int(told["window"]))
        fit = told["departure"] and departure_from_json(json.dumps(told["departure"]))
        channels = tuple(int(channel) for channel in told["channels"])
        return EmbeddingPair(inner, int(told["input"]), channels, int(told["month"]), fit)
    except (TypeError, KeyError) as error:
        raise ValueError(f"it does not tell {error}") from error
