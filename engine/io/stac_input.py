"""A STAC item as input: which of its assets are bands, and what it says of their numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from engine.contract.errors import EngineError, ErrorCode
from engine.io.product import Product, product_of_name
from engine.io.sensors import sensor_of_platform

_IMAGES = ("image/tiff", "image/jp2", "image/jpeg2000", "image/vnd.stac.geotiff", "image/jpeg")
_NO_DATA_ROLES = {
    "thumbnail",
    "overview",
    "visual",
    "metadata",
    "saturation",
    "cloud",
    "water-mask",
}


@dataclass(frozen=True)
class StacBand:
    """What an item says of one band."""

    name: str
    common_name: str
    scale: float | None
    offset: float | None
    nodata: float | None


@dataclass(frozen=True)
class StacInput:
    """A STAC item whose assets are on this machine."""

    files: Mapping[str, tuple[StacBand, ...]]
    """Bands by file; an empty tuple: the item does not list them."""
    product: Product
    notes: tuple[str, ...]


def is_stac_item(path: Path) -> bool:
    """Whether a file calls itself a STAC item."""
    if path.suffix.lower() not in {".json", ".geojson"}:
        return False
    try:
        with path.open(encoding="utf-8") as file:
            item = json.load(file)
    except (OSError, ValueError):
        return False
    return isinstance(item, dict) and item.get("type") == "Feature" and "stac_version" in item


def read_stac_item(path: Path) -> StacInput:
    """The bands of an item whose assets lie on this machine.

    Raises:
        EngineError: ``INPUT_NOT_FOUND`` when none of them does, ``INPUT_UNREADABLE``.
    """
    item = json.loads(path.read_text("utf-8"))
    properties = _mapping(item.get("properties"))
    assets = {key: _mapping(a) for key, a in _mapping(item.get("assets")).items()}
    chosen = {key: a for key, a in assets.items() if _is_band_asset(a)}
    found: dict[str, tuple[StacBand, ...]] = {}
    absent = []
    applied = _offset_is_applied(properties)
    for key, asset in chosen.items():
        uri = _local(str(asset.get("href", "")), path.parent)
        if uri is None:
            absent.append(key)
        else:
            found[uri] = _bands(key, asset, applied=applied)
    if not found:
        raise _nothing_here(path, absent)
    return StacInput(found, _product(path, item, properties), _notes(path, absent, applied=applied))


def _is_band_asset(asset: Mapping[str, Any]) -> bool:
    roles = {str(r) for r in asset.get("roles") or ()}
    if roles & _NO_DATA_ROLES:
        return False
    described = any(asset.get(key) for key in ("eo:bands", "raster:bands", "bands"))
    media = str(asset.get("type", "")).lower()
    return described or ("data" in roles and media.startswith(_IMAGES))


def _bands(key: str, asset: Mapping[str, Any], *, applied: bool) -> tuple[StacBand, ...]:
    lists = [list(asset.get(name) or ()) for name in ("bands", "eo:bands", "raster:bands")]
    count = max(map(len, lists))
    merged = [
        {k: v for entries in lists if i < len(entries) for k, v in _mapping(entries[i]).items()}
        for i in range(count)
    ]
    return tuple(_band(key if count == 1 else "", {**asset, **m}, applied=applied) for m in merged)


def _band(key: str, entry: Mapping[str, Any], *, applied: bool) -> StacBand:
    scale = _number(entry.get("raster:scale", entry.get("scale")))
    offset = _number(entry.get("raster:offset", entry.get("offset")))
    if applied and offset is not None:
        offset = 0.0
    return StacBand(
        name=str(entry.get("name") or key),
        common_name=str(entry.get("eo:common_name") or entry.get("common_name") or ""),
        scale=scale,
        offset=offset,
        nodata=_number(entry.get("raster:nodata", entry.get("nodata"))),
    )


def _offset_is_applied(properties: Mapping[str, Any]) -> bool:
    """Earth Search lists an offset that it has already taken from the pixels."""
    names = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
    return any(properties.get(name) is True for name in names)


def _product(path: Path, item: Mapping[str, Any], properties: Mapping[str, Any]) -> Product:
    platform = f"{properties.get('platform', '')} {properties.get('constellation', '')}"
    names = [str(item.get("id", "")), str(properties.get("s2:product_uri", ""))]
    told = next((p for p in map(product_of_name, names) if p.level), Product())
    baseline = properties.get("s2:processing_baseline", properties.get("processing:version"))
    collection = str(properties.get("landsat:collection_number", told.collection)).lstrip("0")
    return Product(
        sensor=sensor_of_platform(platform) or told.sensor,
        level=_level(item, properties) or told.level,
        baseline=None if _offset_is_applied(properties) else _baseline(baseline, told.baseline),
        collection=collection,
        sun_elevation=_number(properties.get("view:sun_elevation")),
        where=f"the STAC item «{path.name}»",
        acquired=properties.get("datetime") or told.acquired,
    )


def _level(item: Mapping[str, Any], properties: Mapping[str, Any]) -> int | None:
    words = " ".join(
        str(text)
        for text in (
            properties.get("processing:level", ""),
            properties.get("landsat:correction", ""),
            properties.get("s2:product_type", ""),
            item.get("collection", ""),
            item.get("id", ""),
        )
    ).lower()
    first = any(w in words for w in ("l1", "level-1", "msi1c"))
    second = any(w in words for w in ("l2", "level-2", "msi2a"))
    return None if first == second else 1 if first else 2


def _baseline(value: object, fallback: int | None) -> int | None:
    digits = str(value or "").lstrip("Nn").replace(".", "")
    return int(digits) if digits.isdigit() and len(digits) in {3, 4} else fallback


def _local(href: str, folder: Path) -> str | None:
    """The path of an asset on this machine; None when it is not there."""
    parts = urlsplit(href)
    if href.startswith("/vsi"):
        return href
    if parts.scheme == "file":
        path = Path(url2pathname(parts.path))
    elif "://" in href or not href:
        return None
    else:
        path = folder / href
    return str(path.absolute()) if path.is_file() else None


def _notes(path: Path, absent: Sequence[str], *, applied: bool) -> tuple[str, ...]:
    notes = []
    if absent:
        notes.append(f"Assets of «{path.name}» that are not on this machine: {', '.join(absent)}.")
    if applied:
        notes.append(f"«{path.name}» says that the offset has been taken from its pixels already.")
    return tuple(notes)


def _nothing_here(path: Path, absent: Sequence[str]) -> EngineError:
    which = f" ({', '.join(absent[:12])})" if absent else ""
    return EngineError(
        ErrorCode.INPUT_NOT_FOUND,
        f"No band asset{which} of the STAC item «{path.name}» is a file on this machine.",
        "Download the assets beside the item and let their hrefs point there.",
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    """A JSON number; STAC also writes ``"nan"`` and ``"inf"``."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
