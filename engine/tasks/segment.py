"""Segmentation: one class for every pixel, and how likely it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

PROBABILITY_SCALE = 0.004
"""Probability = stored * scale: 0 to 250, which leaves 255 for nodata."""
PROBABILITY_NODATA = 255


Detail = Literal["class", "confidence", "every"]
"""What is wanted beside the class: nothing, its probability, or that of every class too."""


@dataclass(frozen=True)
class Encoding:
    """``stored * gain + bias``: stored numbers to the network's input, band by band."""

    gain: F32
    """``[C, 1, 1]``"""
    bias: F32
    """``[C, 1, 1]``"""

    def __call__(self, stored: npt.NDArray[Any], has_data: npt.NDArray[np.bool_] | None) -> F32:
        """Encode ``[C, H, W]``; pixels without data (None: there are none) get the bands' mean."""
        encoded: F32 = np.multiply(stored, self.gain, dtype=np.float32)
        encoded += self.bias
        if has_data is not None:
            encoded[:, ~has_data] = 0
        return encoded


@dataclass(frozen=True)
class SegmentTask:
    """Encodes and decides for one model card."""

    card: ModelCard

    def encoding(self, scale: Sequence[float], offset: Sequence[float]) -> Encoding:
        """The encoding of bands whose physical values are ``stored * scale + offset``."""
        rule = self.card.input.normalisation
        mean, std = np.asarray(rule.mean, np.float64), np.asarray(rule.std, np.float64)
        gain = np.asarray(scale) / std
        bias = (np.asarray(offset) - mean) / std
        return Encoding(_per_band(gain), _per_band(bias))

    def bands(self, detail: Detail) -> int:
        """How many bands ``decide`` gives."""
        return {"class": 1, "confidence": 2, "every": 2 + len(self.card.output.classes)}[detail]

    def activate(self, raw: F32) -> F32:
        """The network's numbers ``[N, C, H, W]`` as one probability a class, ``[N, K, H, W]``."""
        kind = self.card.output.activation
        if kind == "softmax":
            return _softmax(raw)
        scores: F32 = (1 / (1 + np.exp(-raw))).astype(np.float32) if kind == "sigmoid" else raw
        if scores.shape[1] == 1 and len(self.card.output.classes) > 1:
            scores = np.concatenate([1 - scores, scores], axis=1)
        return scores

    def decide(self, scores: F32, valid: npt.NDArray[np.bool_], detail: Detail) -> U8:
        """The likeliest class of scores ``[K, H, W]``; the first one of equals.

        Returns:
            ``[B, H, W]``: class ids (the card's nodata value where not ``valid``); with
            ``confidence`` also the stored probability of that class; with ``every`` then also
            those of all classes in the card's order (255 where not ``valid``).

        Raises:
            EngineError: ``MODEL_FAILED`` when the model gave no numbers.
        """
        index, best = _argmax(scores)
        if not np.isfinite(best.min(initial=0)):
            raise EngineError(
                ErrorCode.MODEL_FAILED,
                f"The model {self.card.id} gave values that are not numbers.",
                "Check the input's scaling, or use another model or device.",
            )
        ids = np.asarray([c.id for c in self.card.output.classes], np.uint8)
        kept = [ids[index]]
        if detail != "class":
            kept.append(_stored(best))
        if detail == "every":
            kept += [_stored(channel) for channel in scores]
        bands = np.stack(kept)
        bands[0, ~valid] = self.card.output.nodata
        bands[1:, ~valid] = PROBABILITY_NODATA
        return bands


def _per_band(values: npt.NDArray[np.float64]) -> F32:
    return values.astype(np.float32)[:, None, None]


def _argmax(scores: F32) -> tuple[U8, F32]:
    """Index of the greatest channel and its value; a few passes instead of a strided search."""
    best = scores[0].copy()
    index = np.zeros(best.shape, np.uint8)
    for number, channel in enumerate(scores[1:], 1):
        np.copyto(index, number, where=channel > best)
        np.maximum(best, channel, out=best)
    return index, best


def _stored(probability: F32) -> U8:
    stored: U8 = np.rint(np.clip(probability, 0, 1) / PROBABILITY_SCALE).astype(np.uint8)
    return stored


def _softmax(raw: F32) -> F32:
    shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
    total: F32 = shifted / shifted.sum(axis=1, keepdims=True)
    return total
