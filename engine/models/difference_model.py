"""Comparisons of two dates as models: they run, resume and merge like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array
from engine.models.card import ModelCard
from engine.models.content import read_checked
from engine.models.devices import AUTO, CPU
from engine.models.difference import Difference, difference_from_json, without_speckle
from engine.models.network import Port
from engine.models.network_model import NetworkModel, unlike


class DifferenceNetwork:
    """Takes both dates; gives how likely change is, and how likely none; see ``network.Network``.

    Both, since the second tells more: it can be 1e-30, where the first would round to 1.
    """

    device = CPU
    arithmetic = "float64"
    takes: tuple[Port, ...] = ()
    gives: tuple[Port, ...] = ()

    def __init__(self, difference: Difference) -> None:
        self._difference = difference

    def run(self, arrays: Sequence[Array], index: int = 0) -> Array:  # noqa: ARG002 - it has one
        """See ``network.Network.run``."""
        window = self._difference.speckle
        smooth = [without_speckle(a, window) if window else a for a in arrays]
        before, after = (np.moveaxis(a, 1, 0) for a in smooth)
        unchanged = self._difference.decided(self._difference.statistic(before, after))
        return np.stack([1 - unchanged, unchanged], axis=1).astype(np.float32)


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
    if bands != [difference.before.shape[1]] * 2:
        raise unlike(card, f"compares {difference.before.shape[1]} bands", f"{bands}")
    return NetworkModel(card, DifferenceNetwork(difference))
