"""A picture of what is looked for, as its embedding: settled once, and kept with the plan."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, SegmentRequest
from engine.geo.resample import resample
from engine.geo.window import Window
from engine.io.scene import open_scene
from engine.models.card import ModelCard, ValueBand
from engine.models.runtime import open_model
from engine.models.store import ModelStore
from engine.pipeline.plan import Plan
from engine.pipeline.tensors import encoding_for

F32 = npt.NDArray[np.float32]
LARGEST = 4096
"""Pixels along the edge of a picture of one thing."""
SIMILARITY = ValueBand("similarity", clip=(-1.0, 1.0))


def with_query(plan: Plan, store: ModelStore, request: SegmentRequest) -> Plan:
    """The same plan, asking how near each place comes to a picture; needs the model installed.

    As in Deepness, the picture is brought to the size of the model's tiles, whatever its own is.

    Args:
        plan: Whose model gives embeddings.
        store: Holds the model.
        request: Names the picture; it is understood as the main input is.

    Raises:
        EngineError: ``REQUEST_INVALID`` or ``MODEL_UNSUITABLE`` where there is nothing to compare,
            ``MODEL_FAILED`` when the picture has no embedding; what opening it raises.
    """
    if request.query is None:
        return plan
    recipe = plan.recipe
    card = recipe.card
    _check(card)
    spec = InputSpec((request.query,), recipe.input.profile, request.input.bands)
    picture = _picture(card, spec)
    model = open_model(card, store.path(card), recipe.device, 1, recipe.precision)
    with contextlib.closing(model):
        found = model.predict(picture[None])[0]
    embedding = found.reshape(len(found), -1).mean(axis=1)
    if not np.isfinite(embedding).all() or not np.abs(embedding).max() > 0:
        raise EngineError(
            ErrorCode.MODEL_FAILED,
            f"The model {card.id} gives no embedding of {Path(request.query).name}.",
            "Use another picture or another model.",
        )
    output = replace(
        card.output, values=(SIMILARITY,), query=tuple(float(number) for number in embedding)
    )
    note = f"Each place is compared with the picture {Path(request.query).name}."
    card = replace(card, output=output)
    return replace(plan, recipe=replace(recipe, card=card), notes=(*plan.notes, note))


def _check(card: ModelCard) -> None:
    """Refuse models whose result is no embedding of a picture."""
    given = card.inputs[0]
    is_placed = any(not derived.bands for derived in given.derived)
    if len(card.inputs) > 1 or given.dates or is_placed or len(card.output.values) < 2:  # noqa: PLR2004
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"The model {card.id} gives no embeddings of single pictures to compare with --query.",
            "Use a model that gives embeddings, or leave --query out.",
        )


def _picture(card: ModelCard, spec: InputSpec) -> F32:
    """The picture as the network takes it, ``[C, size, size]``."""
    wanted = card.input
    with contextlib.closing(open_scene(spec).source(wanted.bands)) as source:
        height, width = source.grid.shape
        if max(height, width) > LARGEST:
            raise EngineError(
                ErrorCode.REQUEST_INVALID,
                f"{spec.uris[0]} has {width} x {height} pixels, too many for one thing.",
                f"Cut it out, to at most {LARGEST} x {LARGEST} pixels.",
            )
        chip = source.read(source.grid.window)
        encode = encoding_for(wanted, source)
    encoded = encode(chip.data, chip.valid)
    edge = card.tiling.size
    factors = (height / edge, width / edge)
    whole = Window(0, 0, edge, edge)
    resampled, share = resample(encoded, chip.valid, chip.window, whole, factors)
    resampled[:, share <= 0] = wanted.fill
    picture: F32 = np.ascontiguousarray(resampled, np.float32)
    return picture
