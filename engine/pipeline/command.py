"""The command that asks for a run again."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping

from engine.contract.messages import (
    InputSpec,
    NamedInput,
    PolygonOptions,
    SegmentRequest,
    TaskName,
)
from engine.models.card import ModelCard
from engine.pipeline.naming import with_names

AFTER, ALSO = "after", "also"
AUTO = "auto"


def command_of(request: SegmentRequest, card: ModelCard) -> str:
    """The command line, as this system's shell reads it; it replaces the outputs of the run.

    Args:
        request: What was asked for, by whatever program.
        card: The model that ran.
    """
    words = ["swath", *_words(request, card)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def can_tell(request: SegmentRequest) -> bool:
    """Whether a command line can say all of it: bands of further layers have no option."""
    alike = (AFTER, ALSO) if _is_change(request) else ()
    return all(
        (spec.bands, spec.nodata, spec.gsd) == (model.bands, model.nodata, model.gsd)
        for name, spec in _others(request)
        for model in [request.input if name in alike else InputSpec(())]
    )


def _is_change(request: SegmentRequest) -> bool:
    names = [other.name for other in request.others]
    if request.change is not None or request.coregister:
        return True
    return names[:1] == [AFTER] and set(names[1:]) <= {"", ALSO}


def _others(request: SegmentRequest) -> Iterator[tuple[str, InputSpec]]:
    """The further inputs; the first one of a change is the second date, whatever its name."""
    for place, other in enumerate(request.others):
        yield (AFTER if _is_change(request) and not place else other.name), other.input


def _words(request: SegmentRequest, card: ModelCard) -> Iterator[str]:
    output = request.output
    if _is_change(request):
        yield TaskName.CHANGE.value
        yield from (*request.input.uris, *request.others[0].input.uris, output.raster)
        yield from _dates(request)
    else:
        yield (TaskName.APPLY if request.others else card.task).value
        yield from (*request.input.uris, output.raster)
        yield from _option("--date", request.input.date)
        yield from _further(request.input, with_names(card, request.others))
    model = card.id if request.change is None and request.model == AUTO else request.model
    yield from _option("--model", model, AUTO)
    yield from _option("--vector", output.vector)
    yield from _option("--probability", output.probability)
    yield from _option("--report", output.report)
    yield from _numbers(request.input)
    yield from _region(request)
    yield from _option("--query", request.query)
    yield from _option("--device", request.device, AUTO)
    yield from _option("--precision", request.precision, "exact")
    yield from _polygons(request.polygons)
    yield from _option("--memory", request.memory)
    yield "--overwrite"


def _dates(request: SegmentRequest) -> Iterator[str]:
    """What only ``swath change`` knows."""
    other = request.others[0].input
    if request.change is not None:
        yield from ("--method", request.change.method)
        yield from _option("--false-alarm", request.change.false_alarm)
        yield from _option("--threshold", request.change.threshold)
    if request.coregister:
        yield "--coregister"
    yield from _option("--clouds", request.clouds)
    for name, spec in list(_others(request))[1:]:
        yield from ("--also" if name == ALSO else "--prior", spec.uris[0])
    yield from _option("--before-date", request.input.date)
    yield from _option("--after-date", other.date)
    yield from _option("--after-profile", other.profile, request.input.profile)


def _further(main: InputSpec, others: tuple[NamedInput, ...]) -> Iterator[str]:
    for named in others:
        spec = named.input
        at = f"@{spec.date}" if spec.date else ""
        profile = "" if spec.profile == main.profile else f"::{spec.profile}"
        yield from ("--with", f"{named.name}{at}={spec.uris[0]}{profile}")


def _numbers(spec: InputSpec) -> Iterator[str]:
    yield from _option("--input-profile", spec.profile, AUTO)
    yield from _option("--bands", _pairs(spec.bands))
    yield from _option("--nodata", spec.nodata)
    yield from _option("--gsd", spec.gsd)


def _region(request: SegmentRequest) -> Iterator[str]:
    region = request.region
    if region.bounds is not None:
        yield from ("--bounds", *map(_text, region.bounds))
    yield from _option("--bounds-crs", region.bounds_crs)
    yield from _option("--aoi", region.aoi)


def _polygons(options: PolygonOptions) -> Iterator[str]:
    yield from _option("--min-area", options.min_area, 0.0)
    yield from _option("--fill-holes", options.fill_holes, 0.0)
    yield from _option("--simplify", options.simplify, 0.0)
    for name in options.square:
        yield from ("--square", name)


def _option(name: str, value: object, default: object = None) -> Iterator[str]:
    if value not in (None, "", default):
        yield from (name, _text(value))


def _pairs(bands: Mapping[str, str]) -> str:
    return ",".join(f"{role}={band}" for role, band in bands.items())


def _text(value: object) -> str:
    return f"{value!r}".removesuffix(".0") if isinstance(value, float) else str(value)
