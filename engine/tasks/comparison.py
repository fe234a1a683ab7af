"""Comparisons of two dates: kinds of change, and at last the class of no change."""

from __future__ import annotations

from dataclasses import dataclass

from engine.geo.arrays import Array, namespace
from engine.tasks.scores import check_numbers
from engine.tasks.segment import SegmentTask, likeliest


@dataclass(frozen=True)
class ComparisonTask(SegmentTask):
    """As ``SegmentTask``, decided by how likely no change is: the card's last class.

    From the card's threshold on it is no change, however much likelier change may be: of a million
    unchanged pixels a thousand look as if only one in a thousand did. Below, the likeliest kind of
    change is taken.
    """

    def _chosen(self, scores: Array) -> tuple[Array, Array]:
        xp, ids = namespace(scores), [c.id for c in self.card.output.classes]
        unchanged, threshold = scores[-1], self.card.output.threshold
        check_numbers(self.card.id, unchanged)
        kind, best = likeliest(scores[:-1], ids[:-1])
        is_same = unchanged >= (0.5 if threshold is None else threshold)
        return xp.where(is_same, ids[-1], kind), xp.where(is_same, unchanged, best)
