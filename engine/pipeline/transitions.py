"""Comparisons of two class maps: what each pixel was, and what it became."""

from __future__ import annotations

import contextlib
import hashlib
import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from engine.change.legends import united
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ChangeOptions, InputSpec, NamedInput, SegmentRequest
from engine.geo.tiling import TileRule
from engine.io.handles import shown
from engine.io.legend import Legend, read_legend
from engine.io.plausibility import Sampled
from engine.io.scene import open_scene
from engine.io.source import Scene
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, ValueBand
from engine.models.inline import inline_uri
from engine.models.transition import LARGEST, Transition, transition_to_json
from engine.pipeline.comparison import AFTER, ANY_NUMBER, ANY_SIZE, BEFORE, METHODS, Comparison

ROLE = "class"
METHOD = "classes"
TILE = 512
MOST_CLASSES = 1_000
"""That a sample of a map may hold: more are a picture's, not a legend's."""
SAMPLE = 1_000_000
"""Pixels."""
MUCH_FINER = 2.0
"""Times the pixel size."""


@dataclass(frozen=True)
class ClassMap:
    """One of the two maps, understood."""

    spec: InputSpec
    """Its numbers are taken as they are."""
    scene: Scene
    legend: Legend


def compared_classes(request: SegmentRequest, options: ChangeOptions) -> Comparison:
    """Make the card that tells which class became which.

    Args:
        request: Its input is the map of the first date, its one further input the second's.
        options: Of this method there are none.

    Raises:
        EngineError: ``REQUEST_INVALID`` for options that are for comparisons of scenes, or
            legends that contradict each other; ``BAND_COUNT``, ``MODEL_UNSUITABLE`` for rasters
            that are no class maps.
    """
    _check_request(request, options)
    before = _opened(request.input)
    after = _opened(request.others[0].input)
    joint = united(before.legend.classes, after.legend.classes)
    notes = (joint.sentence, *_size_notes(before.scene, after.scene))
    request = replace(request, input=before.spec, others=(NamedInput(AFTER, after.spec),))
    return Comparison(request, _card(before.scene, joint.transition), notes)


def _check_request(request: SegmentRequest, options: ChangeOptions) -> None:
    if len(request.others) != 1:
        raise _invalid(
            f"A change needs two dates, and {1 + len(request.others)} are given.",
            "Give one class map of before and one of after.",
        )
    if options.false_alarm is not None or options.threshold is not None:
        raise _invalid(
            "Class maps are compared code by code: there is no threshold of change.",
            "Leave out --false-alarm and --threshold.",
        )
    if request.coregister:
        raise _invalid(
            "Two class maps cannot be moved onto each other: codes show no shift.",
            "Leave out --coregister; classify images that fit to each other.",
        )
    if request.output.probability is not None or request.polygons.square:
        raise _invalid(
            "Two class maps tell no probabilities, and transitions get no right angles.",
            "Leave out --probability and --square.",
        )
    given = (request.input, request.others[0].input)
    if any(spec.profile not in ("auto", "raw") for spec in given):
        raise _invalid(
            "The numbers of class maps are codes, which no input profile can change.",
            "Leave out --input-profile.",
        )


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)


def _opened(spec: InputSpec) -> ClassMap:
    plain = replace(spec, profile="raw")
    scene = open_scene(plain)
    name = ", ".join(map(shown, spec.uris))
    if len(scene.bands) > 1 and ROLE not in (band.role for band in scene.bands):
        raise EngineError(
            ErrorCode.BAND_COUNT,
            f"«{name}» has {len(scene.bands)} bands; a class map is one band of codes.",
            "Name the band of codes with --bands class=NUMBER, or give the class raster itself.",
        )
    _check_codes(name, scene)
    band = int(scene.resolved.bands.get(ROLE, 1))
    legend = read_legend(scene.files[0], band)
    date = spec.date or scene.acquired or legend.date
    nothing = {spec.nodata, *(found.nodata for found in scene.bands)}
    known = tuple(member for member in legend.classes if member.id not in nothing)
    return ClassMap(replace(plain, date=date), scene, replace(legend, classes=known))


def _check_codes(name: str, scene: Scene) -> None:
    """Refuse what is no class map by its type, or by a sample of its numbers.

    Raises:
        EngineError: ``MODEL_UNSUITABLE``.
    """
    with contextlib.closing(scene.source((ROLE,))) as source:
        kind = np.dtype(source.bands[0].dtype)
        if kind.kind not in "iu":
            raise _unsuitable(
                f"«{name}» holds {kind} numbers; the codes of a class map are whole numbers.",
                "Convert it, as with gdal_translate -ot Byte, if its numbers are codes.",
            )
        codes = np.unique(cast("Sampled", source).sample(SAMPLE)[0])
    if len(codes) > MOST_CLASSES:
        raise _unsuitable(
            f"«{name}» holds {len(codes)} different numbers in a sample: that is no class map.",
            "Give class maps, or compare scenes with --method irmad.",
        )
    if len(codes) and not 0 <= codes[0] <= codes[-1] <= LARGEST:
        raise _unsuitable(
            f"«{name}» holds numbers from {codes[0]} to {codes[-1]}: codes of classes go from 0 "
            f"to {LARGEST}.",
            "Say which number stands for no data with --nodata, or give the classes other codes.",
        )


def _unsuitable(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.MODEL_UNSUITABLE, message, hint)


def _size_notes(before: Scene, after: Scene) -> tuple[str, ...]:
    """What is lost when the second map has much smaller pixels."""
    sizes = [scene.grid.pixel_size_m for scene in (before, after)]
    if sizes[0] is None or sizes[1] is None:
        return ()
    one, two = (math.sqrt(math.prod(size)) for size in sizes if size)
    if one <= MUCH_FINER * two:
        return ()
    sentence = (
        f"The second map's pixels are {two:.3g} m wide, the first one's {one:.3g} m: of about "
        f"{(one / two) ** 2:.0f} pixels one is looked at. Bring it to the coarser pixels by its "
        "most frequent class first, or give it as the first map."
    )
    return (sentence,)


def _card(before: Scene, transition: Transition) -> ModelCard:
    content = transition_to_json(transition).encode()
    size = before.grid.pixel_size_m or (1.0, 1.0)
    given = ModelInput(
        bands=(ROLE,),
        quantity="raw",
        valid_range=ANY_NUMBER,
        transforms=(),
        gsd=math.sqrt(size[0] * size[1]),
        gsd_range=ANY_SIZE,
        name=BEFORE,
        is_class_map=True,
    )
    return ModelCard(
        id=METHOD,
        version="1",
        title=METHODS[METHOD],
        summary="Compares two class maps pixel by pixel.",
        tasks=("semantic-segmentation",),
        inputs=(given, replace(given, name=AFTER)),
        tiling=TileRule(TILE, 0, 1),
        merge="crop",
        output=ModelOutput(values=(ValueBand("class before"), ValueBand("class after"))),
        file=ModelFile(
            inline_uri(content), hashlib.sha256(content).hexdigest(), len(content), "transition"
        ),
        license="CC0-1.0",
        attribution="Swath",
        citation=METHODS[METHOD],
        joining="separate",
    )
