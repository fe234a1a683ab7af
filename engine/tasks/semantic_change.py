"""Semantic change: the class of each pixel at two dates, by the scores of a network."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, in_memory, namespace
from engine.models.card import ModelCard, SemanticChange
from engine.models.transition import NO_PAIR, Pairs, paired
from engine.tasks.scores import check_numbers
from engine.tasks.segment import PROBABILITY_NODATA, PROBABILITY_SCALE, SegmentTask
from engine.tasks.task import Detail

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SemanticChangeTask:
    """See ``task.Task``: a band of both dates' codes, ``transition.paired``.

    On demand a second one tells how likely they differ, stored as ``segment`` stores
    probabilities. What the scores are says ``card.SemanticChange``.
    """

    card: ModelCard

    def bands(self, detail: Detail) -> int:
        """How many bands ``decide`` gives."""
        return 1 if detail == "class" else 2

    def empty(self, detail: Detail, shape: tuple[int, int]) -> Pairs:
        """No pair anywhere, and no probability."""
        bands = np.full((self.bands(detail), *shape), PROBABILITY_NODATA, np.uint32)
        bands[0] = NO_PAIR
        return bands

    def activate(self, raw: Array) -> Array:
        """Probabilities of the classes of each date by themselves, and of change."""
        xp, count = namespace(raw), (raw.shape[1] - self._change.has_score) // 2
        parts = [self._one.activate(raw[:, i : i + count]) for i in (0, count)]
        if self._change.has_score:
            change = raw[:, -1:]
            is_raw = self.card.output.activation != "none"
            parts.append(1 / (1 + xp.exp(-change)) if is_raw else change)
        return xp.concat(parts, axis=1)

    def decide(self, scores: Array, valid: Mask, detail: Detail) -> Array:
        """Pairs of the codes of scores ``[2 K (+ 1), H, W]``; with detail, how likely they differ.

        Where the network tells change, both dates have one class where it says that there is none,
        and the likeliest two different ones where it says that there is.

        Raises:
            EngineError: ``MODEL_FAILED`` when the model gave no numbers.
        """
        check_numbers(self.card.id, scores, valid)
        count = len(self.card.output.classes)
        before, after = scores[:count], scores[count : 2 * count]
        threshold = self._change.threshold
        if threshold is None:
            change = _unlike(before, after)
            codes = self._classes(before, valid), self._classes(after, valid)
        else:
            change = scores[2 * count]
            codes = self._agreeing(before, after, change >= threshold, valid)
        bands = self.empty(detail, valid.shape)
        one, two = (in_memory(code)[valid] for code in codes)
        bands[0, valid] = paired(one, two)
        if len(bands) > 1:
            likely = np.clip(in_memory(change)[valid], 0, 1)
            bands[1, valid] = np.rint(likely / PROBABILITY_SCALE).astype(np.uint32)
        return bands

    def _agreeing(
        self, before: Array, after: Array, changed: Array, valid: Mask
    ) -> tuple[Array, Array]:
        """Codes that differ where it changed, and nowhere else."""
        xp = namespace(before)
        same = self._classes((before + after) / 2, valid)
        one, two = _differing(before, after)
        ids = [c.id for c in self.card.output.classes]
        codes = (_named(number, ids) for number in (one, two))
        first, second = (xp.where(changed, code, same) for code in codes)
        return first, second

    def _classes(self, scores: Array, valid: Mask) -> Array:
        """Codes ``[H, W]`` of one date."""
        return self._one.decide(scores, valid, "class")[0]

    @functools.cached_property
    def _one(self) -> SegmentTask:
        """Decides on one date."""
        return SegmentTask(
            replace(self.card, output=replace(self.card.output, semantic_change=None))
        )

    @property
    def _change(self) -> SemanticChange:
        return self.card.output.semantic_change or SemanticChange(None)


def _unlike(before: Array, after: Array) -> Array:
    """How likely the classes differ, if both dates' errors have nothing to do with each other."""
    xp = namespace(before)
    both = xp.sum(before, axis=0) * xp.sum(after, axis=0)
    return 1 - xp.sum(before * after, axis=0) / xp.where(both > 0, both, 1)


def _differing(before: Array, after: Array) -> tuple[Array, Array]:
    """Numbers of the two different classes whose scores have the largest product."""
    xp = namespace(before)
    one, two = _two_best(before), _two_best(after)
    gains = one.value * two.next_value, one.next_value * two.value
    is_same = one.number == two.number
    moves_after = is_same & (gains[0] >= gains[1])
    moves_before = is_same & (gains[0] < gains[1])
    return (
        xp.where(moves_before, one.next_number, one.number),
        xp.where(moves_after, two.next_number, two.number),
    )


@dataclass(frozen=True)
class _Best:
    """The likeliest two classes of each pixel."""

    number: Array
    value: Array
    next_number: Array
    next_value: Array


def _two_best(scores: Array) -> _Best:
    """The first ones of equals, channel by channel."""
    xp = namespace(scores)
    nothing = xp.full_like(scores[0], -1.0)
    best = _Best(nothing, nothing, nothing, nothing)
    for number, value in enumerate(scores):
        here = xp.full_like(value, float(number))
        wins, follows = value > best.value, value > best.next_value
        best = _Best(
            xp.where(wins, here, best.number),
            xp.where(wins, value, best.value),
            xp.where(wins, best.number, xp.where(follows, here, best.next_number)),
            xp.where(wins, best.value, xp.where(follows, value, best.next_value)),
        )
    return best


def _named(number: Array, ids: list[int]) -> Array:
    """Codes of classes by their numbers."""
    xp = namespace(number)
    code = xp.full_like(number, ids[0], dtype=xp.uint8)
    for place, id_ in enumerate(ids[1:], 1):
        code = xp.where(number == place, xp.full_like(code, id_), code)
    return code
