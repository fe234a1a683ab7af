"""Comparisons of two class maps as models: they run and resume like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array
from engine.models.card import ModelCard, OutputIndex
from engine.models.content import read_checked
from engine.models.devices import AUTO, CPU
from engine.models.network import Port
from engine.models.network_model import NetworkModel


class TransitionNetwork:
    """Gives the codes of both dates as it gets them; the task decides. See ``network.Network``."""

    device = CPU
    arithmetic = "float32"
    takes: tuple[Port, ...] = ()
    gives: tuple[Port, ...] = ()

    def run(self, arrays: Sequence[Array], index: OutputIndex = 0) -> Array:  # noqa: ARG002 - one
        """See ``network.Network.run``."""
        return np.concatenate(arrays, axis=1)


def open_transition(card: ModelCard, path: Path, device: str) -> NetworkModel:
    """See ``runtime.open_model``."""
    if device not in (AUTO, CPU):
        raise EngineError(
            ErrorCode.DEVICE_UNAVAILABLE,
            f"Class maps are compared on the CPU, not on {device}.",
            "Use --device cpu.",
        )
    read_checked(card, path)
    return NetworkModel(card, TransitionNetwork())
