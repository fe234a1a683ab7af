"""Layers of polygons: opened, checked, and read where they are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.errors
import pyogrio.raw
import shapely

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import parse_crs
from engine.io.inputs import term_of

Shapes = npt.NDArray[np.object_]
Bounds = tuple[float, float, float, float]

PROBLEMS = (
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
    shapely.errors.ShapelyError,
    ValueError,
    OSError,
)


@dataclass(frozen=True)
class Features:
    """Some of a layer's polygons, in the file's order."""

    ids: npt.NDArray[np.int64]
    """Feature ids."""
    shapes: Shapes
    """Polygons and multipolygons as the file has them, two-dimensional; None where there is
    none."""
    fields: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: npt.NDArray[Any]) -> Features:
        """Some of them."""
        fields = {name: values[chosen] for name, values in self.fields.items()}
        return Features(self.ids[chosen], self.shapes[chosen], fields)


@dataclass(frozen=True)
class PolygonLayer:
    """A layer; it keeps no file open, and may be read from several threads."""

    file: str
    name: str
    crs: str | None
    """WKT or code; None where nobody knows."""
    fields: tuple[str, ...]
    count: int
    """Features."""

    @property
    def shown(self) -> str:
        """What messages call it."""
        file = Path(self.file)
        return f"«{file.name}»" if self.name == file.stem else f"«{self.name}» of «{file.name}»"

    def read(self, fields: tuple[str, ...] = (), bounds: Bounds | None = None) -> Features:
        """Features whose extent touches ``bounds`` (the layer's CRS); all of them when None.

        Raises:
            EngineError: ``INPUT_UNREADABLE``.
        """
        with _told(self.file):
            meta, ids, shapes, columns = pyogrio.raw.read(
                self.file,
                layer=self.name,
                columns=list(fields),
                bbox=bounds,
                return_fids=True,
                force_2d=True,
            )
            found = shapely.from_wkb(shapes, on_invalid="ignore")
        named = dict(zip(meta["fields"], columns, strict=True))
        order = np.argsort(ids, kind="stable")
        return Features(ids, found, {f: named[f] for f in fields}).take(order)

    def check_field(self, name: str | None) -> str:
        """The name of a field that the layer has.

        Raises:
            EngineError: ``FIELD_MISSING``.
        """
        if name is not None and name in self.fields:
            return name
        what = "a field with the classes" if name is None else f"«{name}»"
        raise EngineError(
            ErrorCode.FIELD_MISSING,
            f"The layer {self.shown} is to have {what}, and "
            + (f"its fields are {', '.join(self.fields)}." if self.fields else "it has no field."),
            "Name one of its fields, with --field NAME or as in FILE|layername=NAME|field=NAME.",
        )

    def check_crs(self, target: str | None) -> None:
        """Refuse a layer of which nobody knows where it lies on a map in ``target``.

        Raises:
            EngineError: ``CRS_MISSING``.
        """
        if self.crs is None and target is not None:
            raise EngineError(
                ErrorCode.CRS_MISSING,
                f"The layer {self.shown} does not tell its coordinate reference system.",
                "Give it the right one, for example with QGIS' Define projection tool.",
            )


def open_layer(reference: str) -> PolygonLayer:
    """Look at a layer of polygons.

    Args:
        reference: ``FILE``, ``FILE|layername=NAME`` or ``FILE|layerid=N``, as QGIS writes it.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``, ``LAYER_EMPTY`` for a layer without
            polygons.
    """
    layer, kind = find_layer(reference)
    _check_kind(layer, kind)
    return layer


def find_layer(reference: str) -> tuple[PolygonLayer, str]:
    """Look at a layer of any kind; and what its shapes are, in OGR's words.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``.
    """
    file = reference.partition("|")[0]
    if term_of(reference, "subset") is not None:
        raise _unreadable(
            file, "it is filtered in QGIS", "Save the features that count as a file of their own."
        )
    if not file.startswith("/vsi") and "://" not in file and not Path(file).is_file():
        raise EngineError(
            ErrorCode.INPUT_NOT_FOUND, f"There is no file «{file}».", "Check the path."
        )
    with _told(file):
        name = _layer_name(reference, [str(row[0]) for row in pyogrio.list_layers(file)])
        info = pyogrio.read_info(file, layer=name, force_feature_count=True)
    layer = PolygonLayer(
        file, name, _usable_crs(info["crs"]), tuple(map(str, info["fields"])), info["features"]
    )
    return layer, str(info["geometry_type"])


def polygons_of(shapes: Shapes) -> Shapes:
    """``[n]`` the valid area of each shape, for computing with; an empty polygon where none is."""
    found: Shapes = shapely.force_2d(shapes.copy())
    is_there = np.isin(shapely.get_type_id(found), (3, 6, 7))
    found[~is_there] = shapely.Polygon()
    odd = np.flatnonzero(~shapely.is_valid(found) | (shapely.get_type_id(found) == 7))  # noqa: PLR2004 - a collection
    for place, shape in zip(odd, shapely.make_valid(found[odd]), strict=True):
        pieces = shapely.get_parts(shapely.get_parts(shape))
        pieces = pieces[shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON]
        found[place] = shapely.union_all(pieces) if len(pieces) else shapely.Polygon()
    return found


def _layer_name(reference: str, layers: list[str]) -> str:
    file = reference.partition("|")[0]
    name, number = term_of(reference, "layername"), term_of(reference, "layerid") or "0"
    if name is None and number.isdecimal() and int(number) < len(layers):
        return layers[int(number)]
    if name is None or name not in layers:
        wanted = f"«{name}»" if name is not None else number
        held = f"It holds {', '.join(layers)}." if layers else "It holds none."
        raise _unreadable(file, f"it has no layer {wanted}", held)
    return name


def _check_kind(layer: PolygonLayer, kind: str) -> None:
    """Refuse what cannot hold an area."""
    if any(word in kind for word in ("Point", "Line")):
        what = "points" if "Point" in kind else "lines"
    elif kind == "None":
        what = "a table without geometry"
    elif not layer.count:
        what = "no feature"
    else:
        return
    raise no_polygons(layer, f"it holds {what}")


def no_polygons(layer: PolygonLayer, why: str) -> EngineError:
    """``LAYER_EMPTY`` with its reason."""
    return EngineError(
        ErrorCode.LAYER_EMPTY,
        f"The layer {layer.shown} has no polygons: {why}.",
        "Give a layer of polygons.",
    )


def _usable_crs(text: str | None) -> str | None:
    """GeoPackages call coordinates of unknown kind an engineering system."""
    if not text:
        return None
    try:
        return None if parse_crs(text).is_engineering else text
    except EngineError:
        return None


@contextlib.contextmanager
def _told(file: str) -> Iterator[None]:
    """What the library says as an error for people."""
    try:
        yield
    except PROBLEMS as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise _unreadable(file, reason, "Check that it opens in QGIS.") from None


def _unreadable(file: str, why: str, hint: str) -> EngineError:
    return EngineError(
        ErrorCode.INPUT_UNREADABLE, f"The layer «{Path(file).name}» cannot be read: {why}.", hint
    )
