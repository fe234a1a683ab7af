"""Fit a model to plots, and make a card of it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from engine.analyses.calibrated_card import Findings, applicability_card, card_of, figures
from engine.analyses.calibrated_network import network_of
from engine.analyses.desk import PAGE, Desk
from engine.analyses.embedding import embedded, find_encoder
from engine.analyses.gathering import Gathered, Reader, gather, probe
from engine.analyses.plots import Plots, Shapes, amounts, classes, read_plots, shapes_on
from engine.analyses.predictors import Opened, Pixels, Textured, centred, open_predictors
from engine.analyses.splitting import Split, range_of, split, split_classes
from engine.calibrate.fit import Calibrated, weighted_by_errors
from engine.calibrate.fit import calibrate as fitted_to
from engine.calibrate.footprints import places_in_metres
from engine.calibrate.methods import CLASSES, METHODS, Method
from engine.calibrate.samples import F64, Ints, Samples
from engine.calibrate.texture import Texture
from engine.contract.analyses import CalibrateRequest
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.models.card import ModelCard, ModelFile, ModelInput, Residuals
from engine.models.cardfile import card_to_json
from engine.pipeline.outcome import Outcome

CARD, MODEL = "application/json", "application/octet-stream; framework=onnxruntime; profile=onnx"
WIDER = 1.5
"""Pixels along a plot from which on the model works at the plots' size."""
MOST_EDGE = 63
"""Pixels along a window of texture."""


def calibrate(request: CalibrateRequest, desk: Desk) -> Outcome:
    """Fit, validate, and write card, model and page.

    Raises:
        EngineError: for whatever is wrong with plots or rasters; no output has been touched then.
    """
    _ = _method(request)  # what is wrong with the request or its field is told before reading
    plots = read_plots(request)
    _ = _target(plots, request)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        encoder, used, grid = None, tuple[ModelInput, ...](), None
        if request.encoder is not None:
            encoder = find_encoder(request.encoder, desk)
            seen = embedded(request, encoder, desk, Path(folder))
            request, used, grid = seen.request, seen.used, seen.grid
        opened = open_predictors(request)
        found = _found(request, plots, opened, grid or opened.grid, desk)
    found = replace(found, encoder=encoder, inputs=used or found.inputs)
    return _published(found, desk)


def _method(request: CalibrateRequest) -> Method:
    name = CLASSES if request.classes else request.method
    if name not in METHODS or (name == CLASSES and not request.classes):
        raise _wrong(f"There is no method «{name}».", "Use forest, boosting or ridge.")
    edge = request.texture
    if edge and (edge % 2 == 0 or not 3 <= edge <= MOST_EDGE or request.encoder):  # noqa: PLR2004 - the smallest
        raise _wrong(
            f"A texture of {edge} pixels cannot be used.",
            f"Give --texture an odd number from 3 to {MOST_EDGE}, and no --encoder.",
        )
    return METHODS[name]


def _target(
    plots: Plots, request: CalibrateRequest
) -> tuple[F64, tuple[str, ...], tuple[str, ...]]:
    """What was found on every plot, the names of classes, and what looks odd."""
    if request.classes:
        kinds, names = classes(plots, request.field)
        return kinds.astype(np.float64), names, ()
    values, notes = amounts(plots, request.field, request.unit)
    return values, (), notes


@dataclass(frozen=True, eq=False)
class Ground:
    """What is known of the plots that can be used."""

    plots: Plots
    shapes: Shapes
    """In pixels."""
    places: F64
    """``[n, 2]`` metres."""
    target: F64
    names: tuple[str, ...]
    """Of classes."""

    def take(self, kept: Ints) -> Ground:
        """Some of them."""
        plots = self.plots.take(kept)
        return Ground(plots, self.shapes[kept], self.places[kept], self.target[kept], self.names)


def _found(
    request: CalibrateRequest, plots: Plots, opened: Opened, grid: Grid, desk: Desk
) -> Findings:
    """Everything between rasters, which lie on ``grid``, and a fitted model."""
    with opened.reading() as pixels:
        ground = _ground(request, plots, grid, desk)
        texture, reader = _reader(request, pixels, ground.shapes)
        gathered = gather(
            reader,
            plots,
            ground.shapes,
            lambda done, total: desk.step("read plots", done, total, "plots"),
            as_pixels=request.classes,
            seed=request.seed,
        )
        ground = ground.take(np.unique(gathered.plots))
        support = _support(request, ground.shapes)
        probed = probe(reader, support, request.seed)
    parted = _split(request, ground)
    _tell(desk, [*gathered.notes, *parted.notes], warns=True)
    names = opened.names if texture is None else texture.names(opened.names)
    samples, folds = _samples(names, gathered, ground, parted)
    _tell_constant(desk, samples)
    fitted = _fitted(request, samples, folds, ground.plots.errors, desk)
    return Findings(
        request,
        fitted,
        opened.inputs,
        len(ground.plots),
        parted.sentence,
        ground.names,
        None if ground.names else _residuals(ground.places, fitted, desk),
        texture,
        places=ground.places,
        support=support,
        applicable=float(np.mean(fitted.area(probed) <= 1)) if len(probed) else None,
    )


