"""The forms of the algorithms, read in the GUI thread."""

from dataclasses import replace
from typing import Optional, Tuple

from qgis.core import QgsRasterLayer

from ...engine.contract.errors import EngineError, ErrorCode
from ...engine.contract.messages import ChangeOptions, InputSpec, NamedInput
from ..dates import layer_date
from .filled import Filled
from .further import FurtherLayers, further_inputs
from .parameters import AUTO, BY_MODEL, NO_MODEL
from .request import SegmentForm, parse_bands, profile_text, raster_source

OF_MODELS = ("classes", "embedding")
"""Methods that can compare what a model makes of each date."""
CHANGED = "change"
"""The class of a comparison whose polygons are wanted."""


def segment_form(filled: Filled, layer: QgsRasterLayer) -> SegmentForm:
    """What ``swath:segment`` asks for, and the others besides.

    Raises:
        EngineError: ``REQUEST_INVALID``, ``PROFILE_PARAMETER``, ``INPUT_UNREADABLE``.
    """
    profile = profile_text(filled.choice("PROFILE"), filled.number("SUN_ELEVATION"))
    return SegmentForm(
        source=_source(layer),
        model=filled.file("MODEL_FILE") or filled.choice("MODEL"),
        extent=filled.extent("EXTENT", layer.crs()),
        profile=filled.text("CUSTOM_PROFILE") or profile,
        nodata=filled.number("NODATA"),
        gsd=filled.number("GSD"),
        bands=parse_bands(filled.text("BANDS")),
        min_area=filled.number("MIN_AREA") or 0.0,
        device=filled.choice("DEVICE"),
        precision=filled.choice("PRECISION"),
    )


def apply_form(filled: Filled, layer: QgsRasterLayer) -> SegmentForm:
    """The same with all that only ``swath:apply`` asks for.

    Raises:
        EngineError: as ``segment_form``.
    """
    form = segment_form(filled, layer)
    others = filled.rasters("OTHERS")
    if others and form.model == AUTO:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "«auto» chooses among models that look at one raster, and there are further layers.",
            "Choose the model, or its card from a file.",
        )
    further = FurtherLayers(
        sources=tuple(_source(other) for other in others),
        dates=tuple(layer_date(other) for other in others),
        names=filled.text("NAMES"),
        profiles=filled.text("OTHER_PROFILES"),
        bands=filled.text("OTHER_BANDS"),
    )
    return replace(
        form,
        date=filled.text("DATE") or layer_date(layer) or None,
        others=further_inputs(further, form.profile),
        query=filled.file("QUERY") or None,
        memory=_memory(filled),
    )


def change_form(filled: Filled, before: QgsRasterLayer) -> SegmentForm:
    """The form of ``swath:change``.

    Raises:
        EngineError: as ``segment_form``.
    """
    after = filled.raster("AFTER")
    form = replace(_compared(filled, segment_form(filled, before)), memory=_memory(filled))
    if _source(after) == form.source:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"Both dates are the same file: {form.source}.",
            "Choose the layer of the other date under «Before» or «After».",
        )
    second = InputSpec(
        (_source(after),),
        filled.text("AFTER_PROFILE") or form.profile,
        parse_bands(filled.text("AFTER_BANDS")) or form.bands,
        form.nodata,
        form.gsd,
        date=filled.text("AFTER_DATE") or layer_date(after) or None,
    )
    return replace(
        form,
        date=filled.text("BEFORE_DATE") or layer_date(before) or None,
        others=(NamedInput("after" if form.change else "", second), *_further(filled, form)),
        coregister=filled.flag("COREGISTER"),
        clouds="mask" if filled.flag("CLOUDS") else "ignore",
    )


def _further(filled: Filled, form: SegmentForm) -> Tuple[NamedInput, ...]:
    """Further dates against speckle."""
    specs = (
        InputSpec((_source(layer),), form.profile, form.bands, form.nodata, form.gsd)
        for layer in filled.rasters("ALSO")
    )
    return tuple(NamedInput("also", spec) for spec in specs)


def _compared(filled: Filled, form: SegmentForm) -> SegmentForm:
    """The form with a method, or with a model of two dates."""
    method, alarm, threshold = (
        filled.choice("METHOD"),
        filled.number("FALSE_ALARM"),
        filled.number("THRESHOLD"),
    )
    model = "" if form.model == NO_MODEL else form.model
    if method in OF_MODELS and model:
        return replace(form, change=ChangeOptions(method, alarm, threshold))
    if method != BY_MODEL and model:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"A model is chosen, and the method is «{method}», which needs none.",
            f"Choose the method «{BY_MODEL}», or no model.",
        )
    if method != BY_MODEL:
        options = ChangeOptions(method, alarm, threshold)
        return replace(form, model=AUTO, change=options, classes=(CHANGED,))
    if not model:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The method is «{BY_MODEL}», and no model of two dates is chosen.",
            "Choose one, or a model or card from a file, or another method.",
        )
    if (alarm, threshold) != (None, None):
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "A model decides by itself what changed, and a share of unchanged pixels or a place "
            "where change begins is given.",
            "Leave both empty, or choose another method.",
        )
    return form


def _memory(filled: Filled) -> Optional[int]:
    memory = filled.number("MEMORY")
    return None if memory is None else int(memory)


def _source(layer: QgsRasterLayer) -> str:
    return raster_source(layer.providerType(), layer.source(), layer.name())
