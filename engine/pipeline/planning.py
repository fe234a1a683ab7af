"""How a request becomes a plan: everything that can be refused is refused here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import PolygonOptions, SegmentRequest
from engine.geo.crs import transform_bounds
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.aoi import Aoi, read_aoi
from engine.io.journal import JOURNAL, settle
from engine.io.plausibility import check_plausible
from engine.io.scene import open_scene
from engine.models.card import ModelCard
from engine.models.catalogue import choose_model, find_card, quantity_note
from engine.models.measure import measured
from engine.models.precision import settle_precision
from engine.models.store import ModelStore
from engine.models.two_dates import tells_change, unchanged_class
from engine.pipeline.cloud_models import cloud_findings
from engine.pipeline.coregistration import coregistered
from engine.pipeline.destination import Destination
from engine.pipeline.fingerprint import fingerprint
from engine.pipeline.inputs import Inputs, open_inputs
from engine.pipeline.kept import KeptPlan
from engine.pipeline.plan import Plan, Recipe
from engine.pipeline.preflight import preflight_of
from engine.pipeline.publish_values import ROUNDED
from engine.pipeline.query import with_query
from engine.pipeline.sizing import DEFAULT_MEMORY, MIB, choose_size
from engine.pipeline.timeline import timeline_of
from engine.version import VERSION

BLOCK_EDGE = 1024
"""Source pixels along a block's edge, about."""
BLOCK_BYTES = 64 * MIB
"""Of a block's scores, about."""
CHANGED = "change"
"""Stands for every kind of change where classes are named."""
FAR_OFF = 2.0
"""Times the sizes of pixels that a model was made for."""
SAME_SCALE = 1e-6
"""Lattices closer to the source than this are the source."""


def settled_plan(
    request: SegmentRequest, store: ModelStore, work: Path, provide: Callable[[ModelCard], None]
) -> Plan:
    """The plan of a job, with every number of the run fixed; made once and kept with the job.

    Args:
        request: What was asked for.
        store: Knows the models.
        work: The job's folder, where an interrupted job finds its plan again, and shards find
            that of the first of them.
        provide: Called for the model's card: installs the model when it is not there.

    Raises:
        EngineError: for whatever is wrong with the request; no output has been touched then.
    """
    kept = KeptPlan(work)
    plan = kept.read(request)
    if plan is None or not _is_current(plan):
        _make_room(kept, request, work)
        plan = make_plan(request, store)
        provide(plan.recipe.card)
        plan = _fitted(with_query(plan, store, request), store, request)
        return kept.keep(with_tile_size(plan, store, request.memory), request)
    provide(plan.recipe.card)
    return plan


def _fitted(plan: Plan, store: ModelStore, request: SegmentRequest) -> Plan:
    """The same plan, fitted to the scenes where that takes its network."""
    if plan.recipe.card.file.format != "pair":
        return plan
    from engine.pipeline.embedding_change import fitted  # noqa: PLC0415 - loads scipy

    return fitted(plan, store, request.change)


def _make_room(kept: KeptPlan, request: SegmentRequest, work: Path) -> None:
    """Put a plan away that no longer holds; others may be at work on that of a shared folder.

    Raises:
        EngineError: ``REQUEST_INVALID`` for a shared folder.
    """
    if request.work is None:
        settle(work / JOURNAL)
        kept.drop()
    elif kept.exists:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The blocks in {work} are of other inputs, or of another version of Swath.",
            "Remove that folder, or name another one.",
        )


def _is_current(plan: Plan) -> bool:
    """Whether the plan is of this engine and its inputs are the files that they were."""
    recipe = plan.recipe
    files = tuple(fingerprint(file.uri) for file in recipe.files)
    return recipe.engine == VERSION and files == recipe.files


def with_tile_size(plan: Plan, store: ModelStore, memory: int | None) -> Plan:
    """The same plan with the tile size that is best here; needs the model installed.

    Args:
        plan: Whose model may be of free size; one of fixed size stays as it is.
        store: Holds the model and its measurements.
        memory: MiB that the run may use.

    Raises:
        EngineError: ``OUT_OF_MEMORY``, or what measuring the model raises.
    """
    recipe = plan.recipe
    if recipe.rule.fixed:
        return plan
    card = recipe.card
    kept = store.root / "measurements"
    measurement = measured(card, store.path(card), recipe.device, kept, recipe.precision)
    limit = DEFAULT_MEMORY if memory is None else memory * MIB
    rule = choose_size(recipe.rule, recipe.lattice, recipe.region, measurement, limit)
    return replace(plan, recipe=replace(recipe, rule=rule))


