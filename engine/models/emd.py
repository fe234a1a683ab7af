"""Esri model definitions: JSON files (.emd) that say how ArcGIS runs a network beside them.

Read are the keys that Esri's documentation and its arcgis.learn library write. A package (.dlpk) is
a zip archive of a definition, its network and Python code; that code is never run.
"""

from __future__ import annotations

import json
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.crs import parse_crs
from engine.models.archive import BROKEN
from engine.models.card import Transform
from engine.models.known import TOLERANCE, Known
from engine.models.node import Node
from engine.models.subject import FILE_FORMATS, Subject, readable

FORMATS = {suffix: kind for suffix, kind in FILE_FORMATS.items() if kind != "safetensors"}
"""Networks that a definition may name."""
LABELS = ("imageclassification", "objectclassification")
"""Kinds of models that run: a class for each pixel, or for each picture."""
LARGEST = 1_000_000
"""Bytes of a definition."""
LARGEST_NETWORK = 2**31
"""Bytes of a packed network."""
MOST_MEMBERS = 10_000
BAND_WORDS = {"r": "red", "g": "green", "b": "blue", "n": "nir", "nearinfrared": "nir"} | {
    name: name for name in ("red", "green", "blue", "nir")
}
"""Names of bands that mean the same everywhere."""
LARGEST_CLASS = 254
"""255 is nodata."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a definition says, and the network that it names."""

    subject: Subject
    network: Path | None
    """Where the network lies; None: inside a package."""
    known: Known


def read_definition(path: Path) -> Definition:
    """The definition in an ``.emd`` or ``.dlpk`` file.

    Raises:
        EngineError: ``MODEL_INVALID`` for what is no definition, or leads out of its folder;
            ``MODEL_UNSUITABLE`` for kinds of models and networks that do not run;
            ``MODEL_NOT_FOUND`` when the network is not there.
    """
    if path.suffix.lower() == ".dlpk":
        return _packed(path)
    with readable(path):
        if path.stat().st_size > LARGEST:
            raise _broken(path.name, "it is too large")
        node = _parsed(path.read_bytes(), path.name)
    known, place = _known(node), _network(node)
    file = path.parent.joinpath(*place.parts)
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise _broken(path.name, f"its network {place} lies outside its folder")
    if not file.is_file():
        raise EngineError(
            ErrorCode.MODEL_NOT_FOUND,
            f"The network of {path.name}, {place}, is not beside it.",
            "Put the whole folder of the model in one place.",
        )
    with readable(file):
        content = file.read_bytes()
    subject = Subject(file.name, content, FORMATS[place.suffix.lower()], file.parent)
    return Definition(subject, file, known)


def _packed(path: Path) -> Definition:
    """From a package, of which two files are read."""
    try:
        with readable(path), zipfile.ZipFile(path) as archive:
            members = {e.filename.replace("\\", "/"): e for e in archive.infolist()}
            found = [name for name in members if name.lower().endswith(".emd")]
            if len(found) != 1 or len(members) > MOST_MEMBERS:
                raise _broken(path.name, f"it holds {len(found)} definitions (.emd), not one")
            node = _parsed(_member(archive, members[found[0]], LARGEST, path), found[0])
            known, place = _known(node), _network(node)
            inside = str(PurePosixPath(found[0]).parent / place)
            if inside not in members:
                raise _broken(path.name, f"its network {place} is not in it")
            content = _member(archive, members[inside], LARGEST_NETWORK, path)
    except BROKEN as error:
        raise _broken(path.name, f"it is a damaged package ({error})") from error
    subject = Subject(place.name, content, FORMATS[place.suffix.lower()], path.parent)
    return Definition(subject, None, known)


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int, path: Path) -> bytes:
    """One file of a package, no larger than it says and may be."""
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if is_link or entry.file_size > most:
        raise _broken(path.name, f"{entry.filename[:60]} in it is too large or no file")
    with archive.open(entry) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise _broken(path.name, f"{entry.filename[:60]} in it is too large")
    return content


