"""Segmentation: one class for every pixel, and how likely it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.models.card import ModelCard
from engine.tasks.scores import check_numbers
from engine.tasks.task import Detail

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

PROBABILITY_SCALE = 0.004
"""Probability = stored * scale: 0 to 250, which leaves 255 for nodata."""
PROBABILITY_NODATA = 255


@dataclass(frozen=True)
class SegmentTask:
    """See ``task.Task``: class ids and, on demand, stored probabilities."""

    card: ModelCard

    def bands(self, detail: Detail) -> int:
        """How many bands ``decide`` gives."""
        return {"class": 1, "confidence": 2, "every": 2 + len(self.card.output.classes)}[detail]

    def empty(self, detail: Detail, shape: tuple[int, int]) -> U8:
        """The card's nodata value, and nodata probabilities."""
        bands = np.full((self.bands(detail), *shape), PROBABILITY_NODATA, np.uint8)
        bands[0] = self.card.output.nodata
        return bands

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
        """The class of scores ``[K, H, W]``; the first one of equals.

        Returns:
            ``[B, H, W]``: class ids (the card's nodata value where not ``valid``); with
            ``confidence`` also the stored probability of that class; with ``every`` then also
            those of all classes in the card's order (255 where not ``valid``).

        Raises:
            EngineError: ``MODEL_FAILED`` when the model gave no numbers.
        """
        index, best = self._chosen(scores)
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

    def _chosen(self, scores: F32) -> tuple[U8, F32]:
        """Index of the class decided and its score."""
        index, best = _argmax(scores)
        check_numbers(self.card.id, best)
        threshold = self.card.output.threshold
        if threshold is None:
            return index, best
        if len(scores) == 2:  # noqa: PLR2004 - two classes: the second one or not
            index = (scores[1] >= threshold).astype(np.uint8)
        else:
            index[best < threshold] = 0
        return index, np.take_along_axis(scores, index[None].astype(np.intp), axis=0)[0]


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
