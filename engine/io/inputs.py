"""From what the user names to the files that it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from engine.contract.errors import EngineError, ErrorCode
from engine.io.handles import is_local, not_found
from engine.io.mtl import Mtl, is_mtl, read_mtl
from engine.io.product import Product
from engine.io.roles import file_label
from engine.io.stac_input import StacBand, is_stac_item, read_stac_item

RASTER_SUFFIXES = frozenset(
    {".tif", ".tiff", ".jp2", ".j2k", ".vrt", ".img", ".png", ".jpg", ".jpeg", ".webp", ".bil"}
)
"""Files that are taken from a folder."""
_LAYER_SUFFIXES = frozenset({".shp", ".geojson", ".fgb", ".kml", ".gml"})
_LAYER_TERMS = ("layername=", "layerid=", "field=")
"""What may stand behind a vector file's name, each after a bar."""
_SIDE_PRODUCT = re.compile(
    r"(?:^|[_.-])(?:B?QA|QA_\w+|SCL|TCI|PVI|AOT|WVP|CLD|CLDPRB|SNW|SNWPRB|CLASSI|DETFOO\w*|QUALIT"
    r"|MSK_\w+|S[AZ]A|V[AZ]A|SR_QA\w*|ST_\w+|SR_CLOUD_QA|SR_AEROSOL|thumb\w*|ql|preview)"
    r"(?:_\d+m)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Inputs:
    """The files of one scene and what came with them."""

    files: tuple[str, ...]
    kept: tuple[str, ...]
    """URIs that open the same scene again: no folder among them."""
    is_picked: bool = False
    """Whether files were picked from a folder, so that what does not fit may be left out."""
    mtl: Mtl | None = None
    product: Product | None = None
    """From a STAC item."""
    stac: Mapping[str, tuple[StacBand, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_layer(uri: str) -> bool:
    """Whether a name means polygons, not a raster."""
    file, _, rest = uri.partition("|")
    is_named = any(term.startswith(_LAYER_TERMS) for term in rest.split("|"))
    return is_named or Path(file).suffix.lower() in _LAYER_SUFFIXES


def term_of(uri: str, key: str) -> str | None:
    """What stands behind ``key=`` in ``FILE|key=value|…``."""
    terms = dict(term.partition("=")[::2] for term in uri.split("|")[1:])
    return terms.get(key)


def gather(uris: Sequence[str]) -> Inputs:
    """The files behind ``uris``: folders opened, STAC items and MTL files read.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``.
    """
    if not uris:
        raise EngineError(
            ErrorCode.INPUT_NOT_FOUND, "No input was given.", "Name a raster, a folder or a list."
        )
    named = [_absolute(uri) for uri in uris]
    for uri in named:
        if is_local(uri) and not Path(uri).exists():
            raise not_found(uri)
    items = [uri for uri in named if is_local(uri) and is_stac_item(Path(uri))]
    if items:
        return _of_item(items, named)
    return _of_files(named)


def _absolute(uri: str) -> str:
    if uri.startswith("file://"):
        uri = url2pathname(urlsplit(uri).path)
    if not is_local(uri):
        return uri
    path = Path(uri).absolute()
    is_safe = re.fullmatch(r"MTD_MSIL\w+\.xml", path.name) and path.exists()
    return str(path.parent if is_safe else path)


def _of_item(items: Sequence[str], named: Sequence[str]) -> Inputs:
    if len(named) > 1:
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            "A STAC item describes a whole scene and cannot be combined with other inputs.",
            "Give one STAC item alone, or the raster files themselves.",
        )
    item = read_stac_item(Path(items[0]))
    return Inputs(
        files=tuple(item.files),
        kept=tuple(items),
        product=item.product,
        stac=item.files,
        notes=item.notes,
    )


def _of_files(named: Sequence[str]) -> Inputs:
    folders = [uri for uri in named if is_local(uri) and Path(uri).is_dir()]
    listed = [f for uri in named for f in (_listing(Path(uri)) if uri in folders else [uri])]
    sheets = [uri for uri in listed if is_mtl(Path(uri).name)]
    rasters = [uri for uri in listed if uri not in sheets and not is_other_metadata(uri)]
    mtl = read_mtl(Path(sheets[0])) if len(sheets) == 1 else None
    is_picked = bool(folders)
    if not rasters and mtl:
        rasters, is_picked = [str(p) for p in mtl.files], True
    if not rasters:
        raise EngineError(
            ErrorCode.INPUT_NOT_FOUND,
            f"There is no raster in «{named[0]}».",
            f"Files looked for end with {', '.join(sorted(RASTER_SUFFIXES))}.",
        )
    rasters, left = _without_side_products(rasters) if is_picked else (rasters, [])
    files = tuple(dict.fromkeys(rasters))
    return Inputs(
        files, (*files, *(sheets if mtl else [])), is_picked, mtl, notes=tuple(_left_out(left))
    )


def is_other_metadata(uri: str) -> bool:
    """Whether a file beside a product's bands is a description of it, not a raster."""
    return is_local(uri) and re.search(r"(?:MTL|ANG|MTD_\w+)\.(?:xml|txt)$", uri) is not None


def _listing(folder: Path) -> list[str]:
    """Rasters and MTL files in a folder, in natural order; the bands of a Sentinel-2 product."""
    bands = sorted(folder.glob("GRANULE/*/IMG_DATA/**/*.jp2"), key=_natural)
    found = bands or sorted(folder.iterdir(), key=_natural)
    return [
        str(p)
        for p in found
        if p.is_file() and (p.suffix.lower() in RASTER_SUFFIXES or is_mtl(p.name))
    ]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key: ``B2`` before ``B10``."""
    parts = re.split(r"(\d+)", str(path).lower())
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts]


def _without_side_products(files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Files of bands, and those left out: quality masks, previews, files without a band's name."""
    side = [f for f in files if _SIDE_PRODUCT.search(Path(f).stem)]
    rest = [f for f in files if f not in side]
    if not rest:
        return list(files), []
    bands = [f for f in rest if file_label(Path(f).name)]
    if len(bands) > 1:
        side += [f for f in rest if f not in bands]
        rest = bands
    return rest, side


def _left_out(files: Iterable[str]) -> list[str]:
    names = [Path(f).name for f in files]
    if not names:
        return []
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""  # noqa: PLR2004 - a line's worth
    return [f"Left out of the folder, as they are no bands: {', '.join(names[:6])}{more}."]
