"""Polygons into a GeoPackage that brings its own style."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.errors
import pyogrio.raw
import shapely

from engine.contract.errors import EngineError
from engine.io.staging import disk_full, free_bytes, unwritable

_GEOMETRY = "geom"
_STYLE_TABLE = "layer_styles"
_BATCH = 10_000
"""Polygons a transaction: each one costs about as much as a thousand polygons."""
_DATE = "2000-01-01T00:00:00.000Z"
"""GeoPackage demands dates; a fixed one, so that equal runs give equal bytes."""
_SETTINGS = {"OGR_CURRENT_DATE": _DATE, "OGR_SQLITE_SYNCHRONOUS": "OFF"}
"""No wait for the disk after every batch: staging flushes the finished file before its rename."""
_UTC = 100
"""GDAL's number for that time zone."""
_VERSION = "1.3"
"""GeoPackage 1.4 makes the GDAL of QGIS 3.22 warn, and brings nothing that is used here."""
_RESERVE = 2**24
"""Less free space than this after a failed write means that the disk was full."""


@dataclass(frozen=True)
class PolygonBatch:
    """Some of the polygons of a layer."""

    geometry: npt.NDArray[np.object_]
    """``[n]`` shapely polygons in the layer's CRS."""
    fields: dict[str, npt.NDArray[Any]]
    """``[n]`` values for every field of the layout."""


@dataclass(frozen=True)
class VectorLayout:
    """A layer of polygons."""

    layer: str
    crs: str | None
    """WKT; None: an undefined Cartesian system (pixel coordinates)."""
    fields: dict[str, str]
    """numpy type by name, ``str`` for text; in the order of the table's columns."""
    style_qml: str
    """The layer's default style in QGIS."""
    description: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    """Kept with the layer; equal runs give equal bytes only while there is no date in it."""
    geometry: str = "Polygon"
    """Or ``MultiPolygon``, to which polygons are promoted."""


def class_fields(area: str = "area_m2") -> dict[str, str]:
    """Fields of a layer of classes; ``area`` names the area's field, and so its unit."""
    return {"class_id": "int32", "class_name": "str", area: "float64", "confidence": "float32"}


def write_polygons(path: Path, layout: VectorLayout, batches: Iterable[PolygonBatch]) -> int:
    """Write one layer with a spatial index and a stored default style.

    Args:
        path: File to write, on a staging path.
        layout: The layer; it is there with all its fields even when no polygon comes.
        batches: Polygons in the order of their feature ids; they need not fit into memory.

    Returns:
        Number of polygons.

    Raises:
        EngineError: ``DISK_FULL`` or ``OUTPUT_UNWRITABLE``; no file is left then.
    """
    path.unlink(missing_ok=True)
    try:
        with _write_errors(path), _environment():
            count = _write_layer(path, layout, batches)
            _write_style(path, layout)
            _check_whole(path, layout.layer, count)
    except BaseException:
        for leftover in (path, path.with_name(path.name + "-journal")):
            leftover.unlink(missing_ok=True)
        raise
    return count


class _IncompleteFileError(Exception):
    """GDAL said nothing, yet polygons are missing in the file."""


@contextlib.contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    problems = (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        sqlite3.Error,
        _IncompleteFileError,
    )
    try:
        yield
    except problems as error:
        raise _explain(error, path) from error


def _explain(error: Exception, path: Path) -> EngineError:
    """SQLite gives back the space of a failed transaction, so little free space is enough."""
    is_full = "full" in str(error) or free_bytes(path) < _RESERVE
    return disk_full(path) if is_full else unwritable(path, f"GDAL says «{error}»")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    pyogrio.set_gdal_config_options(_SETTINGS)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            yield
    finally:
        pyogrio.set_gdal_config_options(dict.fromkeys(_SETTINGS))


