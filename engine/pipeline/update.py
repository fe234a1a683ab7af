"""An old map of objects brought up to date: a run on a later image, then object by object."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely

from engine.change.objects import WHOLE, Matching, Sight, match_objects
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import Artifact, OutputSpec, SegmentRequest, UpdateRequest
from engine.io.aoi import read_aoi
from engine.io.journal import JOURNAL, settle
from engine.io.layers import PolygonLayer, no_polygons, open_layer
from engine.io.outputs import check_spared
from engine.models.card import ModelCard
from engine.models.catalogue import find_card
from engine.models.store import ModelStore
from engine.pipeline.inputs import check_date
from engine.pipeline.map_objects import MapObjects, found_objects, known_objects
from engine.pipeline.outcome import Outcome, outcome_in
from engine.pipeline.plan import Plan
from engine.pipeline.planning import settled_plan
from engine.pipeline.publish_update import Update, UpdatePlaces, publish_update
from engine.pipeline.report import Report, stop_if_cancelled
from engine.pipeline.run import run_plan
from engine.pipeline.sight import sight_of


def run_update(
    request: UpdateRequest,
    store: ModelStore,
    work: Path,
    report: Report,
    provide: Callable[[ModelCard], None],
) -> Outcome:
    """Find the objects of an image, compare them with a map, and publish what became of them.

    The run on the image goes on where an earlier process left it; all outputs appear, or none.

    Args:
        request: The map, the image, the model.
        store: Knows the models.
        work: The job's folder.
        report: Told of progress, asked for cancellation.
        provide: Installs the model when it is not there.

    Raises:
        EngineError: ``CANCELLED`` or whatever went wrong; no output has been touched then.
    """
    began = time.monotonic()
    places = UpdatePlaces(Path(request.options.output))
    journal = work / JOURNAL
    note = settle(journal)
    if note is None:
        places.check(overwrite=request.run.output.overwrite, inputs=request.files_read)
    layer = _checked_layer(request)
    inner = _inner_request(request, store, work)
    plan = _objects_alone(settled_plan(inner, store, work / "image", provide), request)
    published = outcome_in(note, plan)
    if published is not None:
        return published
    check_spared(places.every, [file.uri for file in plan.recipe.files])
    old = _checked_objects(layer, request, plan)
    outcome = run_plan(plan, store, work / "image", _WithoutFiles(report))
    new = found_objects(Path(str(inner.output.vector)), plan.recipe)
    sight, matching = _compared(request, plan, old, new, report)
    update = Update(request, plan, layer, old, new, sight, matching, places)
    return publish_update(update, outcome.summary, began, journal, report)


def _checked_layer(request: UpdateRequest) -> PolygonLayer:
    """The old map's layer, before anything is computed."""
    options = request.options
    if not 0 < options.least_iou <= 1:
        raise _invalid(
            f"No two objects are the same from an intersection over union of {options.least_iou}.",
            "Give a share above 0 and up to 1, as in --iou 0.5.",
        )
    check_date(options.date)
    layer = open_layer(options.map)
    if options.field is not None:
        layer.check_field(options.field)
    return layer


def _inner_request(request: UpdateRequest, store: ModelStore, work: Path) -> SegmentRequest:
    """The run on the image, whose files stay in the job's folder."""
    run = request.run
    if run.model != "auto":
        _check_card(find_card(run.model, store))
    folder = work / "image"
    folder.mkdir(parents=True, exist_ok=True)
    output = OutputSpec(str(folder / "classes.tif"), str(folder / "objects.gpkg"), overwrite=True)
    return replace(run, output=output, change=None, query=None, work=None, shard=None)


def _check_card(card: ModelCard) -> None:
    if len(card.output.classes) > 1 and card.output.cell == card.output.zoom == 1:
        return
    raise EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"The model {card.id} does not mark objects pixel by pixel.",
        "Use a model of classes, such as buildings.",
    )


def _objects_alone(plan: Plan, request: UpdateRequest) -> Plan:
    """The plan with polygons of the classes that are objects."""
    card, hidden = plan.recipe.card, request.options.hidden
    _check_card(card)
    names = [member.name for member in card.output.classes]
    unknown = [name for name in hidden if name not in names]
    if unknown:
        raise _invalid(
            f"The model {card.id} has no class {', '.join(unknown)} that could hide the ground.",
            f"Its classes are {', '.join(names)}.",
        )
    wanted = plan.polygons.classes or tuple(n for n in names[1:] if n not in hidden)
    return replace(plan, polygons=replace(plan.polygons, classes=wanted))


def _checked_objects(layer: PolygonLayer, request: UpdateRequest, plan: Plan) -> MapObjects:
    """The old map's objects; refused when the image shows none of them.

    Raises:
        EngineError: ``CRS_MISSING``, ``LAYER_EMPTY``, ``EXTENT_OUTSIDE``.
    """
    layer.check_crs(plan.recipe.grid.crs)
    old = known_objects(layer, request.options.field, plan.recipe)
    if not len(old.ids):
        raise no_polygons(layer, "no feature of it has an area")
    box = plan.recipe.result
    image = shapely.box(box.col, box.row, box.col_stop, box.row_stop)
    if not shapely.intersects(old.shapes, image).any():
        raise EngineError(
            ErrorCode.EXTENT_OUTSIDE,
            f"No polygon of {layer.shown} overlaps the image.",
            "Give a map and an image of the same place, and check their coordinate reference "
            "systems.",
        )
    return old


def _compared(
    request: UpdateRequest, plan: Plan, old: MapObjects, new: MapObjects, report: Report
) -> tuple[Sight, Matching]:
    recipe = plan.recipe

    def step(done: int, total: int) -> None:
        stop_if_cancelled(report)
        report.progress("compare", done, total, "windows")

    aoi = read_aoi(recipe.aoi, recipe.grid) if recipe.aoi else None
    ids = [c.id for c in recipe.card.output.classes if c.name in request.options.hidden]
    sight = sight_of(old.shapes, recipe, Path(plan.output.raster), aoi, hidden=ids, step=step)
    sight.inside[shapely.is_empty(old.shapes)] = 0
    stop_if_cancelled(report)
    matching = match_objects(old.shapes, new.shapes, sight, request.options.least_iou)
    cut = np.count_nonzero((sight.inside > 0) & (sight.inside < WHOLE))
    if cut:
        report.message("info", f"The image shows {cut} objects of the old map in part only.")
    return sight, matching


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)


class _WithoutFiles:
    """A report that does not hear of files in the job's folder."""

    def __init__(self, report: Report) -> None:
        self.progress = report.progress
        self.message = report.message
        self.cancelled = report.cancelled

    def artifact(self, artifact: Artifact) -> None:
        """Nobody is told."""
