"""Segmentation: one class for every pixel, and how likely it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.models.card import ModelCard

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

PROBABILITY_SCALE = 0.004
"""Probability = stored * scale: 0 to 250, which leaves 255 for nodata."""
PROBABILITY_NODATA = 255


@dataclass(frozen=True, slots=True)
class Decision:
    """The result for one window."""

    classes: U8
    """``[H, W]`` class ids; the card's nodata value where not valid."""
    probability: U8
    """``[K, H, W]`` stored probabilities of the card's classes in order; 255 where not valid."""


@dataclass(frozen=True)
class SegmentTask:
    """Encodes and decides for one model card."""

    card: ModelCard

    def encode(self, physical: F32, has_data: npt.NDArray[np.bool_]) -> F32:
        """Normalise physical values ``[C, H, W]``; pixels without data get the bands' mean."""
        rule = self.card.input.normalisation
        mean = np.asarray(rule.mean, np.float32)[:, None, None]
        std = np.asarray(rule.std, np.float32)[:, None, None]
        normalised = (physical - mean) / std
        normalised[:, ~has_data] = 0
        return normalised

    def activate(self, raw: F32) -> F32:
        """The network's numbers ``[N, C, H, W]`` as one probability a class, ``[N, K, H, W]``."""
        kind = self.card.output.activation
        if kind == "softmax":
            return _softmax(raw)
        scores: F32 = (1 / (1 + np.exp(-raw))).astype(np.float32) if kind == "sigmoid" else raw
        if scores.shape[1] == 1 and len(self.card.output.classes) > 1:
            scores = np.concatenate([1 - scores, scores], axis=1)
        return scores

    def decide(self, scores: F32, valid: npt.NDArray[np.bool_]) -> Decision:
        """The likeliest class of merged scores ``[K, H, W]``; the first one of equals."""
        ids = np.asarray([c.id for c in self.card.output.classes], np.uint8)
        classes = ids[scores.argmax(axis=0)]
        classes[~valid] = self.card.output.nodata
        stored = np.rint(np.clip(scores, 0, 1) / PROBABILITY_SCALE).astype(np.uint8)
        stored[:, ~valid] = PROBABILITY_NODATA
        return Decision(classes, stored)


def _softmax(raw: F32) -> F32:
    shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
    total: F32 = shifted / shifted.sum(axis=1, keepdims=True)
    return total
