"""QGIS layer styles (QML) for results; read by QGIS 3.22 and newer.

Written without QGIS: only the elements that differ from a new layer's style, in the form that
QGIS 3.22 writes and later versions still read.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Mapping, Sequence

from engine.contract.messages import ModelClass

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_VERSION = "3.22.0"
RAMP = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
"""Viridis: even steps for the eye, also without colour vision."""
_FILL_ALPHA = 110
_FAINT_ALPHA = 60
_OUTLINE_SHADE = 0.6
_OUTLINE_WIDTH = "0.2"


def raster_qml(
    classes: Sequence[ModelClass], faint: Collection[int] = (), unseen: Collection[int] = ()
) -> str:
    """Style of a class raster: each class in its colour, under its name; nodata transparent.

    Args:
        classes: The legend.
        faint: Codes of classes through which other layers show.
        unseen: Codes of classes that the legend has and the map leaves transparent.
    """
    alpha = dict.fromkeys(faint, _FAINT_ALPHA) | dict.fromkeys(unseen, 0)
    root, renderer = _raster_style("paletted", band=1)
    palette = ET.SubElement(renderer, "colorPalette")
    for item in classes:
        ET.SubElement(
            palette,
            "paletteEntry",
            {"value": str(item.id), "label": item.name, "color": item.color}
            | {"alpha": str(alpha.get(item.id, 255))},
        )
    return _text(root)


def probability_qml(band: int = 1) -> str:
    """Style of a raster of probabilities 0..1 (scaled values): one band as a colour ramp.

    Args:
        band: 1-based band to show first; the others are chosen in the layer's properties.
    """
    return _ramped(band, (0.0, 1.0), lambda value: f"{value:.2f}")


def values_qml(span: tuple[float, float], unit: str = "", band: int = 1) -> str:
    """Style of a raster of continuous values: one band as a colour ramp.

    Args:
        span: Values at the ends of the ramp.
        unit: What follows a number in the legend.
        band: 1-based band to show first.
    """
    return _ramped(band, span, lambda value: f"{value:.4g}{unit}")


def _ramped(band: int, span: tuple[float, float], label: Callable[[float], str]) -> str:
    root, renderer = _raster_style("singlebandpseudocolor", band)
    low, high = span
    ends = {"classificationMin": f"{low:.9g}", "classificationMax": f"{high:.9g}"}
    renderer.attrib.update(ends)
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"),
        "colorrampshader",
        {"minimumValue": f"{low:.9g}", "maximumValue": f"{high:.9g}"}
        | {"colorRampType": "INTERPOLATED"}
        | {"classificationMode": "2", "clip": "0", "labelPrecision": "2"},
    )
    shares = [(i / (len(RAMP) - 1), color) for i, color in enumerate(RAMP)]
    shader.append(_color_ramp(shares))
    for share, color in shares:
        value = low + share * (high - low)
        shown = {"value": f"{value:.9g}", "label": label(value), "color": color, "alpha": "255"}
        ET.SubElement(shader, "item", shown)
    return _text(root)


def polygon_qml(classes: Sequence[ModelClass]) -> str:
    """Style of a polygon layer: categories by the field ``class_id``, see-through fills."""
    entries = [(str(item.id), item.name, item.color) for item in classes]
    return _categorized("class_id", "long", entries)


def status_qml(colors: Mapping[str, str]) -> str:
    """Style of a polygon layer: categories by the text in the field ``status``."""
    return _categorized("status", "string", [(name, name, c) for name, c in colors.items()])


def point_qml(color: str = "#ffd92f") -> str:
    """Style of a layer of points: one bright mark that shows on any image."""
    root = ET.Element("qgis", version=_VERSION, styleCategories="Symbology")
    head = {"type": "singleSymbol", "symbollevels": "0", "forceraster": "0"}
    renderer = ET.SubElement(root, "renderer-v2", head | {"enableorderby": "0"})
    symbols = ET.SubElement(renderer, "symbols")
    attributes = {"type": "marker", "name": "0", "alpha": "1", "force_rhr": "0"}
    symbol = ET.SubElement(symbols, "symbol", attributes | {"clip_to_extent": "1"})
    mark = ET.SubElement(symbol, "layer", {"class": "SimpleMarker", "enabled": "1", "pass": "0"})
    look = {"name": "cross2", "color": _rgba(color), "outline_color": _rgba(color)}
    mark.append(_options(look | {"outline_width": "0.6", "size": "3", "size_unit": "MM"}))
    ET.SubElement(root, "layerGeometryType").text = "0"
    return _text(root)


def _categorized(field: str, kind: str, entries: Sequence[tuple[str, str, str]]) -> str:
    """Value, label and colour of each category."""
    root = ET.Element("qgis", version=_VERSION, styleCategories="Symbology")
    renderer = ET.SubElement(
        root,
        "renderer-v2",
        {"type": "categorizedSymbol", "attr": field, "symbollevels": "0"}
        | {"forceraster": "0", "enableorderby": "0", "referencescale": "-1"},
    )
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    for index, (value, label, color) in enumerate(entries):
        entry = {"value": value, "label": label, "symbol": str(index), "type": kind}
        ET.SubElement(categories, "category", entry | {"render": "true"})
        symbols.append(_fill_symbol(str(index), color))
    ET.SubElement(root, "blendMode").text = "0"
    ET.SubElement(root, "layerGeometryType").text = "2"
    return _text(root)


def _raster_style(kind: str, band: int) -> tuple[ET.Element, ET.Element]:
    """The document of a raster's style and its renderer."""
    root = ET.Element("qgis", version=_VERSION, styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe,
        "rasterrenderer",
        {"type": kind, "band": str(band), "opacity": "1", "alphaBand": "-1", "nodataColor": ""},
    )
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ET.SubElement(root, "blendMode").text = "0"
    return root, renderer


def _color_ramp(steps: Sequence[tuple[float, str]]) -> ET.Element:
    """The ramp that the legend draws as one continuous bar."""
    stops = ":".join(f"{value:g};{_rgba(color)}" for value, color in steps[1:-1])
    ramp = ET.Element("colorramp", type="gradient", name="[source]")
    ends = {"color1": _rgba(steps[0][1]), "color2": _rgba(steps[-1][1])}
    ramp.append(_options(ends | {"discrete": "0", "rampType": "gradient", "stops": stops}))
    return ramp


def _fill_symbol(name: str, color: str) -> ET.Element:
    attributes = {"type": "fill", "name": name, "alpha": "1", "force_rhr": "0"}
    symbol = ET.Element("symbol", attributes | {"clip_to_extent": "1"})
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0"})
    look = {
        "color": _rgba(color, alpha=_FILL_ALPHA),
        "style": "solid",
        "outline_color": _rgba(color, shade=_OUTLINE_SHADE),
        "outline_style": "solid",
        "outline_width": _OUTLINE_WIDTH,
        "outline_width_unit": "MM",
        "joinstyle": "bevel",
    }
    layer.append(_options(look))
    return symbol


def _options(values: Mapping[str, str]) -> ET.Element:
    options = ET.Element("Option", type="Map")
    for name, value in values.items():
        ET.SubElement(options, "Option", type="QString", name=name, value=value)
    return options


def _rgba(color: str, *, alpha: int = 255, shade: float = 1.0) -> str:
    red, green, blue = (round(v * shade) for v in bytes.fromhex(color.lstrip("#")))
    return f"{red},{green},{blue},{alpha}"


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return _DOCTYPE + ET.tostring(root, encoding="unicode") + "\n"