def make_plan(request: SegmentRequest, store: ModelStore) -> Plan:
    """Look at the scene, and choose and check the model.

    Raises:
        EngineError: for whatever is wrong with the request; nothing has been written then.
    """
    asked, output = request, request.output
    read = [*request.input.uris, *(uri for other in request.others for uri in other.input.uris)]
    Destination.of(output, has_classes=False).check(output.overwrite, read)
    request, card, method_notes = _settled_model(request, store)
    places = Destination.by(card, output)
    places.check(output.overwrite, read)
    inputs = open_inputs(card, request.input, request.others)
    if request.coregister and request.change is None:  # before a comparison was fitted otherwise
        inputs, moved_note = coregistered(inputs)
        method_notes = (*method_notes, moved_note)
    areas_of_interest = [request.region.aoi] if request.region.aoi else []
    places.check_spares([*inputs.files, *areas_of_interest, request.model])
    _check_results(request, card)
    with inputs.sources():  # bands that are missing, and scenes that lie elsewhere
        grid = inputs.grid
    timeline_of(inputs)  # dates that are missing or too far apart
    aoi = read_aoi(request.region.aoi, grid) if request.region.aoi else None
    factors, scale_note = _scale(grid, card, request.input.gsd)
    precision, precision_note = settle_precision(card, request.device, request.precision)
    recipe = Recipe(
        input=inputs.given[0][0].named.input,
        others=inputs.others,
        files=tuple(fingerprint(uri) for uri in inputs.files),
        card=card,
        grid=grid,
        region=_region(request, grid, aoi),
        aoi=request.region.aoi,
        aoi_digest=aoi.digest if aoi else None,
        factors=factors,
        rule=card.tiling,
        block=max(1, round(_block_edge(card) / max(factors))),
        device=request.device,
        precision=precision,
        engine=VERSION,
    )
    preflight = preflight_of(inputs, cloud_findings(inputs, request.clouds, store))
    seen = preflight.notes if preflight else ()
    rounded = ROUNDED if output.value_type == "uint16" else None
    more = (*method_notes, *seen, scale_note, precision_note, rounded)
    notes = (*_input_notes(inputs, grid), *(note for note in more if note))
    scaling = " ".join(dict.fromkeys(one.scene.profile.sentence for one in inputs.every))
    polygons = _of_change(request.polygons, card)
    return Plan(recipe, output, polygons, notes, inputs.acquired, scaling, preflight, asked)


def _input_notes(inputs: Inputs, grid: Grid) -> tuple[str, ...]:
    """What a user should read about the scenes, each sentence once."""
    notes: list[str] = list(inputs.notes)
    for several, wanted in zip(inputs.given, inputs.card.inputs, strict=True):
        for one in several:
            scene = one.scene
            notes += scene.notes
            notes += check_plausible(scene, wanted.bands, wanted.quantity, wanted.valid_range)
            level = quantity_note(inputs.card, wanted, scene.profile.quantity)
            notes += [level] if level else []
            moved = grid.aligned_offset(scene.grid) is None
            curve = "cubic" if one.named.input.offset else "linear"
            how = "the nearest pixel" if wanted.is_class_map else f"{curve} interpolation"
            notes += [f"«{wanted.name}» is brought to the first raster's grid by {how}."] * moved
    return tuple(dict.fromkeys(notes))


def _block_edge(card: ModelCard) -> float:
    """Source pixels: fewer of a result of many bands, since a block is kept in memory."""
    output = card.output
    depth = 4 * output.channels * (output.zoom / output.cell) ** 2
    return min(BLOCK_EDGE, math.sqrt(BLOCK_BYTES / depth))


def _check_results(request: SegmentRequest, card: ModelCard) -> None:
    """Refuse outputs that a model of values does not have, and wrong polygon options.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    output = request.output
    has_classes = Destination.by(card, output).has_classes
    if not has_classes and (output.vector or output.probability):
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The model {card.id} gives values, not classes: it has no polygons or probabilities.",
            "Leave out --vector and --probability.",
        )
    if has_classes and output.value_type != "float32":
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The model {card.id} gives classes, which are bytes.",
            "Leave out --output-type.",
        )
    _check_polygons(_of_change(request.polygons, card), card)


def _check_polygons(options: PolygonOptions, card: ModelCard) -> None:
    """Refuse sizes below zero and classes that the model does not have.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    names = _class_names(card)
    unknown = [name for name in (*options.square, *options.classes) if name not in names]
    if unknown:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The model {card.id} has no class {', '.join(unknown)} to make polygons of.",
            f"Its classes are {', '.join(names)}.",
        )
    if min(options.min_area, options.fill_holes, options.simplify) < 0:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "A smallest area, a hole's area or a simplification is below zero.",
            "Give 0 to leave polygons as they are, or a size.",
        )


