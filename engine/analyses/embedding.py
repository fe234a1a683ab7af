"""Predictors seen through an encoder: its embeddings take their place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from engine.analyses.desk import Desk
from engine.contract.analyses import CalibrateRequest, Predictor
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, NamedInput, OutputSpec, Region, SegmentRequest
from engine.geo.grid import Grid
from engine.models.card import OURS, ModelCard, ModelInput
from engine.models.catalogue import find_card
from engine.pipeline.inputs import open_inputs
from engine.pipeline.planning import settled_plan
from engine.pipeline.run import run_plan

LEAST_BANDS = 2
"""Of an embedding."""


@dataclass(frozen=True)
class Embedded:
    """What was made of the predictors."""

    request: CalibrateRequest
    """The same, with the embeddings as its predictor."""
    used: tuple[ModelInput, ...]
    """Inputs of the encoder for which there were rasters."""
    grid: Grid
    """Where the embeddings' pixels are, also without georeference."""


def find_encoder(name: str, desk: Desk) -> ModelCard:
    """The card of an encoder behind which a model can be put, installed.

    Raises:
        EngineError: ``MODEL_NOT_FOUND``, ``MODEL_UNSUITABLE``, ``MODEL_NOT_INSTALLED``.
    """
    card = find_card(name, desk.models)
    output = card.output
    is_one = isinstance(output.index, int) and output.axes == OURS
    is_embedding = is_one and len(output.values) >= LEAST_BANDS
    if card.file.format != "onnx" or not is_embedding:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"The model {card.id} gives no embeddings behind which another one can be put.",
            "Name an ONNX model of embeddings, such as galileo-nano or presto, with --encoder.",
        )
    desk.models.path(card)
    return card


def embedded(request: CalibrateRequest, encoder: ModelCard, desk: Desk, folder: Path) -> Embedded:
    """Embed the predictors by an ordinary run, so that the embeddings are those of the map.

    Args:
        request: Names the rasters, with the encoder's names for them.
        encoder: Its card.
        desk: Knows the models.
        folder: For the embeddings.

    Raises:
        EngineError: whatever is wrong with the run.
    """
    first, *others = (_named(p, encoder, request.gsd) for p in request.predictors)
    if first.name != encoder.input.name:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The first raster is «{first.name}», and the encoder's first input is "
            f"«{encoder.input.name}».",
            "Give that one first.",
        )
    output = folder / "embedding.tif"
    run = SegmentRequest(
        input=first.input,
        output=OutputSpec(str(output)),
        model=request.encoder or "",
        others=tuple(others),
        region=Region(),
        device="auto",
    )
    work = folder / "work"
    work.mkdir()
    plan = settled_plan(run, desk.models, work, lambda _card: None)
    run_plan(plan, desk.models, work, desk.report)
    inputs = open_inputs(encoder, plan.recipe.input, plan.recipe.others)
    used = tuple(
        wanted for wanted, given in zip(encoder.inputs, inputs.given, strict=True) if given
    )
    only = Predictor(str(output), "embedding", profile="raw")
    return Embedded(replace(request, predictors=(only,)), used, plan.recipe.output_grid)


def _named(given: Predictor, encoder: ModelCard, gsd: float | None) -> NamedInput:
    name = given.name or encoder.input.name
    spec = InputSpec((given.file,), given.profile, gsd=gsd, date=given.date)
    return NamedInput(name, spec)