def _ground(request: CalibrateRequest, plots: Plots, grid: Grid, desk: Desk) -> Ground:
    target, names, odd = _target(plots, request)
    _tell(desk, odd, warns=True)
    shapes, middles = shapes_on(plots, grid, request.radius)
    points = np.column_stack([shapely.get_x(middles), shapely.get_y(middles)])
    places = places_in_metres(points, grid.crs, request.gsd or 1.0)
    return Ground(plots, shapes, places, target, names)


def _fitted(
    request: CalibrateRequest, samples: Samples, folds: Ints, errors: F64 | None, desk: Desk
) -> Calibrated:
    method, seed = _method(request), request.seed
    if errors is not None and not request.classes:
        samples = weighted_by_errors(method, samples, errors, folds, seed)

    def step(done: int, total: int) -> None:
        desk.step("validate", done, total, "folds")

    return fitted_to(method, samples, folds, seed, step)


def _reader(
    request: CalibrateRequest, pixels: Pixels, shapes: Shapes
) -> tuple[Texture | None, Reader]:
    if not request.texture:
        return None, pixels
    windows = [
        Window(int(y), int(x), 1, 1) for x, y in shapely.get_coordinates(shapely.centroid(shapes))
    ]
    inside = [w for w in windows if not w.intersect(pixels.grid.window).is_empty]
    texture = centred(pixels, inside, request.texture)
    return texture, Textured(pixels, texture)


def _support(request: CalibrateRequest, shapes: Shapes) -> float:
    """Pixels along a typical plot, where the model is to see means over as much ground as that."""
    if request.classes or request.texture or request.encoder:
        return 1.0
    along = float(np.sqrt(np.median(shapely.area(shapes))))
    return along if along > WIDER else 1.0


def _split(request: CalibrateRequest, ground: Ground) -> Split:
    if ground.names:
        kinds = ground.target.astype(np.int64)
        return split_classes(request, ground.plots, ground.places, kinds, ground.names)
    return split(request, ground.plots, ground.places, ground.target, ground.shapes)


def _samples(
    names: tuple[str, ...], gathered: Gathered, ground: Ground, parted: Split
) -> tuple[Samples, Ints]:
    """Rows with their targets and folds."""
    where = np.unique(gathered.plots, return_inverse=True)[1].reshape(-1)
    count = np.ones(len(where))
    groups = parted.groups[where]
    samples = Samples(gathered.features, ground.target[where], count, groups, names)
    return samples, parted.folds[where]


def _tell(desk: Desk, notes: Sequence[str], *, warns: bool) -> None:
    for note in notes:
        desk.note(note, warns=warns)


def _tell_constant(desk: Desk, samples: Samples) -> None:
    same = samples.constant
    if same:
        listed = ", ".join(same[:5]) + ("" if len(same) <= 5 else " …")  # noqa: PLR2004 - enough to see
        desk.note(f"{len(same)} bands are the same on all plots and tell nothing: {listed}.")


def _residuals(places: F64, fitted: Calibrated, desk: Desk) -> Residuals | None:
    """The variogram of what the model does not explain."""
    found = range_of(places, fitted.residuals)
    if isinstance(found, str):
        desk.note(f"How far errors resemble each other could not be told: {found}.")
        return None
    variogram, reach = found
    return Residuals(variogram.nugget, variogram.sill, reach)


def _published(found: Findings, desk: Desk) -> Outcome:
    """Network, card and page."""
    output = Path(found.request.output)
    content = network_of(found, desk.models)
    file = ModelFile(
        output.with_suffix(".onnx").name, hashlib.sha256(content).hexdigest(), len(content), "onnx"
    )
    card = card_of(found, file)
    _write_card(desk, "card", output, card)
    desk.place("model", output.with_suffix(".onnx"), MODEL).write_bytes(content)
    if found.classes:
        beside = output.with_name(f"{output.stem}-applicability.json")
        _write_card(desk, "applicability", beside, applicability_card(card, 1))
    _tell(desk, figures(found), warns=False)
    if found.request.report is not None:
        from engine.analyses.calibration_page import page_of  # noqa: PLC0415 - draws
        from engine.report.html import rendered  # noqa: PLC0415

        desk.write("report", Path(found.request.report), PAGE, rendered(page_of(found, card)))
    return desk.outcome(card.id, len(found.fitted.samples))


def _write_card(desk: Desk, role: str, path: Path, card: ModelCard) -> None:
    text = json.dumps(card_to_json(card), indent=2, ensure_ascii=False) + "\n"
    desk.write(role, path, CARD, text)


def _wrong(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)
