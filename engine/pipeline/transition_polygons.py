"""Patches of equal change become rows of the vector output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.contract.messages import ModelClass
from engine.io.geopackage import PolygonBatch
from engine.pipeline.plan import Plan, Recipe
from engine.pipeline.polygons import on_map
from engine.vectorize.patches import Patches


def fields_of(recipe: Recipe) -> dict[str, str]:
    """The table's columns; dates are text, ISO 8601, and empty where nobody knows them."""
    return {
        "class_id": "int64",
        "from_class": "str",
        "to_class": "str",
        recipe.area_field: "float64",
        "date_from": "str",
        "date_to": "str",
    }


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
    dates = (recipe.input.date, recipe.others[0].input.date)
    ids = np.array([member.id for member in legend], np.int64)
    sides = np.array(names, object).reshape(-1, 2).T
    kept = tally.area >= plan.polygons.min_area
    fields = {
        "class_id": ids[tally.class_id],
        "from_class": sides[0][tally.class_id],
        "to_class": sides[1][tally.class_id],
        recipe.area_field: tally.area,
        "date_from": np.full(len(tally), dates[0], object),
        "date_to": np.full(len(tally), dates[1], object),
    }
    geometry = on_map(patches, recipe.frame)
    return PolygonBatch(geometry[kept], {key: values[kept] for key, values in fields.items()})