def _write_layer(path: Path, layout: VectorLayout, batches: Iterable[PolygonBatch]) -> int:
    """The layer, empty at first: so it has its fields and options whatever comes."""
    _write(path, layout, PolygonBatch(np.empty(0, object), _no_rows(layout)), is_first=True)
    count = 0
    for batch in _joined(batches):
        _write(path, layout, batch, is_first=False)
        count += len(batch.geometry)
    return count


def _no_rows(layout: VectorLayout) -> dict[str, npt.NDArray[Any]]:
    return {name: np.empty(0, _dtype(kind)) for name, kind in layout.fields.items()}


def _dtype(kind: str) -> np.dtype[Any]:
    return np.dtype(object if kind == "str" else kind)


def _joined(batches: Iterable[PolygonBatch]) -> Iterator[PolygonBatch]:
    """The same polygons in batches that are worth a transaction."""
    waiting: list[PolygonBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch.geometry)
        if count >= _BATCH:
            yield _concatenated(waiting)
            waiting, count = [], 0
    if count:
        yield _concatenated(waiting)


def _concatenated(batches: list[PolygonBatch]) -> PolygonBatch:
    fields = {n: np.concatenate([b.fields[n] for b in batches]) for n in batches[0].fields}
    return PolygonBatch(np.concatenate([b.geometry for b in batches]), fields)


def _write(path: Path, layout: VectorLayout, batch: PolygonBatch, *, is_first: bool) -> None:
    options = _creation_options(layout) if is_first else {}
    columns = [batch.fields[n].astype(_dtype(k)) for n, k in layout.fields.items()]
    pyogrio.raw.write(
        path,
        shapely.to_wkb(batch.geometry),
        field_data=columns,
        fields=np.array(list(layout.fields), object),
        layer=layout.layer,
        driver="GPKG",
        geometry_type=layout.geometry,
        promote_to_multi=layout.geometry == "MultiPolygon",
        crs=layout.crs,
        append=not is_first,
        **options,
    )


def _creation_options(layout: VectorLayout) -> dict[str, Any]:
    options = {"GEOMETRY_NAME": _GEOMETRY, "IDENTIFIER": layout.layer}
    options["DESCRIPTION"] = layout.description
    if layout.crs is None:
        options["SRID"] = "-1"
    return {
        "dataset_options": {"VERSION": _VERSION},
        "layer_options": options,
        "layer_metadata": layout.metadata or None,
    }


def _write_style(path: Path, layout: VectorLayout) -> None:
    """The table in which QGIS looks for the styles of a database's layers."""
    values = {
        "f_table_catalog": "",
        "f_table_schema": "",
        "f_table_name": layout.layer,
        "f_geometry_column": _GEOMETRY,
        "styleName": layout.layer,
        "styleQML": layout.style_qml,
        "styleSLD": "",
        "useAsDefault": True,
        "description": layout.description,
        "owner": "",
        "ui": None,
        "update_time": np.datetime64(_DATE.rstrip("Z"), "ms"),
    }
    pyogrio.raw.write(
        path,
        None,
        field_data=[_single(value) for value in values.values()],
        fields=np.array(list(values), object),
        layer=_STYLE_TABLE,
        driver="GPKG",
        geometry_type=None,
        append=True,
        gdal_tz_offsets={"update_time": _single(_UTC)},
        layer_options={"FID": "id"},
    )


def _single(value: object) -> npt.NDArray[Any]:
    return np.array([value], object if isinstance(value, str | None) else None)


def _check_whole(path: Path, layer: str, count: int) -> None:
    """Refuse a file that lost polygons, for instance when closing it found the disk full."""
    table = layer.replace('"', '""')
    query = f'SELECT count(*) FROM "{table}"'  # noqa: S608 - quoted above
    with contextlib.closing(sqlite3.connect(path)) as database:
        found = database.execute(query).fetchone()[0]
    if found != count:
        raise _IncompleteFileError(f"{found} of {count} polygons are in {path.name}")