def _parsed(content: bytes, name: str) -> Node:
    try:
        return Node(json.loads(content), "$", name, "model definition")
    except (ValueError, RecursionError) as error:
        raise _broken(name, str(error)) from error


def _network(node: Node) -> PurePosixPath:
    """The network's path below the definition."""
    text = node["ModelFile"].text()
    place = PurePosixPath(text.replace("\\", "/"))
    is_outside = place.is_absolute() or PureWindowsPath(text).drive or ".." in place.parts
    if is_outside or not place.name or "\0" in text:
        node["ModelFile"].refuse("a file in the definition's own folder")
    if place.suffix.lower() not in FORMATS:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"The network of {node.origin}, {place.name}, is a training program's own file; "
            "loading it would run the code that it brings along.",
            "Export the network as ONNX or TorchScript, and name that file as ModelFile.",
        )
    return place


def _known(node: Node) -> Known:
    kind = node["ModelType"].text()
    word = kind.replace(" ", "").lower()
    if word not in LABELS:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"{node.origin} is of the type {kind[:40]}; of Esri's models Swath runs those that "
            "give classes to pixels (ImageClassification) or pictures (ObjectClassification).",
            "Use another model.",
        )
    extract = _extract(node)
    width = _size(node, "ImageWidth")
    if width != _size(node, "ImageHeight"):
        node["ImageWidth"].refuse("as many pixels as ImageHeight")
    gsd_range = _cells(node)
    numbers = _numbers(node, extract)
    varies = "SupportsVariableTileSize" in node and node["SupportsVariableTileSize"].flag()
    known = Known(
        title=node["ModelName"].text() if node["ModelName"].value else None,
        bands=_bands(node, extract),
        channels=len(extract) or None,
        gsd=None if gsd_range is None else (gsd_range[0] * gsd_range[1]) ** 0.5,
        gsd_range=gsd_range and (gsd_range[0] / TOLERANCE, gsd_range[1] * TOLERANCE),
        tile=width,
        is_fixed=None if varies or width is None else True,
        classes=_classes(node),
        threshold=node["Threshold"].number() if node["Threshold"].value is not None else None,
        not_for=_warnings(node),
    )
    if known.classes is not None:
        known |= Known(leaves_background_out=all(c.id for c in known.classes))
    return known | numbers


def _warnings(node: Node) -> tuple[str, ...] | None:
    """What ArcGIS does beside running the network."""
    function = node["InferenceFunction"].value
    if not function:
        return None
    name = PurePosixPath(str(function).replace("\\", "/")).name[:60]
    sentence = (
        f"In ArcGIS the Python function {name} stands around the network. Swath never runs such "
        "code: what it does before or after the network is missing here."
    )
    return (sentence,)


def _extract(node: Node) -> tuple[int, ...]:
    """Positions of the bands that the network takes, from 0."""
    if node["ExtractBands"].value is None:
        return ()
    return tuple(n.integer(0, 10_000) for n in node["ExtractBands"].items())


def _size(node: Node, key: str) -> int | None:
    return None if node[key].value is None else node[key].integer(1, 65_536)


def _bands(node: Node, extract: tuple[int, ...]) -> tuple[str, ...] | None:
    """Names that mean the same everywhere, if all have one."""
    if not isinstance(node["Bands"].value, list) or not extract:
        return None
    words = [str(n.value).lower() for n in node["Bands"].items()]
    chosen = [BAND_WORDS.get(words[n], "") for n in extract if n < len(words)]
    is_whole = len(chosen) == len(extract) == len(set(chosen)) and all(chosen)
    return tuple(chosen) if is_whole else None


def _cells(node: Node) -> tuple[float, float] | None:
    """Smallest and largest pixel in metres, where the definition's units are metres."""
    pair = [_metres(node[key]) for key in ("MinCellSize", "MaxCellSize")]
    single = _metres(node["CellSize"]) or _metres(node["Resolution"])
    low, high = (pair[0] or pair[1] or single, pair[1] or pair[0] or single)
    return None if low is None or high is None else (min(low, high), max(low, high))


