"""Band numbers of the sensors, and which sensor a set of names belongs to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

LANDSAT_4_7 = "landsat4-7"
LANDSAT_8_9 = "landsat8-9"
SENTINEL_2 = "sentinel2"

ROLE_BY_TOKEN: Mapping[str, Mapping[str, str]] = {
    LANDSAT_4_7: {
        "1": "blue",
        "2": "green",
        "3": "red",
        "4": "nir",
        "5": "swir16",
        "6": "lwir",
        "7": "swir22",
        "8": "pan",
    },
    LANDSAT_8_9: {
        "1": "coastal",
        "2": "blue",
        "3": "green",
        "4": "red",
        "5": "nir",
        "6": "swir16",
        "7": "swir22",
        "8": "pan",
        "9": "cirrus",
        "10": "lwir11",
        "11": "lwir12",
    },
    SENTINEL_2: {
        "1": "coastal",
        "2": "blue",
        "3": "green",
        "4": "red",
        "5": "rededge071",
        "6": "rededge075",
        "7": "rededge078",
        "8": "nir",
        "8a": "nir08",
        "9": "nir09",
        "10": "cirrus",
        "11": "swir16",
        "12": "swir22",
    },
}
"""Role by sensor and band number (without ``B`` and leading zeros)."""

_NAME_PATTERNS = (
    (LANDSAT_8_9, r"(?:^|[^a-z0-9])(?:l[co]0?[89](?=[_\d])|hls\.l30|l[89]_|landsat[-_ ]?[89])"),
    (
        LANDSAT_4_7,
        r"(?:^|[^a-z0-9])(?:l[et]0?[4-7](?=[_\d])|l[4-7]_|landsat[-_ ]?[457]|lsat7)",
    ),
    (
        SENTINEL_2,
        r"(?:^|[^a-z0-9])(?:s2[abc]?[^a-z0-9]|t\d{2}[a-z]{3}_|hls\.s30|sentinel[-_ ]?2)",
    ),
)
_PADDED = re.compile(r"(?:^|[^a-z0-9])b0[1-9](?![a-z0-9])", re.IGNORECASE)
"""``B02``: of these sensors' providers only ESA writes the zero."""
_PLATFORMS = (
    (LANDSAT_8_9, ("landsat-8", "landsat-9", "landsat_8", "landsat_9")),
    (LANDSAT_4_7, tuple(f"landsat{sep}{n}" for sep in "-_" for n in "457")),
    (SENTINEL_2, ("sentinel-2", "sentinel2")),
)


def sensor_of_name(name: str) -> str:
    """The sensor that a file's or folder's name tells; "" when it tells none or several."""
    text = name.lower()
    found = {sensor for sensor, pattern in _NAME_PATTERNS if re.search(pattern, text)}
    return found.pop() if len(found) == 1 else ""


def sensor_of_platform(platform: str) -> str:
    """The sensor of a satellite's name, as in STAC and in a Landsat MTL file."""
    text = platform.lower()
    return next((s for s, names in _PLATFORMS if any(n in text for n in names)), "")


def sensor_of_tokens(names: Collection[str]) -> str:
    """The sensor whose bands alone are called by these names; "" when several may be.

    Args:
        names: Band names as written, such as ``B8A``, ``SR_B5`` or ``B02``.
    """
    tokens = {band_token(name) for name in names} - {""}
    if tokens & {"8a", "12"} or any(map(_PADDED.search, names)):
        return SENTINEL_2
    if tokens >= {"6", "10", "11"} and tokens & {"5", "7", "9"}:
        return LANDSAT_8_9
    if any("vcid" in name.lower() for name in names):
        return LANDSAT_4_7
    if all(name.lower().startswith("sr_") for name in names) and {"2", "3", "4"} <= tokens:
        return LANDSAT_8_9 if "6" in tokens else LANDSAT_4_7 if "1" in tokens else ""
    return ""


def band_token(text: str) -> str:
    """The band number in a name (``SR_B4``: ``4``, ``T32TQM_B8A_20m``: ``8a``), or ""."""
    joined = re.sub(r"(band)[\s_-]+(?=\d)", r"\1", text.lower())
    words = [w for w in re.split(r"[^a-z0-9]+", joined) if w]
    hits = [m for w in words if (m := re.fullmatch(r"b(?:and)?0*([1-9]\d?)(a?)", w))]
    return hits[-1][1] + hits[-1][2] if hits else ""
