"""What samples say of a map, by the estimators that fit how they were drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.analyses.desk import Desk
from engine.assess.confusion import Agreement, Confusion, measure_agreement
from engine.assess.estimate import Estimate
from engine.assess.stratified import (
    LEAST_SAMPLES,
    StratifiedAgreement,
    StratifiedClass,
    estimate_stratified,
)
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ClassArea

I64 = npt.NDArray[np.int64]
Kind = Literal["points", "polygons", "raster"]

HECTARE = 1e4


@dataclass(frozen=True, eq=False)
class Truth:
    """A reference on a map."""

    kind: Kind
    confusion: Confusion
    pairs: tuple[I64, I64] | None
    """``[n]`` map and reference class of points where both are known."""
    strata: I64 | None
    """``[n]`` the stratum of each of them."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """A map's accuracy."""

    kind: Kind
    confusion: Confusion
    mapped: tuple[ClassArea, ...]
    """What the map shows, in the order of the matrix."""
    plain: Agreement
    adjusted: StratifiedAgreement | None
    """With areas; only of points that stand for strata."""
    how: tuple[str, ...]
    """Sentences on what the figures rest on."""

    @property
    def overall(self) -> Estimate:
        """The overall accuracy."""
        return self.plain.overall if self.adjusted is None else self.adjusted.overall

    @property
    def has_intervals(self) -> bool:
        """Whether a sample stands for the map; a raster shows all of it."""
        return self.kind != "raster"

    def figures(self, index: int) -> tuple[Estimate, Estimate, Estimate, Estimate]:
        """User's and producer's accuracy, F1 and intersection over union of a class."""
        one = (self.plain if self.adjusted is None else self.adjusted).classes[index]
        return one.user, one.producer, one.f1, one.iou

    @property
    def header(self) -> tuple[str, ...]:
        """Of the table of classes."""
        names = ("user", "producer", "f1", "iou")
        spread = ("", "_se", "_low", "_high")
        told = tuple(f"{name}{end}" for name in names for end in spread)
        areas = tuple(f"area_ha{end}" for end in spread)
        return ("class_id", "class_name", "mapped_ha", *told, *areas)

    def table_rows(self) -> Iterator[tuple[object, ...]]:
        """One a class."""
        for index, row in enumerate(self.mapped):
            of_area = self.area(index)
            estimates = (*self.figures(index), of_area)
            cells = [c for e in estimates for c in (_cells(e) if e else ("",) * 4)]
            mapped = "" if row.area_m2 is None else f"{row.area_m2 / HECTARE:.6g}"
            yield row.class_id, row.name, mapped, *cells

    def area(self, index: int) -> Estimate | None:
        """The error-adjusted area of a class in hectares; None where nobody can tell."""
        if self.adjusted is None or any(row.area_m2 is None for row in self.mapped):
            return None
        one: StratifiedClass = self.adjusted.classes[index]
        whole = sum(row.area_m2 or 0 for row in self.mapped) / HECTARE
        share = one.share
        return Estimate(*(whole * v for v in (share.value, share.se, share.low, share.high)))


def judged(truth: Truth, mapped: tuple[ClassArea, ...], desk: Desk) -> Judgement:
    """Estimate what can be estimated, and say so.

    Raises:
        EngineError: ``INPUT_GRID_MISMATCH`` when no sample has both classes,
            ``FIELD_INVALID`` for strata that are no classes of the map.
    """
    confusion = truth.confusion
    if confusion.matrix.sum() <= 0 and confusion.unlabelled and not confusion.unmapped:
        raise EngineError(
            ErrorCode.FIELD_INVALID,
            "The field with the true class is empty wherever the map has data.",
            "Fill it in with names or numbers of classes, or name another one with --field.",
        )
    if confusion.matrix.sum() <= 0:
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            "No place of the reference has both a true class and a class of the map.",
            "Give a reference of the same place whose field is filled in.",
        )
    adjusted, how = _adjusted(truth, mapped)
    notes = [*how]
    if confusion.unlabelled and truth.kind != "raster":
        notes.append(
            f"{_samples(confusion.unlabelled, truth)} have no true class and do not count."
        )
    if confusion.unmapped and truth.kind != "raster":
        notes.append(
            f"{_samples(confusion.unmapped, truth)} lie where the map has no data and do not count."
        )
    for note in notes:
        desk.note(note)
    plain = measure_agreement(confusion)
    return Judgement(truth.kind, confusion, mapped, plain, adjusted, tuple(notes))


def _samples(count: int, truth: Truth) -> str:
    return f"{count} pixels of polygons" if truth.kind == "polygons" else f"{count} points"


def _adjusted(
    truth: Truth, mapped: tuple[ClassArea, ...]
) -> tuple[StratifiedAgreement | None, tuple[str, ...]]:
    if truth.kind == "raster":
        return None, ("The reference covers the map pixel by pixel: nothing was sampled.",)
    if truth.kind == "polygons" or truth.pairs is None or truth.strata is None:
        return None, (
            (
                "Each polygon counts as one sample, whatever its size. Polygons that somebody "
                "chose are no random sample: the intervals tell the number of polygons only, and "
                "areas are not adjusted."
            ),
        )
    sizes = {row.class_id: float(_size(row)) for row in mapped if row.pixels}
    strange = sorted(set(truth.strata.tolist()) - set(sizes))
    if strange:
        raise EngineError(
            ErrorCode.FIELD_INVALID,
            f"Strata {', '.join(map(str, strange[:8]))} are no classes of this map.",
            "Name the field with the map class that each point was drawn in.",
        )
    counts = {name: int((truth.strata == name).sum()) for name in sizes}
    thin = [row.name for row in mapped if counts.get(row.class_id, LEAST_SAMPLES) < LEAST_SAMPLES]
    if thin:
        return None, (
            (
                f"{', '.join(thin)}: fewer than two points, so the points are judged as a simple "
                "random sample, and areas are not adjusted. `swath sample` draws enough."
            ),
        )
    said, true = truth.pairs
    found = estimate_stratified(
        truth.strata, said, true, sizes=sizes, classes=[row.class_id for row in mapped]
    )
    return found, (
        (
            "The points stand for the map's classes, each drawn at random within its class "
            "(stratified estimation, Olofsson et al. 2014; Stehman 2014)."
        ),
    )


def _size(row: ClassArea) -> float:
    return row.pixels if row.area_m2 is None else row.area_m2


def _cells(estimate: Estimate) -> tuple[str, ...]:
    values = (estimate.value, estimate.se, estimate.low, estimate.high)
    return tuple("" if math.isnan(v) else f"{v:.6g}" for v in values)
