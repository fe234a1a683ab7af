"""Segmentation: one class for every pixel, and how likely it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, beside, namespace
from engine.models.card import ModelCard
from engine.tasks.scores import check_numbers
from engine.tasks.task import Detail

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

    def activate(self, raw: Array) -> Array:
        """The network's numbers ``[N, C, H, W]`` as one probability a class, ``[N, K, H, W]``."""
        kind = self.card.output.activation
        if kind == "softmax":
            return _softmax(raw)
        xp = namespace(raw)
        scores = 1 / (1 + xp.exp(-raw)) if kind == "sigmoid" else raw
        if scores.shape[1] == 1 and len(self.card.output.classes) > 1:
            scores = xp.concat([1 - scores, scores], axis=1)
        return scores

    def decide(self, scores: Array, valid: npt.NDArray[np.bool_], detail: Detail) -> Array:
        """The class of scores ``[K, H, W]``; the first one of equals.

        Returns:
            ``[B, H, W]``: class ids (the card's nodata value where not ``valid``); with
            ``confidence`` also the stored probability of that class; with ``every`` then also
            those of all classes in the card's order (255 where not ``valid``).

        Raises:
            EngineError: ``MODEL_FAILED`` when the model gave no numbers.
        """
        xp = namespace(scores)
        chosen, best = self._chosen(scores)
        bands = [chosen]
        if detail != "class":
            bands.append(_stored(best))
        if detail == "every":
            bands += [_stored(scores[i]) for i in range(scores.shape[0])]
        if not valid.all():
            seen = beside(valid, scores)
            empty = [self.card.output.nodata, *(PROBABILITY_NODATA for _ in bands[1:])]
            bands = [xp.where(seen, b, e) for b, e in zip(bands, empty, strict=True)]
        return xp.stack(bands)

    def _chosen(self, scores: Array) -> tuple[Array, Array]:
        """Id of the class decided, uint8, and its score."""
        ids = [c.id for c in self.card.output.classes]
        chosen, best = likeliest(scores, ids)
        check_numbers(self.card.id, best)
        threshold = self.card.output.threshold
        if threshold is None:
            return chosen, best
        xp = namespace(scores)
        if len(ids) == 2:  # noqa: PLR2004 - two classes: the second one or not
            is_second = scores[1] >= threshold
            chosen = xp.where(is_second, xp.full_like(chosen, ids[1]), ids[0])
            return chosen, xp.where(is_second, scores[1], scores[0])
        is_none = best < threshold
        return xp.where(is_none, ids[0], chosen), xp.where(is_none, scores[0], best)


def likeliest(scores: Array, ids: Sequence[int]) -> tuple[Array, Array]:
    """Id of the greatest channel and its value; a few passes instead of a strided search."""
    xp = namespace(scores)
    best = scores[0]
    chosen = xp.full_like(best, ids[0], dtype=xp.uint8)
    for number, id_ in enumerate(ids[1:], 1):
        chosen = xp.where(scores[number] > best, id_, chosen)
        best = xp.maximum(best, scores[number])
    return chosen, best


def _stored(probability: Array) -> Array:
    xp = namespace(probability)
    return xp.astype(xp.round(xp.clip(probability, 0, 1) / PROBABILITY_SCALE), xp.uint8)


def _softmax(raw: Array) -> Array:
    xp = namespace(raw)
    shifted = xp.exp(raw - xp.max(raw, axis=1, keepdims=True))
    return shifted / xp.sum(shifted, axis=1, keepdims=True)
