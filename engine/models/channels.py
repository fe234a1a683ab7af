"""The order of a network's channels: what a card says of it, and what a file says of itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard, ModelInput, Transform
from engine.models.network_model import unlike
from engine.models.onnx_facts import facts_of

KEY = "swath:channels"
"""Metadata of ONNX files: a JSON list of names as ``channels_of`` gives them."""


def channels_of(card: ModelCard) -> tuple[str, ...]:
    """A name for each channel that the network gets of one date, in its order.

    ``s2:red`` is a band of the input ``s2``, ``s2:lat-cos`` a derived channel,
    ``landcover:band-1:sin`` and ``prior:class=3`` are channels that a band was turned into.
    """
    return tuple(f"{given.name}:{name}" for given in card.inputs for name in _names(given))


def channels_text(card: ModelCard) -> str:
    """The same as a file's metadata have it."""
    return json.dumps(channels_of(card))


def check_channels(card: ModelCard, content: bytes) -> None:
    """Compare the order of channels with the file's own, where it tells one.

    Args:
        card: Of the model.
        content: Bytes of an ONNX file.

    Raises:
        EngineError: ``MODEL_INVALID``, naming the first difference.
    """
    told = _told(card, content)
    if told is None:
        return
    ours = channels_of(card)
    if len(told) != len(ours):
        raise unlike(card, f"takes {len(told)} channels", f"{len(ours)}")
    for number, (has, wanted) in enumerate(zip(told, ours, strict=True), 1):
        if has != wanted:
            raise unlike(card, f"takes «{has}» as channel {number}", f"«{wanted}»")


def _told(card: ModelCard, content: bytes) -> list[str] | None:
    with contextlib.suppress(ValueError):
        text = facts_of(content).metadata.get(KEY)
        if text is None:
            return None
        told = json.loads(text)
        if isinstance(told, list) and all(isinstance(name, str) for name in told):
            return told
    raise EngineError(
        ErrorCode.MODEL_INVALID,
        f"What the file of the model {card.id} says of its channels ({KEY}) is no list of names.",
        "Export the network again.",
    )


def _names(given: ModelInput) -> Iterator[str]:
    last = given.transforms[-1] if given.transforms else None
    for band in given.bands:
        yield from _turned(band, last)
    for rule in given.derived:
        yield "-".join((rule.kind, *rule.bands))


def _turned(band: str, last: Transform | None) -> tuple[str, ...]:
    """What a band becomes."""
    if last is not None and last.kind == "one-hot":
        return tuple(f"{band}={value:g}" for value in last.first)
    if last is not None and last.kind == "cycle":
        return f"{band}:cos", f"{band}:sin"
    return (band,)
