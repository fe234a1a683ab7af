"""The MTL file of a Landsat product: its level, sun and coefficients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError, ErrorCode
from engine.io.sensors import band_token, sensor_of_platform
from engine.io.source import Scaling

_LEVEL_2 = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
_LARGEST = 4_000_000
"""Bytes; an MTL file has some ten thousand."""


@dataclass(frozen=True)
class Mtl:
    """What a Landsat MTL file tells."""

    path: Path
    sensor: str
    collection: str
    """``0`` (before the collections), ``1`` or ``2``."""
    level: int
    sun_elevation: float | None
    """Degrees."""
    scalings: Mapping[str, Scaling]
    """By band number: stored numbers to reflectance, the sun's height not yet divided out."""
    acquired: str | None
    """UTC, ISO 8601."""
    files: tuple[Path, ...]
    """Band files that it names and that lie beside it."""


def is_mtl(name: str) -> bool:
    """Whether a file's name is that of an MTL file that can be read here."""
    return re.search(r"(?:^|[_-])MTL\.(?:txt|json)$", name, re.IGNORECASE) is not None


def read_mtl(path: Path) -> Mtl:
    """Read an MTL file, text or JSON.

    Raises:
        EngineError: ``INPUT_UNREADABLE``.
    """
    entries = list(_entries(path))
    values = {key: value for _, key, value in entries}
    level = 2 if values.get("PROCESSING_LEVEL", values.get("DATA_TYPE", "")).startswith("L2") else 1
    mult = _coefficients(entries, "REFLECTANCE_MULT_BAND_", level)
    add = _coefficients(entries, "REFLECTANCE_ADD_BAND_", level)
    sun = values.get("SUN_ELEVATION")
    return Mtl(
        path=path,
        sensor=sensor_of_platform(values.get("SPACECRAFT_ID", "")),
        collection=values.get("COLLECTION_NUMBER", "0").lstrip("0") or "0",
        level=level,
        sun_elevation=_number(path, sun) if sun else None,
        scalings={
            band: Scaling(_number(path, value), _number(path, add.get(band, "0")))
            for band, value in mult.items()
        },
        acquired=_acquired(values),
        files=_band_files(path, values),
    )


def _acquired(values: Mapping[str, str]) -> str | None:
    day = values.get("DATE_ACQUIRED")
    time = values.get("SCENE_CENTER_TIME", "00:00:00").split(".")[0].rstrip("Z")
    return f"{day}T{time}Z" if day else None


def _coefficients(entries: list[tuple[str, str, str]], prefix: str, level: int) -> dict[str, str]:
    """Coefficients by band number; a level 2 file also holds those of level 1."""
    return {
        band_token("b" + key.removeprefix(prefix)): value
        for group, key, value in entries
        if key.startswith(prefix) and (level == 1) == (group != _LEVEL_2)
    }


def _band_files(path: Path, values: Mapping[str, str]) -> tuple[Path, ...]:
    named = (v for k, v in values.items() if k.startswith("FILE_NAME_BAND_"))
    beside = (path.with_name(Path(name).name) for name in named)
    return tuple(p for p in beside if p.is_file())


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """``(group, key, value)`` of every line."""
    try:
        if path.stat().st_size > _LARGEST:
            raise _broken(path, "it is far too large")
        text = path.read_text("utf-8", errors="replace")
        if path.suffix.lower() == ".json":
            yield from _flattened("", json.loads(text))
            return
    except OSError as error:
        raise _broken(path, error.strerror or str(error)) from None
    except json.JSONDecodeError as error:
        raise _broken(path, str(error)) from None
    found = re.findall(r"^\s*(\w+)\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    if not found:
        raise _broken(path, "it has no lines KEY = VALUE")
    group = ""
    for key, value in found:
        group = value if key == "GROUP" else group
        yield group, key, value.strip('"')


def _flattened(group: str, value: Any) -> Iterator[tuple[str, str, str]]:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _flattened(key, inner)
        else:
            yield group, key, str(inner)


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _broken(path, f"«{text}» is not a number") from None


def _broken(path: Path, why: str) -> EngineError:
    return EngineError(
        ErrorCode.INPUT_UNREADABLE,
        f"The Landsat metadata file «{path.name}» cannot be read: {why}.",
        "Fetch it again, or leave it out and name an --input-profile.",
    )