def _of_change(options: PolygonOptions, card: ModelCard) -> PolygonOptions:
    """Where a result tells change: every kind of it for «change», and for no name at all."""
    if card.has_transitions or not tells_change(card):
        return options
    same = unchanged_class(card)
    kinds = tuple(name for name in _class_names(card) if same is None or name != same.name)
    given = options.classes or (CHANGED,)
    named = (kinds if name == CHANGED else (name,) for name in given)
    return replace(options, classes=tuple(dict.fromkeys(itertools.chain(*named))))


def _class_names(card: ModelCard) -> tuple[str, ...]:
    """What polygons can be made of."""
    if card.has_transitions:
        return (CHANGED,)
    return tuple(member.name for member in card.output.classes)


def _settled_model(
    request: SegmentRequest, store: ModelStore
) -> tuple[SegmentRequest, ModelCard, tuple[str, ...]]:
    """The card that runs, the request with what it took to find that, and what was found."""
    if request.allometry is not None:
        from engine.pipeline.biomass import from_height  # noqa: PLC0415 - loads scipy

        made = from_height(request, request.allometry)
        return made.request, made.card, made.notes
    if request.change is None:
        return request, _card_for(request, store), ()
    from engine.pipeline.comparison import compared  # noqa: PLC0415 - loads scipy
    from engine.pipeline.post_classification import (  # noqa: PLC0415 - as above
        classified_twice,
        is_post_classification,
    )

    if is_post_classification(request):
        made = classified_twice(request, store)
        return made.request, made.card, made.notes
    made = compared(request, request.change, store)
    return made.request, made.card, made.notes


def _card_for(request: SegmentRequest, store: ModelStore) -> ModelCard:
    if request.model != "auto":
        return find_card(request.model, store)
    scene = open_scene(request.input)
    roles = tuple(b.role for b in scene.bands if b.role)
    return choose_model(roles, scene.profile.quantity)


def _region(request: SegmentRequest, grid: Grid, aoi: Aoi | None) -> Window:
    """The pixels asked for by extent and polygons together.

    Raises:
        EngineError: ``EXTENT_OUTSIDE``, ``EXTENT_INVALID``, ``CRS_MISSING``.
    """
    window = grid.window if aoi is None else aoi.window
    bounds = request.region.bounds
    if bounds is None:
        return window
    west, south, east, north = bounds
    if not (west < east and south < north):
        raise EngineError(
            ErrorCode.EXTENT_INVALID,
            f"The extent {bounds} is empty.",
            "Give west, south, east, north with west < east and south < north.",
        )
    both = grid.window_of(_in_grid(bounds, request.region.bounds_crs, grid)).intersect(window)
    if both.is_empty:
        raise EngineError(
            ErrorCode.EXTENT_OUTSIDE,
            "The extent and the mask polygons do not overlap.",
            "Choose an extent that contains part of the polygons.",
        )
    return both


def _in_grid(
    bounds: tuple[float, float, float, float], crs: str | None, grid: Grid
) -> tuple[float, float, float, float]:
    if crs is None:
        return bounds
    if grid.crs is None:
        raise EngineError(
            ErrorCode.CRS_MISSING,
            "The extent has a CRS, but the raster has no georeference.",
            "Give the extent in pixel coordinates (x = column, y = -row) without a CRS.",
        )
    return transform_bounds(bounds, crs, grid.crs)


def _scale(
    grid: Grid, card: ModelCard, gsd: float | None
) -> tuple[tuple[float, float], str | None]:
    """Source pixels per lattice pixel, and a sentence when they differ or were assumed."""
    need = card.input
    size = grid.pixel_size_m or ((gsd, gsd) if gsd else None)
    if size is None:
        return (1.0, 1.0), f"Without georeference, pixels are taken to be {need.gsd:g} m wide."
    low, high = need.gsd_range
    if all(low <= edge <= high for edge in size):
        return (1.0, 1.0), None
    rows, cols = (_factor(need.gsd / edge) for edge in size)
    sentence = (
        f"The raster's pixels are {size[1]:.3g} m wide; the model works at {need.gsd:g} m, so it "
        f"sees the scene resampled and its scores are brought back to the raster's pixels."
    )
    is_own = card.residuals is not None  # fitted to means over plots, of pixels like these
    return (rows, cols), sentence + ("" if is_own else _far_off(size[1], low, high))


def _far_off(edge: float, low: float, high: float) -> str:
    """What a user should read when a model is asked to see what its images never showed."""
    times = max(edge / high, low / edge)
    if times < FAR_OFF:
        return ""
    which = "coarser" if edge > high else "finer"
    return (
        f" That is {times:.0f} times {which} than what it was made for: do not trust the result, "
        "and take a model for such pixels."
    )


def _factor(ratio: float) -> float:
    return float(round(ratio)) if abs(ratio - round(ratio)) < SAME_SCALE * ratio else ratio
