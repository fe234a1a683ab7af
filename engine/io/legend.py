"""What a class raster says of its codes: names, colours, and when it shows the ground."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

from engine.contract.messages import ModelClass
from engine.io.handles import open_dataset
from engine.io.stac_input import is_stac_item

VALUE, NAME, RED, GREEN, BLUE = "5", "2", "6", "7", "8"
"""Usages of the columns of GDAL's attribute tables (``GDALRATFieldUsage``)."""
BLACK = "#000000"
"""What a colour table has for codes that nobody gave a colour."""
HIGHEST = 255
ACQUIRED = "acquisition"


@dataclass(frozen=True)
class Legend:
    """The codes of one raster."""

    classes: tuple[ModelClass, ...] = ()
    """By code; a name or colour that is not known is ""."""
    date: str | None = None
    """Of the scene that was classified, ISO 8601; None when nothing tells."""


def read_legend(uri: str, band: int = 1) -> Legend:
    """Look for a legend in a raster and beside it.

    Names are those of GDAL's attribute table or category names (``NAME.aux.xml``), else those of
    the STAC item ``NAME.json``; colours come from there too, else from the file's colour table.

    Args:
        uri: The raster.
        band: Its band of codes, from 1.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE`` for the raster itself; what lies
            beside it and cannot be understood counts as absent.
    """
    item = _item(Path(uri))
    told = _from_table(Path(f"{uri}.aux.xml"), band) or _from_item(item, uri)
    painted = _painted(uri, band)
    codes = sorted({*told, *painted})
    classes = []
    for code in codes:
        known = told.get(code, ModelClass(code, "", ""))
        color = known.color or painted.get(code, "")
        classes.append(ModelClass(code, known.name, color))
    return Legend(tuple(classes), _date(item))


def _painted(uri: str, band: int) -> dict[int, str]:
    """Colours of the colour table."""
    with open_dataset(uri) as dataset:
        try:
            table = dataset.colormap(band)
        except ValueError:  # it has none
            return {}
    colors = {code: "#{:02x}{:02x}{:02x}".format(*rgba) for code, rgba in table.items()}
    return {code: color for code, color in colors.items() if color != BLACK}


def _from_table(path: Path, band: int) -> dict[int, ModelClass]:
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - expat of today expands no bombs
    except (OSError, ET.ParseError):
        return {}
    for found in root.iter("PAMRasterBand"):
        if found.get("band") == str(band):
            return {c.id: c for c in _rows(found)} or {c.id: c for c in _categories(found)}
    return {}


def _rows(band: ET.Element) -> Iterator[ModelClass]:
    """Of the attribute table."""
    table = band.find("GDALRasterAttributeTable")
    if table is None:
        return
    usages = [column.findtext("Usage", "") for column in table.iter("FieldDefn")]
    for row in table.iter("Row"):
        fields = [field.text or "" for field in row.iter("F")]
        cells = dict(zip(usages, fields, strict=False))
        code = _whole(cells.get(VALUE))
        if code is not None:
            name = cells.get(NAME, "").strip()
            yield ModelClass(code, name, _color([cells.get(u) for u in (RED, GREEN, BLUE)]))


def _categories(band: ET.Element) -> Iterator[ModelClass]:
    """A list in which a name's place is its code."""
    for code, category in enumerate(band.iterfind("CategoryNames/Category")):
        name = (category.text or "").strip()
        if name:
            yield ModelClass(code, name, "")


def _item(raster: Path) -> dict[str, Any]:
    """The STAC item beside a raster; nothing where there is none."""
    path = raster.with_suffix(".json")
    if not is_stac_item(path):
        return {}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _from_item(item: dict[str, Any], uri: str) -> dict[int, ModelClass]:
    assets = item.get("assets")
    for asset in (assets if isinstance(assets, dict) else {}).values():
        if isinstance(asset, dict) and _file_name(asset) == PurePath(uri).name:
            members = asset.get("classification:classes") or ()
            return {c.id: c for c in map(_member, members) if c is not None}
    return {}


def _file_name(asset: dict[str, Any]) -> str:
    return PurePath(unquote(urlsplit(str(asset.get("href", ""))).path)).name


def _member(told: Any) -> ModelClass | None:
    if not isinstance(told, dict):
        return None
    code, hint = _whole(told.get("value")), str(told.get("color_hint", "")).lower()
    color = f"#{hint}" if len(hint) == len("rrggbb") else ""
    name = str(told.get("title") or told.get("name") or "")
    return None if code is None else ModelClass(code, name, color)


def _date(item: dict[str, Any]) -> str | None:
    """Swath's own items say which date theirs is."""
    properties = item.get("properties")
    told = properties if isinstance(properties, dict) else {}
    is_acquired = str(told.get("swath:datetime_is", ACQUIRED)).startswith(ACQUIRED)
    return str(told["datetime"]) if is_acquired and told.get("datetime") else None


def _whole(text: object) -> int | None:
    try:
        number = float(str(text))
    except ValueError:
        return None
    return int(number) if number.is_integer() and number >= 0 else None


def _color(parts: list[str | None]) -> str:
    numbers = [_whole(part) for part in parts]
    if any(n is None or n > HIGHEST for n in numbers):
        return ""
    return "#" + "".join(f"{n:02x}" for n in numbers)
