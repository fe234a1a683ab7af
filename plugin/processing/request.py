"""What was filled into the form, turned into the engine's request."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from ...engine.contract.errors import EngineError, ErrorCode
from ...engine.contract.messages import (
    ChangeOptions,
    CloudRule,
    InputSpec,
    NamedInput,
    OutputSpec,
    PolygonOptions,
    Precision,
    Region,
    SegmentRequest,
)

SUN_PARAMETER = "sun_elevation"
RASTER_SUFFIXES = (".tif", ".tiff")
VECTOR_SUFFIXES = (".gpkg",)
REPORT_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class SegmentForm:
    """The parameters of the algorithms that run on rasters, as QGIS understood them."""

    source: str
    """The raster as GDAL opens it."""
    output: str = ""
    model: str = "auto"
    extent: Optional[Tuple[float, float, float, float]] = None
    """``(west, south, east, north)`` in the raster's CRS."""
    mask: Optional[str] = None
    profile: str = "auto"
    """With its parameters, as the engine reads it."""
    nodata: Optional[float] = None
    gsd: Optional[float] = None
    bands: Dict[str, str] = field(default_factory=dict)
    """By role."""
    date: Optional[str] = None
    """ISO 8601."""
    others: Tuple[NamedInput, ...] = ()
    """The model's further inputs; of two dates, the second."""
    change: Optional[ChangeOptions] = None
    """How two dates are compared without a model."""
    coregister: bool = False
    """Move the second date onto the first."""
    clouds: CloudRule = "ignore"
    """Of two dates: what becomes of clouds."""
    query: Optional[str] = None
    """A picture of what is looked for."""
    min_area: float = 0.0
    classes: Tuple[str, ...] = ()
    """Those whose polygons are wanted; none: all."""
    square: Tuple[str, ...] = ()
    """Those whose polygons get right angles."""
    device: str = "auto"
    precision: Precision = "exact"
    memory: Optional[int] = None
    """MiB."""
    vector: Optional[str] = None
    probability: Optional[str] = None
    report: Optional[str] = None


def segment_request(form: SegmentForm) -> SegmentRequest:
    """The request that the form describes; existing outputs are replaced, as Processing does.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE``.
    """
    for name, path, suffixes in _outputs(form):
        _refuse_other_formats(name, path, suffixes)
    _refuse_shared_files(form)
    return SegmentRequest(
        input=InputSpec(
            uris=(form.source,),
            profile=form.profile,
            bands=form.bands,
            nodata=form.nodata,
            gsd=form.gsd,
            date=form.date,
        ),
        output=OutputSpec(
            raster=absolute(form.output),
            vector=absolute(form.vector) if form.vector else None,
            probability=absolute(form.probability) if form.probability else None,
            report=absolute(form.report) if form.report else None,
            overwrite=True,
        ),
        model=form.model,
        others=form.others,
        change=form.change,
        coregister=form.coregister,
        clouds=form.clouds,
        query=absolute(form.query) if form.query else None,
        region=Region(bounds=form.extent, aoi=form.mask),
        device=form.device,
        precision=form.precision,
        memory=form.memory,
        polygons=PolygonOptions(min_area=form.min_area, square=form.square, classes=form.classes),
    )


def parse_bands(text: str) -> Dict[str, str]:
    """Bands by role out of ``red=3, nir=4``.

    Raises:
        EngineError: ``REQUEST_INVALID`` when a part is no ``ROLE=BAND``.
    """
    bands = {}
    for part in text.replace(";", ",").split(","):
        if not part.strip():
            continue
        role, _, band = (piece.strip() for piece in part.partition("="))
        if not role or not band:
            raise EngineError(
                ErrorCode.REQUEST_INVALID,
                f"«{part.strip()}» in Bands is not of the form ROLE=BAND.",
                "Write for instance: blue=2, green=3, red=4, nir=5.",
            )
        bands[role] = band
    return bands


