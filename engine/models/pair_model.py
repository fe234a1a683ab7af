"""Pairs of dates through one network as models: they run, resume and merge like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.messages import Precision
from engine.geo.arrays import Array, in_memory
from engine.models.card import ModelCard, OutputIndex
from engine.models.encode import encoding_of
from engine.models.network import NetworkError, Port
from engine.models.network_model import NetworkModel, unlike
from engine.models.pair import EmbeddingPair, FloodPair, pair_of
from engine.models.runtime import Model, open_model
from engine.models.speckle import NO_ECHO, without_speckle

F32 = npt.NDArray[np.float32]


class PairNetwork:
    """See ``network.Network``; it lives where the network of one date does."""

    takes: tuple[Port, ...] = ()
    gives: tuple[Port, ...] = ()

    def __init__(self, model: Model) -> None:
        self.model = model
        self.device = model.device
        self.arithmetic = model.arithmetic


class EmbeddingNetwork(PairNetwork):
    """Gives how likely change is, and how likely none, of every pixel of an embedded patch."""

    def __init__(self, model: Model, pair: EmbeddingPair) -> None:
        super().__init__(model)
        self._pair = pair

    def run(self, arrays: Sequence[Array], index: OutputIndex = 0) -> Array:  # noqa: ARG002 - one
        """See ``network.Network.run``."""
        fit = self._pair.departure
        if fit is None:
            raise NetworkError("it was not fitted to the two dates")
        before, after = (np.moveaxis(self.embedded(array), 1, 0) for array in arrays)
        unchanged = fit.decided(np.nan_to_num(fit.statistic(before, after)))
        for axis in (1, 2):
            unchanged = unchanged.repeat(self._pair.network.output.cell, axis=axis)
        return np.stack([1 - unchanged, unchanged], axis=1).astype(np.float32)

    @property
    def is_partial(self) -> bool:
        """Whether bands of the encoder's input are missing."""
        given = self._pair.network.inputs[self._pair.input]
        return len(self._pair.channels) < given.channels

    def embedded(self, array: Array) -> F32:
        """Embeddings ``[N, D, h, w]`` of a date's tile, NaN where there are none.

        Args:
            array: ``[N, C, H, W]`` as the pair's card has it.
        """
        pair, shown = self._pair, in_memory(array)
        count, _, height, width = shown.shape
        given = []
        for number, wanted in enumerate(pair.network.inputs):
            whole = np.full((count, wanted.channels, height, width), wanted.fill, np.float32)
            if number == pair.input:
                whole[:, pair.channels] = shown
            given.append(whole[:, None] if wanted.dates else whole)
        if any(wanted.dates for wanted in pair.network.inputs):
            given.append(np.full((count, 1), pair.month, np.float32))
        found: F32 = in_memory(self.model.predict(*(self.model.upload(a) for a in given)))
        return found


class FloodNetwork(PairNetwork):
    """Gives the scores of dry land, flooded land, permanent and receded water.

    With the probabilities of water ``p`` before and ``q`` after, and backscatter in dB averaged
    over a window and over both polarisations:

    ================ ==========================================================================
    flooded          ``q (1 - p)`` where backscatter fell by ``drop`` at least, else 0
    receded water    ``p (1 - q)`` where backscatter rose by as much, else 0
    permanent water  ``p q``, and ``p (1 - q)`` where backscatter did not rise so much
    dry              ``(1 - p) (1 - q)``, and ``q (1 - p)`` where it did not fall so much
    ================ ==========================================================================

    So the first date's state holds wherever the network sees water come or go and the radar does
    not. The four add up to 1.
    """

    def __init__(self, model: Model, pair: FloodPair) -> None:
        super().__init__(model)
        self._pair = pair

    def run(self, arrays: Sequence[Array], index: OutputIndex = 0) -> Array:  # noqa: ARG002 - one
        """See ``network.Network.run``."""
        before, after = (in_memory(array) for array in arrays)
        p, q = (self._water(date) for date in (before, after))
        fall = self._level(before) - self._level(after)
        new, gone = q * (1 - p), p * (1 - q)
        is_darker, is_brighter = fall >= self._pair.drop, fall <= -self._pair.drop
        scores = [
            (1 - p) * (1 - q) + np.where(is_darker, 0, new),
            np.where(is_darker, new, 0),
            p * q + np.where(is_brighter, 0, gone),
            np.where(is_brighter, gone, 0),
        ]
        return np.stack(scores, axis=1).astype(np.float32)

    def _level(self, decibel: F32) -> npt.NDArray[np.float64]:
        """``[N, H, W]``: without speckle."""
        found: npt.NDArray[np.float64] = without_speckle(decibel, self._pair.window).mean(axis=1)
        return found

    def _water(self, decibel: F32) -> F32:
        """The probability of water ``[N, H, W]``."""
        given = self._pair.network.input
        count = len(given.bands)
        encode = encoding_of(given, [1.0] * count, [0.0] * count)
        shown = np.stack([encode(tile, (tile > NO_ECHO).all(axis=0)) for tile in decibel])
        raw = in_memory(self.model.predict(self.model.upload(shown)))
        shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
        found: F32 = shifted[:, 1] / shifted.sum(axis=1)
        return found


def open_pair(
    card: ModelCard, path: Path, device: str, threads: int, precision: Precision
) -> NetworkModel:
    """See ``runtime.open_model``."""
    network = open_network(card, path, device, threads, precision)
    return NetworkModel(card, network, network.model.notes, network.model.upload)


def open_network(
    card: ModelCard, path: Path, device: str, threads: int = 1, precision: Precision = "exact"
) -> EmbeddingNetwork | FloodNetwork:
    """The network of a pair's card.

    Raises:
        EngineError: ``MODEL_INVALID``, and as ``runtime.open_model``.
    """
    try:
        pair = pair_of(card)
    except ValueError as error:
        raise unlike(card, f"is not told how to compare two dates: {error}", "it is") from error
    if isinstance(pair, FloodPair):
        return FloodNetwork(open_model(pair.network, path, device, threads, precision), pair)
    return EmbeddingNetwork(open_model(pair.network, path, device, threads, precision), pair)