def _metres(node: Node) -> float | None:
    """A pixel's edge; None for nothing, and in degrees or unknown units."""
    if node.value is None:
        return None
    if not isinstance(node.value, dict):
        return node.positive()
    place = node["spatialReference"].value
    code = place.get("latestWkid") or place.get("wkid") if isinstance(place, dict) else None
    edge = node["x"].positive()
    if not isinstance(code, int) or isinstance(code, bool):
        return None
    for authority in ("EPSG", "ESRI"):
        try:
            crs = parse_crs(f"{authority}:{code}")
        except EngineError:
            continue
        unit = float(crs.axis_info[0].unit_conversion_factor)
        return edge * unit if crs.is_projected else None
    return None


def _classes(node: Node) -> tuple[ModelClass, ...] | None:
    if node["Classes"].value is None:
        return None
    found = tuple(_class(n) for n in node["Classes"].items())
    if not found or len({c.id for c in found}) != len(found):
        node["Classes"].refuse("classes with different values")
    return found


def _class(node: Node) -> ModelClass:
    colour = [n.integer(0, 255) for n in node["Color"].items()]
    if len(colour) != len("rgb"):
        node["Color"].refuse("red, green and blue from 0 to 255")
    value = node["Value"].integer(0, LARGEST_CLASS)
    return ModelClass(value, node["Name"].text(), "#" + "".join(f"{c:02x}" for c in colour))


def _numbers(node: Node, extract: tuple[int, ...]) -> Known:
    """What the network's numbers are, as far as the definition tells.

    arcgis.learn brings bands between their least and greatest training value to 0 to 1, then
    subtracts the scaled mean and divides by the scaled deviation; other definitions name a mean
    and a deviation of pictures of 0 to 1, or that range alone.
    """
    if node["NormalizationStats"].value is not None:
        return _by_statistics(node, node["NormalizationStats"], extract)
    inner = node["ModelParameters"]
    pairs = ((inner, "mean", "std"), (node, "Mean", "StdDev"))
    for place, first, second in pairs:
        if isinstance(place.value, dict) and place[first].value is not None:
            mean, std = _column(place[first], extract), _column(place[second], extract)
            return Known(quantity="rgb", transforms=(_step(place[second], mean, std),))
    if node["DataRange"].value is not None and _column(node["DataRange"], ()) == (0.0, 1.0):
        return Known(quantity="rgb", transforms=())
    return Known()


def _by_statistics(node: Node, stats: Node, extract: tuple[int, ...]) -> Known:
    low = _column(stats["band_min_values"], extract)
    high = _column(stats["band_max_values"], extract)
    if len(low) != len(high) or any(a >= b for a, b in zip(low, high, strict=True)):
        stats["band_max_values"].refuse("numbers above those of band_min_values")
    steps = [Transform("min-max", low, high)]
    if node["DoNormalize"].value is not False and stats["scaled_mean_values"].value is not None:
        mean = _column(stats["scaled_mean_values"], extract)
        std = _column(stats["scaled_std_values"], extract)
        steps.append(_step(stats["scaled_std_values"], mean, std))
    span = max(high) - min(low)
    valid_range = (min(low) - span, max(high) + span)
    return Known(quantity="raw", transforms=tuple(steps), valid_range=valid_range)


def _step(node: Node, mean: tuple[float, ...], std: tuple[float, ...]) -> Transform:
    if len(mean) != len(std) or min(std) <= 0:
        node.refuse(f"{len(mean)} numbers above 0")
    return Transform("z-score", mean, std)


def _column(node: Node, extract: tuple[int, ...]) -> tuple[float, ...]:
    """One number for each band that is taken."""
    numbers = tuple(n.number() for n in node.items())
    if not numbers:
        node.refuse("a list of numbers")
    if extract and max(extract) < len(numbers):
        return tuple(numbers[n] for n in extract)
    return numbers


def _broken(name: str, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"{name} is no Esri model definition that Swath can use: {why}.",
        "Take the .emd file or the .dlpk package as ArcGIS wrote it.",
    )
