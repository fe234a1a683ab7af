"""Agreement of a map with a reference at a simple random sample, as a confusion matrix.

For a stratified sample these figures are biased: use ``engine.assess.stratified``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.assess.estimate import LEVEL, UNKNOWN, Estimate, wilson_interval

F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of mapped class by reference class; adds up over blocks."""

    classes: tuple[int, ...]
    matrix: F64
    """``[K, K]`` sums of weights: rows are the map, columns the reference."""
    squares: F64
    """``[K, K]`` sums of squared weights, which tell how many samples the weights are worth."""
    unlabelled: int = 0
    """Samples without a reference class, counted nowhere else."""
    unmapped: int = 0
    """Samples with a reference class where the map has no data, counted nowhere else."""

    def __add__(self, other: Confusion) -> Confusion:
        if self.classes != other.classes:
            raise ValueError("confusion matrices of different classes cannot be added")
        return Confusion(
            self.classes,
            self.matrix + other.matrix,
            self.squares + other.squares,
            self.unlabelled + other.unlabelled,
            self.unmapped + other.unmapped,
        )


@dataclass(frozen=True)
class ClassAgreement:
    """How well one class is mapped."""

    id: int
    user: Estimate
    """Of what is mapped as the class, the share that is (precision)."""
    producer: Estimate
    """Of what is the class, the share mapped as it (recall)."""
    f1: Estimate
    iou: Estimate


@dataclass(frozen=True)
class Agreement:
    """How well a map agrees with its reference."""

    overall: Estimate
    classes: tuple[ClassAgreement, ...]
    kappa: float | None = None
    """Cohen's kappa; only when asked for, as good practice advises against it."""


def count_confusion(
    mapped: Ids,
    reference: Ids,
    classes: Sequence[int],
    *,
    weights: F64 | None = None,
    nodata: Sequence[int] = (),
) -> Confusion:
    """Count pairs of mapped and reference class.

    Args:
        mapped: ``[n]`` or any shape, class ids of the map.
        reference: The same shape, class ids of the reference.
        classes: The legend, in the order of the matrix.
        weights: The same shape, what a sample counts; 1 unless given.
        nodata: Ids that mean "no class" in either array.

    Raises:
        ValueError: when shapes differ, a class stands twice, an id is neither a class nor nodata,
            or a weight is negative or not finite.
    """
    mapped, reference = np.ravel(mapped), np.ravel(reference)
    weight = np.ones(len(mapped)) if weights is None else np.ravel(weights).astype(float)
    if not len(mapped) == len(reference) == len(weight):
        raise ValueError("map, reference and weights have different numbers of samples")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("weights must be finite and not negative")
    rows, columns = class_index(mapped, classes, nodata), class_index(reference, classes, nodata)
    known = (rows >= 0) & (columns >= 0)
    count = len(classes)
    cells = rows[known] * count + columns[known]
    matrix, squares = (
        np.bincount(cells, weight[known] ** p, count * count).astype(float).reshape(count, count)
        for p in (1, 2)
    )
    unlabelled = int(np.count_nonzero(columns < 0))
    return Confusion(
        tuple(classes), matrix, squares, unlabelled, len(rows) - unlabelled - int(known.sum())
    )


def class_index(
    ids: Ids, classes: Sequence[int], nodata: Sequence[int] = ()
) -> npt.NDArray[np.int64]:
    """Where each id stands in ``classes``; -1 for nodata.

    Raises:
        ValueError: when a class stands twice or an id is neither a class nor nodata.
    """
    if not classes or len(set(classes)) != len(classes):
        raise ValueError("the legend needs classes, each of them once")
    found, place = np.unique(ids, return_inverse=True)
    where = {c: i for i, c in enumerate(classes)} | dict.fromkeys(nodata, -1)
    strange = [v for v in found.tolist() if v not in where]
    if strange:
        raise ValueError(f"the ids {strange[:10]} are neither classes nor nodata")
    table = np.array([where[v] for v in found.tolist()], np.int64)
    return table[place.reshape(ids.shape)] if len(table) else np.zeros(ids.shape, np.int64)


def measure_agreement(
    confusion: Confusion, *, kappa: bool = False, level: float = LEVEL
) -> Agreement:
    """Accuracies with score intervals, as of a simple random (or systematic) sample.

    User's and producer's accuracy and IoU are proportions of the samples in a row, a column or
    both, so Wilson's interval applies given their number; F1 is ``2 IoU / (1 + IoU)`` and so is its
    interval. Weighted samples count as their effective number (Kish 1965), which is approximate.

    Args:
        confusion: The counts.
        kappa: Whether to add Cohen's kappa (Cohen 1960).
        level: Of the intervals.

    Raises:
        ValueError: when no sample has both classes.
    """
    matrix, squares = confusion.matrix, confusion.squares
    if matrix.sum() <= 0:
        raise ValueError("no sample has both a mapped and a reference class")
    right = np.eye(len(matrix), dtype=bool)
    overall = _proportion(matrix, squares, right, np.ones_like(right), level)
    members = tuple(
        _class_agreement(matrix, squares, index, member, level)
        for index, member in enumerate(confusion.classes)
    )
    return Agreement(overall, members, cohens_kappa(matrix) if kappa else None)


def cohens_kappa(matrix: F64) -> float:
    """Agreement beyond what the margins alone would give (Cohen 1960); NaN for one class only."""
    share = matrix / matrix.sum()
    chance = float(share.sum(axis=1) @ share.sum(axis=0))
    return (float(np.trace(share)) - chance) / (1 - chance) if chance < 1 else math.nan


def _class_agreement(
    matrix: F64, squares: F64, index: int, member: int, level: float
) -> ClassAgreement:
    right, row, column = (np.zeros(matrix.shape, bool) for _ in range(3))
    right[index, index] = row[index, :] = column[:, index] = True
    iou = _proportion(matrix, squares, right, row | column, level)
    return ClassAgreement(
        member,
        _proportion(matrix, squares, right, row, level),
        _proportion(matrix, squares, right, column, level),
        _f1(iou),
        iou,
    )


def _proportion(
    matrix: F64,
    squares: F64,
    part: npt.NDArray[np.bool_],
    whole: npt.NDArray[np.bool_],
    level: float,
) -> Estimate:
    """The share of ``part`` in ``whole``, both cells of the matrix."""
    total = float(matrix[whole].sum())
    if total <= 0:
        return UNKNOWN
    effective = total**2 / float(squares[whole].sum())
    return wilson_interval(float(matrix[part].sum()) / total, effective, level)


def _f1(iou: Estimate) -> Estimate:
    def of(x: float) -> float:
        return 2 * x / (1 + x)

    return Estimate(of(iou.value), 2 * iou.se / (1 + iou.value) ** 2, of(iou.low), of(iou.high))
