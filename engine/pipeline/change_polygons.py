"""Patches of change become rows of the vector output, in one form whatever found them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from engine.contract.messages import ModelClass
from engine.io.geopackage import PolygonBatch
from engine.pipeline.plan import Plan, Recipe
from engine.pipeline.polygons import on_map
from engine.tasks.segment import PROBABILITY_SCALE
from engine.vectorize.patches import Patches, Tally

EARLIER = "before"
"""The name of the input that is the earlier one, wherever it stands."""


def change_fields(recipe: Recipe) -> dict[str, str]:
    """The table's columns; what means nothing in a result, or nobody knows, is empty.

    Classes before and after are those of class maps, the probability is that of scenes; dates are
    text, ISO 8601.
    """
    return {
        "class_id": "int64",
        "class_name": "str",
        "from_class": "str",
        "to_class": "str",
        "probability": "float32",
        recipe.area_field: "float64",
        "date_from": "str",
        "date_to": "str",
    }


def change_batches(plan: Plan, batches: Iterable[PolygonBatch]) -> Iterator[PolygonBatch]:
    """Polygons of classes as polygons of change; ``polygons`` says what makes the former.

    The probability is the mean over a polygon's pixels.
    """
    for batch in batches:
        count = len(batch.geometry)
        fields = {
            **batch.fields,
            **_dates(plan.recipe, count),
            "from_class": _each(None, count),
            "to_class": _each(None, count),
            "probability": batch.fields["confidence"],
        }
        yield PolygonBatch(batch.geometry, fields)


def transition_batch(
    plan: Plan, patches: Patches, legend: Sequence[ModelClass], names: Sequence[tuple[str, str]]
) -> PolygonBatch:
    """Polygons with what was there, what is there, how much of it, and when.

    Args:
        plan: Knows the dates, and how small polygons may be.
        patches: Their ``class_id`` counts the entries of ``legend``.
        legend: Of the changes that occur.
        names: Of the classes before and after of each of them.
    """
    recipe, tally = plan.recipe, patches.tally
    ids = np.array([member.id for member in legend], np.int64)
    titles = np.array([member.name for member in legend], object)
    sides = np.array(names, object).reshape(-1, 2).T
    kept = tally.area >= plan.polygons.min_area
    fields = {
        "class_id": ids[tally.class_id],
        "class_name": titles[tally.class_id],
        "from_class": sides[0][tally.class_id],
        "to_class": sides[1][tally.class_id],
        "probability": _probability(recipe, tally),
        recipe.area_field: tally.area,
        **_dates(recipe, len(tally)),
    }
    geometry = on_map(patches, recipe.frame)
    return PolygonBatch(geometry[kept], {key: values[kept] for key, values in fields.items()})


def _probability(recipe: Recipe, tally: Tally) -> npt.NDArray[np.float32]:
    """The mean over each patch; class maps tell none."""
    if recipe.card.output.semantic_change is None:
        return np.full(len(tally), np.nan, np.float32)
    mean = tally.confidence / np.maximum(tally.pixels, 1) * PROBABILITY_SCALE
    return mean.astype(np.float32)


def _dates(recipe: Recipe, count: int) -> dict[str, npt.NDArray[np.object_]]:
    second = recipe.others[0]
    dates = (recipe.input.date, second.input.date)
    first, last = reversed(dates) if second.name == EARLIER else dates
    return {"date_from": _each(first, count), "date_to": _each(last, count)}


def _each(value: str | None, count: int) -> npt.NDArray[np.object_]:
    return np.full(count, value, object)
