"""Curves as models: they run, resume and merge like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array
from engine.models.card import ModelCard, OutputIndex
from engine.models.content import read_checked
from engine.models.devices import AUTO, CPU
from engine.models.network import Port
from engine.models.network_model import NetworkModel, unlike
from engine.models.response import Response, response_from_json

ABSENT = -1e6
"""What stands in a batch where there is no data: a card's ``fill``."""


class ResponseNetwork:
    """The mean of the pixels with data of every cell, and what the curve makes of it.

    See ``network.Network``.
    """

    device = CPU
    arithmetic = "float64"
    takes: tuple[Port, ...] = ()
    gives: tuple[Port, ...] = ()

    def __init__(self, response: Response, cell: int) -> None:
        self._response = response
        self._cell = cell

    def run(self, arrays: Sequence[Array], index: OutputIndex = 0) -> Array:  # noqa: ARG002 - one
        """See ``network.Network.run``."""
        means, share = cell_means(np.asarray(arrays[0], np.float64)[:, 0], self._cell)
        estimate, deviation = self._response.at(means)
        deviation = deviation / np.sqrt(share)  # less of a plot tells less of it
        found = np.stack([estimate, deviation], axis=1)
        return np.nan_to_num(found, nan=0.0).astype(np.float32)


def cell_means(
    pixels: npt.NDArray[np.float64], cell: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Means of ``[N, H, W]`` as ``[N, H/cell, W/cell]``, NaN without data; the last may be cut.

    And which share of a whole cell they are of, never quite 0. Heights below the ground count as
    the ground.
    """
    there = pixels > ABSENT / 2
    sums = _sums(np.where(there, np.maximum(pixels, 0), 0.0), cell)
    counts = _sums(there.astype(np.float64), cell)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means, np.maximum(counts, 1) / cell**2


def _sums(pixels: npt.NDArray[np.float64], cell: int) -> npt.NDArray[np.float64]:
    rows = np.add.reduceat(pixels, range(0, pixels.shape[1], cell), axis=1)
    sums: npt.NDArray[np.float64] = np.add.reduceat(rows, range(0, pixels.shape[2], cell), axis=2)
    return sums


def open_response(card: ModelCard, path: Path, device: str) -> NetworkModel:
    """See ``runtime.open_model``."""
    if device not in (AUTO, CPU):
        raise EngineError(
            ErrorCode.DEVICE_UNAVAILABLE,
            f"The formula {card.id} runs on the CPU, not on {device}.",
            "Use --device cpu.",
        )
    try:
        response = response_from_json(read_checked(card, path).decode())
    except ValueError as error:
        raise unlike(card, f"cannot be read: {error}", "a curve of estimates") from error
    if len(card.output.values) != 2 or len(card.input.bands) != 1:  # noqa: PLR2004
        raise unlike(card, "makes two values of one band", "another number of them")
    return NetworkModel(card, ResponseNetwork(response, card.output.cell))
