"""Overlap of maps: the loss that strives for it and the tally that measures it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.crops import IGNORED

SMOOTHING = 0.05
"""Share of the target that goes to all classes alike; labels are not that sure."""


def overlap_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and one minus the soft intersection over union of the batch's classes."""
    entropy = functional.cross_entropy(
        scores, labels, ignore_index=IGNORED, label_smoothing=SMOOTHING
    )
    known = labels != IGNORED
    truth = functional.one_hot(labels * known, scores.shape[1]).movedim(-1, 1) * known[:, None]
    likely = scores.softmax(1) * known[:, None]
    shared = (likely * truth).sum((0, 2, 3))
    either = (likely + truth).sum((0, 2, 3)) - shared
    present = truth.sum((0, 2, 3)) > 0
    return entropy + 1 - (shared / either.clamp(min=1))[present].mean()


def quarters(height: int, width: int) -> dict[str, tuple[slice, slice]]:
    """The quarters of a map by name, as rows and columns."""
    rows = {"upper": slice(0, height // 2), "lower": slice(height // 2, height)}
    cols = {"left": slice(0, width // 2), "right": slice(width // 2, width)}
    return {f"{r} {c}": (rows[r], cols[c]) for r in rows for c in cols}


class Tally:
    """Pixels by true and by given class, pooled over everything that is added."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, truth: npt.NDArray[np.uint8], said: npt.NDArray[np.uint8]) -> None:
        """Count the pixels whose truth is known."""
        known = truth != IGNORED
        number = len(self.counts)
        pairs = truth[known].astype(np.int64) * number + said[known]
        self.counts += np.bincount(pairs, minlength=number**2).reshape(number, number)

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        both = Tally(len(self.counts))
        both.counts = self.counts + other.counts
        return both

    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each class; not a number where there is none of it."""
        right = self.counts.diagonal()
        either = self.counts.sum(0) + self.counts.sum(1) - right
        result: npt.NDArray[np.float64] = right / np.where(either, either, np.nan)
        return result

    def accuracy(self) -> float:
        """Share of the pixels that are right."""
        return float(self.counts.trace() / self.counts.sum())
