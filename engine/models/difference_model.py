"""Comparisons of two dates as models: they run, resume and merge like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array
from engine.models.card import ModelCard, OutputIndex
from engine.models.content import read_checked
from engine.models.devices import AUTO, CPU
from engine.models.difference import Difference, difference_from_json
from engine.models.network import Port
from engine.models.network_model import NetworkModel, unlike
from engine.models.speckle import stilled


class DifferenceNetwork:
    """How likely change is, and how likely none; see ``network.Network``.

    It takes both dates and, of radar, further ones. It gives both since the second tells more: it
    can be 1e-30, where the first would round to 1. Where directions are told apart, change is two
    channels, a fall and a rise: one of them is 0.
    """

    device = CPU
    arithmetic = "float64"
    takes: tuple[Port, ...] = ()
    gives: tuple[Port, ...] = ()

    def __init__(self, difference: Difference) -> None:
        self._difference = difference

    def run(self, arrays: Sequence[Array], index: OutputIndex = 0) -> Array:  # noqa: ARG002 - one
        """See ``network.Network.run``."""
        window = self._difference.speckle
        dates = stilled(arrays, window) if window else arrays
        before, after = (np.moveaxis(a, 1, 0) for a in dates)
        unchanged = self._difference.decided(self._difference.statistic(before, after))
        kinds = [1 - unchanged]
        if self._difference.is_directed:
            rose = self._difference.rise(before, after) > 0
            kinds = [np.where(rose, 0, kinds[0]), np.where(rose, kinds[0], 0)]
        return np.stack([*kinds, unchanged], axis=1).astype(np.float32)


def open_difference(card: ModelCard, path: Path, device: str) -> NetworkModel:
    """See ``runtime.open_model``."""
    if device not in (AUTO, CPU):
        raise EngineError(
            ErrorCode.DEVICE_UNAVAILABLE,
            f"The method {card.id} runs on the CPU, not on {device}.",
            "Use --device cpu.",
        )
    try:
        difference = difference_from_json(read_checked(card, path).decode())
    except ValueError as error:
        raise unlike(card, f"cannot be read: {error}", "a comparison of two dates") from error
    bands = [len(given.bands) for given in card.inputs]
    if set(bands) != {difference.before.shape[1]} or not _fits(len(bands), difference):
        raise unlike(card, f"compares {difference.before.shape[1]} bands", f"{bands}")
    kinds = 2 + difference.is_directed
    if len(card.output.classes) != kinds:
        raise unlike(card, f"gives {kinds} classes", f"{len(card.output.classes)}")
    return NetworkModel(card, DifferenceNetwork(difference))


def _fits(dates: int, difference: Difference) -> bool:
    """Two dates; further ones are for the filter against speckle."""
    return dates == 2 or (dates > 2 and difference.speckle > 0)  # noqa: PLR2004
