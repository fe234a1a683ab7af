"""What is known of the product that a scene came as: sensor, level, baseline, sun."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from engine.io.mtl import Mtl
from engine.io.sensors import LANDSAT_4_7, LANDSAT_8_9, SENTINEL_2, sensor_of_name

OFFSET_BASELINE = 400
"""First Sentinel-2 processing baseline (04.00) whose numbers carry an offset of 1000."""
_SENTINEL_2_NAME = re.compile(r"S2[ABC]_MSIL(1C|2A)_(\d{8}T\d{6})_N(\d{4})_R\d{3}_", re.IGNORECASE)
_LANDSAT_NAME = re.compile(
    r"L[COTE](\d{2})_(L1|L2)[A-Z]{2}_\d{6}_(\d{8})_\d{8}_(\d{2})_(?:T1|T2|RT|A1|A2)", re.IGNORECASE
)
_DAY, _TIME = "%Y%m%d%z", "%Y%m%dT%H%M%S%z"
_CUSTOM_BASELINE = 9999
"""Baseline of products made with a user's own processor: tells nothing."""
_LANDSAT_8 = 8


@dataclass(frozen=True)
class Product:
    """A product's identity as far as it is told; empty fields are unknown."""

    sensor: str = ""
    level: int | None = None
    """1: top of the atmosphere, 2: surface."""
    baseline: int | None = None
    """Sentinel-2 processing baseline without its point: 04.00 is 400."""
    collection: str = ""
    """Landsat collection: ``1`` or ``2``."""
    sun_elevation: float | None = None
    """Degrees."""
    where: str = ""
    """Where it was read, for people."""
    acquired: str | None = None
    """UTC, ISO 8601; a day where no more is told."""

    @property
    def quantity(self) -> str:
        """What reflectance means at this level."""
        return {1: "toa_reflectance", 2: "surface_reflectance"}.get(self.level or 0, "reflectance")

    @property
    def profile(self) -> str:
        """The input profile of the product's integer numbers; "" when not known for sure."""
        if self.sensor == SENTINEL_2 and self.level and self.baseline is not None:
            suffix = "-0400" if self.baseline >= OFFSET_BASELINE else ""
            return f"sentinel2-l{'1c' if self.level == 1 else '2a'}{suffix}"
        if self.sensor == LANDSAT_8_9 and self.level and self.collection in {"1", "2"}:
            return self._landsat_profile
        if self.sensor == LANDSAT_4_7 and self.level == 2 and self.collection in {"1", "2"}:  # noqa: PLR2004 - level 2
            return self._landsat_profile
        return ""

    @property
    def _landsat_profile(self) -> str:
        name = f"landsat-c{self.collection}-l{self.level}"
        if self.level == 1:
            if self.sun_elevation is None:
                return ""
            name += f":sun_elevation={self.sun_elevation!r}"
        return name


def product_of_name(uri: str) -> Product:
    """What the product identifier in a path tells, and else the file's and its folder's name."""
    sentinel = _SENTINEL_2_NAME.search(uri)
    if sentinel:
        baseline = int(sentinel[3])
        return Product(
            SENTINEL_2,
            1 if sentinel[1].upper() == "1C" else 2,
            None if baseline == _CUSTOM_BASELINE else baseline,
            where=f"the product name {sentinel[0].rstrip('_')}",
            acquired=_moment(sentinel[2]),
        )
    landsat = _LANDSAT_NAME.search(uri)
    if landsat:
        sensor = LANDSAT_8_9 if int(landsat[1]) >= _LANDSAT_8 else LANDSAT_4_7
        level, collection = int(landsat[2][1]), landsat[4].lstrip("0")
        where = f"the product name {landsat[0]}"
        return Product(sensor, level, None, collection, where=where, acquired=_moment(landsat[3]))
    path = PurePath(uri)
    sensor = sensor_of_name(path.name) or sensor_of_name(path.parent.name)
    return Product(sensor, where="the file name" if sensor else "")


def _moment(compact: str) -> str | None:
    """``20150804`` or ``20150804T162345`` as ISO 8601; None for digits that are no date."""
    try:
        found = datetime.strptime(compact + "+0000", _TIME if "T" in compact else _DAY)  # noqa: DTZ007 - both formats have %z
    except ValueError:
        return None
    return f"{found:%Y-%m-%dT%H:%M:%SZ}"


def product_of_tags(tags: Mapping[str, str]) -> Product:
    """What a TIFF's tags tell, as SNAP, GDAL and others write them."""
    upper = {key.upper(): value for key, value in tags.items()}
    baseline = re.fullmatch(r"N?(\d{2})\.?(\d{2})", upper.get("PROCESSING_BASELINE", "").strip())
    level = re.search(r"(?:LEVEL-?|L)(1|2)", upper.get("PROCESSING_LEVEL", "").upper())
    spacecraft = upper.get("SPACECRAFT_NAME", upper.get("DATATAKE_1_SPACECRAFT_NAME", ""))
    named = upper.get("PRODUCT_URI", upper.get("TIFFTAG_IMAGEDESCRIPTION", ""))
    told = product_of_name(named) if _SENTINEL_2_NAME.search(named) else Product()
    if not baseline:
        return told
    return Product(
        sensor_of_name(spacecraft) or SENTINEL_2,
        int(level[1]) if level else told.level,
        int(baseline[1] + baseline[2]),
        where="the file's tags",
        acquired=told.acquired,
    )


def product_of_mtl(mtl: Mtl) -> Product:
    """The product that a Landsat MTL file describes."""
    where = f"«{mtl.path.name}»"
    return Product(
        mtl.sensor, mtl.level, None, mtl.collection, mtl.sun_elevation, where, mtl.acquired
    )


def agreed(products: Iterable[Product]) -> Product:
    """What all files say alike; contradictions count as unknown."""
    found = [p for p in products if p != Product()]
    if not found:
        return Product()
    if len({(p.sensor, p.level, p.collection, p.profile, p.acquired) for p in found}) == 1:
        return found[0]
    sensors = {p.sensor for p in found}
    return Product(sensors.pop()) if len(sensors) == 1 else Product()
