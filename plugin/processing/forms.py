"""The forms of the algorithms, read in the GUI thread."""

from dataclasses import replace

from qgis.core import QgsRasterLayer
from qgis.PyQt.QtCore import Qt

from ...engine.contract.errors import EngineError, ErrorCode
from .filled import Filled
from .further import FurtherLayers, further_inputs
from .parameters import AUTO
from .request import SegmentForm, parse_bands, profile_text, raster_source


def segment_form(filled: Filled, layer: QgsRasterLayer) -> SegmentForm:
    """What ``swath:segment`` and ``swath:apply`` have in common.

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
    memory = filled.number("MEMORY")
    return replace(
        form,
        date=filled.text("DATE") or layer_date(layer) or None,
        others=further_inputs(further, form.profile),
        query=filled.file("QUERY") or None,
        memory=None if memory is None else int(memory),
    )


def layer_date(layer: QgsRasterLayer) -> str:
    """When a layer's temporal properties say that it was acquired, ISO 8601; "" if they do not."""
    times = layer.temporalProperties()
    begin = times.fixedTemporalRange().begin()
    known = times.isActive() and begin.isValid()
    return begin.date().toString(Qt.DateFormat.ISODate) if known else ""


def _source(layer: QgsRasterLayer) -> str:
    return raster_source(layer.providerType(), layer.source(), layer.name())
