"""A STAC item beside the results: what they are, and how they came to be."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from engine.contract.messages import ClassArea, ModelClass
from engine.geo.crs import parse_crs
from engine.geo.grid import Grid
from engine.io.cog import RasterLayout
from engine.io.footprint import footprint
from engine.io.staging import os_errors_translated, write_text

_VERSION = "1.1.0"
_EXTENSIONS = (
    "projection/v2.0.0",
    "raster/v2.0.0",
    "classification/v2.0.0",
    "file/v2.1.0",
    "processing/v1.2.0",
)
_HASHED_UP_TO = 64 * 2**20
"""Inputs below this size are named by their hash too, bytes."""
_SHA256_MULTIHASH = "1220"
"""Multihash prefix: SHA2-256, 32 bytes."""


@dataclass(frozen=True)
class InputRecord:
    """A file that was read, so that it can be recognised later."""

    uri: str
    size: int | None = None
    """Bytes; None when it is no local file."""
    modified: str | None = None
    """UTC, ISO 8601."""
    sha256: str | None = None
    """Of files below 64 MiB."""


@dataclass(frozen=True)
class Provenance:
    """All that decided what the result is."""

    title: str
    model_id: str
    model_version: str
    model_sha256: str
    model_source: str
    """Where the model's bytes came from."""
    model_license: str
    plan_digest: str
    inputs: tuple[InputRecord, ...]
    profile: str
    """Input profile with its parameters."""
    scaling: str
    """The sentence that tells how stored numbers became physical ones."""
    device: str
    """Really used."""
    engine_version: str
    created: str
    """Of the run: UTC, ISO 8601."""
    acquired: str | None = None
    """Of the scene: UTC, ISO 8601; None when unknown."""
    software: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries that compute, by name."""
    options: dict[str, Any] = field(default_factory=dict)
    """The request, as plain JSON values."""
    notes: tuple[str, ...] = ()
    """Sentences that the user was told."""


@dataclass(frozen=True)
class ItemAsset:
    """One file of the result."""

    key: str
    path: Path
    """Final name."""
    written: Path
    """Where the bytes are now: the staging path until the commit."""
    media_type: str
    title: str
    roles: tuple[str, ...]
    layout: RasterLayout | None = None
    """For rasters."""
    classes: tuple[ModelClass, ...] = ()
    """For vectors with classes; a class raster's layout has its own."""


def record_input(uri: str) -> InputRecord:
    """What can be known of an input without reading large files."""
    path = Path(uri.partition("|")[0])  # of a layer, its file
    if not path.is_file():
        return InputRecord(uri)
    with os_errors_translated(path):
        status = path.stat()
        digest = _sha256(path) if status.st_size < _HASHED_UP_TO else None
    modified = datetime.fromtimestamp(int(status.st_mtime), UTC).isoformat()
    return InputRecord(uri, status.st_size, modified.replace("+00:00", "Z"), digest)


def stac_item(
    path: Path,
    grid: Grid,
    provenance: Provenance,
    assets: Sequence[ItemAsset],
    areas: Sequence[ClassArea] = (),
) -> dict[str, Any]:
    """A STAC 1.1.0 item; without georeference it has no geometry.

    Args:
        path: Final name of the item's file: gives its id, and what ``href`` are relative to.
        grid: Pixels of the rasters among the assets.
        provenance: How the result came to be.
        assets: Files of the result, written already: their size and hash are taken.
        areas: The table of areas.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE`` when an asset cannot be read back.
    """
    return {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": [_schema(name) for name in _EXTENSIONS],
        "id": path.stem,
        **_place(grid),
        "properties": {
            **_properties(grid, provenance),
            "swath:areas": [asdict(area) for area in areas],
        },
        "links": [_derived_from(record.uri) for record in provenance.inputs],
        "assets": {asset.key: _asset(asset, path.parent, grid) for asset in assets},
    }