def profile_text(profile: str, sun_elevation: Optional[float]) -> str:
    """The profile with its parameter, as the engine reads it.

    Raises:
        EngineError: ``PROFILE_PARAMETER`` when the sun's elevation has no profile to go with.
    """
    if sun_elevation is None:
        return profile
    if profile == "auto":
        raise EngineError(
            ErrorCode.PROFILE_PARAMETER,
            "The sun's elevation is only used by an input profile that needs it.",
            "Choose the input profile too, or leave the sun's elevation empty.",
        )
    return f"{profile}:{SUN_PARAMETER}={sun_elevation:.10g}"


def absolute(path: str) -> str:
    """A path that means the same in another process."""
    return path if path.startswith("/vsi") else os.path.abspath(path)  # noqa: PTH100 - keeps links


def raster_source(provider: str, source: str, name: str) -> str:
    """What the engine opens for a raster layer: a file, or a place on the network.

    Raises:
        EngineError: ``INPUT_UNREADABLE`` when the layer is not read from files.
    """
    if provider != "gdal":
        raise EngineError(
            ErrorCode.INPUT_UNREADABLE,
            f"The layer «{name}» comes from the provider «{provider}», not from a raster file.",
            "Save it as a GeoTIFF first (Export > Save As…), then use that layer.",
        )
    uri = re.split(r"\|(?:option|credential):", source, maxsplit=1)[0]
    if Path(uri).exists():
        return str(Path(uri).absolute())
    if uri.startswith("/vsi") or "://" in uri:
        return uri
    raise EngineError(
        ErrorCode.INPUT_UNREADABLE,
        f"The layer «{name}» is no file of its own: {uri}.",
        "Save it as a GeoTIFF first (Export > Save As…), then use that layer.",
    )


def vector_source(provider: str, source: str, name: str) -> str:
    """What the engine opens for a vector layer: ``FILE|layername=NAME``.

    Raises:
        EngineError: ``INPUT_UNREADABLE`` when the layer is not read from a file as it is.
    """
    path, *terms = source.split("|")
    kept = [term for term in terms if term.startswith(("layername=", "layerid="))]
    if provider != "ogr" or not Path(path).exists() or len(kept) != len(terms):
        raise EngineError(
            ErrorCode.INPUT_UNREADABLE,
            f"The layer «{name}» is no file of its own, or shows some of its features only.",
            "Save it as a GeoPackage first (Export > Save Features As…), then use that layer.",
        )
    return "|".join((str(Path(path).absolute()), *kept))


def _outputs(form: SegmentForm) -> List[Tuple[str, str, Tuple[str, ...]]]:
    """Name, path and allowed endings of each output that is asked for."""
    table = (
        ("result raster", form.output, RASTER_SUFFIXES),
        ("polygons", form.vector, VECTOR_SUFFIXES),
        ("class probabilities", form.probability, RASTER_SUFFIXES),
        ("report", form.report, REPORT_SUFFIXES),
    )
    return [(name, path, suffixes) for name, path, suffixes in table if path]


def _refuse_other_formats(name: str, path: str, suffixes: Tuple[str, ...]) -> None:
    if path.lower().endswith(suffixes):
        return
    raise EngineError(
        ErrorCode.OUTPUT_UNWRITABLE,
        f"The {name} cannot be written as {path}.",
        f"Choose a file that ends in {suffixes[0]}.",
    )


def _refuse_shared_files(form: SegmentForm) -> None:
    """Outputs replace what stands there, so none may be an input or another output."""
    seen = {_identity(uri): "a further raster" for other in form.others for uri in other.input.uris}
    seen[_identity(form.source)] = "the input raster"
    for name, path, _ in _outputs(form):
        other = seen.setdefault(_identity(path), f"the {name}")
        if other != f"the {name}":
            raise EngineError(
                ErrorCode.OUTPUT_UNWRITABLE,
                f"The output for the {name} is the same file as {other}: {path}.",
                "Choose another file.",
            )


def _identity(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))