def write_stac_item(path: Path, item: dict[str, Any]) -> None:
    """Write an item as JSON.

    Raises:
        EngineError: ``DISK_FULL``, ``OUTPUT_UNWRITABLE``.
    """
    write_text(path, json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _schema(name: str) -> str:
    return f"https://stac-extensions.github.io/{name}/schema.json"


def _place(grid: Grid) -> dict[str, Any]:
    if grid.crs is None:
        return {"geometry": None}
    geometry, bbox = footprint(grid.crs, grid.bounds)
    return {"geometry": geometry, "bbox": bbox}


def _properties(grid: Grid, provenance: Provenance) -> dict[str, Any]:
    return {
        "title": provenance.title,
        **_times(provenance),
        **_projection(grid),
        "processing:lineage": _lineage(provenance),
        "processing:software": {"swath": provenance.engine_version, **provenance.software},
        "swath:model": {
            "id": provenance.model_id,
            "version": provenance.model_version,
            "sha256": provenance.model_sha256,
            "source": provenance.model_source,
            "license": provenance.model_license,
        },
        "swath:plan_digest": provenance.plan_digest,
        "swath:inputs": [asdict(record) for record in provenance.inputs],
        "swath:profile": provenance.profile,
        "swath:scaling": provenance.scaling,
        "swath:device": provenance.device,
        "swath:options": provenance.options,
        "swath:notes": list(provenance.notes),
    }


def _times(provenance: Provenance) -> dict[str, str]:
    """STAC demands a date; which one it is must be said."""
    is_known = provenance.acquired is not None
    return {
        "datetime": provenance.acquired or provenance.created,
        "swath:datetime_is": "acquisition of the scene"
        if is_known
        else "date of processing, since the scene does not tell when it was acquired",
        "created": provenance.created,
        "processing:datetime": provenance.created,
    }


def _projection(grid: Grid) -> dict[str, Any]:
    terms = [float(v) for v in grid.transform[:6]]
    found: dict[str, Any] = {"proj:shape": list(grid.shape), "proj:transform": terms}
    if grid.crs is None:
        return {"proj:code": None, **found}
    crs = parse_crs(grid.crs)
    authority = crs.to_authority()
    code = ":".join(authority) if authority else None
    bounds = [float(v) for v in grid.bounds]
    return {"proj:code": code, "proj:wkt2": crs.to_wkt(), "proj:bbox": bounds, **found}


def _lineage(provenance: Provenance) -> str:
    names = ", ".join(Path(record.uri).name for record in provenance.inputs)
    model = f"{provenance.model_id} {provenance.model_version}".strip()
    return f"Computed by Swath from {names} with the model {model}. {provenance.scaling}".strip()


def _derived_from(uri: str) -> dict[str, str]:
    path = Path(uri)
    is_local = path.is_absolute() and path.exists()
    return {"rel": "derived_from", "href": path.as_uri() if is_local else uri}


def _asset(asset: ItemAsset, folder: Path, grid: Grid) -> dict[str, Any]:
    with os_errors_translated(asset.path):
        size, digest = asset.written.stat().st_size, _sha256(asset.written)
    found: dict[str, Any] = {
        "href": _href(asset.path, folder),
        "type": asset.media_type,
        "title": asset.title,
        "roles": list(asset.roles),
        "file:size": size,
        "file:checksum": _SHA256_MULTIHASH + digest,
    }
    if asset.layout is not None:
        found |= _raster(asset.layout, grid)
    classes = asset.classes or (asset.layout.classes if asset.layout else ())
    if classes:
        found["classification:classes"] = [_class(c) for c in classes]
    return found


def _href(path: Path, folder: Path) -> str:
    """Relative, so that a folder can be moved; absolute when the disks differ."""
    try:
        relative = Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_uri()
    return quote(relative if relative.startswith("../") else f"./{relative}")


def _raster(layout: RasterLayout, grid: Grid) -> dict[str, Any]:
    common: dict[str, Any] = {"data_type": layout.dtype}
    if layout.nodata is not None:
        common["nodata"] = "nan" if math.isnan(layout.nodata) else layout.nodata
    if layout.scale is not None:
        common["raster:scale"] = layout.scale
    if layout.offset is not None:
        common["raster:offset"] = layout.offset
    named = zip(layout.descriptions, layout.band_units, strict=True)
    found: dict[str, Any] = {
        "bands": [{"name": n, **common, **({"unit": u} if u else {})} for n, u in named]
    }
    if grid.pixel_size_m is not None:
        found["raster:spatial_resolution"] = round(math.prod(grid.pixel_size_m) ** 0.5, 6)
    return found


def _class(item: ModelClass) -> dict[str, Any]:
    """The name for machines is made of the few characters that the extension allows."""
    allowed = "".join(c if c.isascii() and c.isalnum() else "-" for c in item.name.lower())
    return {
        "value": item.id,
        "name": allowed.strip("-") or f"class-{item.id}",
        "title": item.name,
        "color_hint": item.color.lstrip("#").upper(),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
