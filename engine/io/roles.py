"""Bands by role: from what metadata, descriptions, file names and colours tell.

Nothing is guessed: what could be two things stays unknown, and the user names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from engine.contract.errors import EngineError, ErrorCode
from engine.io.sensors import ROLE_BY_TOKEN, band_token, sensor_of_tokens

ROLES = (
    "coastal",
    "blue",
    "green",
    "yellow",
    "red",
    "rededge",
    "rededge071",
    "rededge075",
    "rededge078",
    "nir",
    "nir08",
    "nir09",
    "cirrus",
    "swir16",
    "swir22",
    "lwir",
    "lwir11",
    "lwir12",
    "pan",
    "vv",
    "vh",
    "hh",
    "hv",
    "height",
    "elevation",
    "class",
)
"""Common names of bands, as in STAC, radar's polarisations, and what else maps hold."""
NUMBERED = re.compile(r"band-([1-9]\d*)")
"""Bands of no known role, by their place from 1."""
THERMAL = frozenset({"lwir", "lwir11", "lwir12"})
STAND_INS: Mapping[str, str] = {"nir": "nir08", "nir08": "nir"}
"""Which band serves when the wanted one is missing: both are near infrared of nearly equal
centre (Landsat has one such band, called either)."""

_SYNONYMS: Mapping[str, str] = {
    "swir1": "swir16",
    "swir2": "swir22",
    "swir16": "swir16",
    "swir22": "swir22",
    "rededge1": "rededge071",
    "rededge2": "rededge075",
    "rededge3": "rededge078",
    "rededge079": "rededge078",
    "panchromatic": "pan",
    "nir08": "nir08",
    "nir2": "nir08",
    "nirnarrow": "nir08",
    "narrownir": "nir08",
    "nir8a": "nir08",
    "b": "",
}
_PHRASES = (
    (r"red[\s_-]*edge[\s_-]*(\d{3}|\d?)", r"rededge\1 "),
    (r"near[\s_-]*infra[\s_-]*red", "nir "),
    (r"short[\s_-]*wave[\s_-]*infra[\s_-]*red", "swir"),
    (r"\bswir[\s_-]*(\d+)", r"swir\1 "),
    (r"\bnarrow[\s_-]*nir|\bnir[\s_-]*narrow", "nirnarrow "),
)


@dataclass(frozen=True)
class Clues:
    """What is known about one band."""

    common_name: str = ""
    """From STAC."""
    description: str = ""
    file_name: str = ""
    """The file's name when the band is alone in it."""
    color: str = ""
    """Colour interpretation."""


def check_role_words(words: Collection[str]) -> None:
    """Refuse words that are no role.

    Raises:
        EngineError: ``BAND_UNKNOWN``.
    """
    for word in words:
        if word not in ROLES and not NUMBERED.fullmatch(word):
            raise EngineError(
                ErrorCode.BAND_UNKNOWN,
                f"«{word}» is not a band role.",
                f"Use one of {', '.join(ROLES)}.",
            )


def role_word(text: str) -> str:
    """The role that a text names outright (``Near Infrared``: ``nir``); "" for none or several."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text).lower()
    for pattern, plain in _PHRASES:
        text = re.sub(pattern, plain, text)
    words = (w for w in re.split(r"[^a-z0-9]+", text) if w)
    found = {_SYNONYMS.get(w, w) for w in words}.intersection(ROLES)
    return found.pop() if len(found) == 1 else ""


def label(clues: Clues) -> str:
    """A band's name in one word, equal for the same band of different tiles; "" without one."""
    described = role_word(clues.description) or band_token(clues.description)
    if described or clues.description:
        return described or clues.description.lower()
    return file_label(clues.file_name) or (clues.color if clues.color in ROLES else "")


def file_label(name: str) -> str:
    """Band number or role in a file's name, or ""."""
    stem = PurePath(name).stem
    return band_token(stem) or _last_role(stem)


def _last_role(stem: str) -> str:
    """The role word at the end of a name, past a resolution such as ``10m``."""
    words = [w for w in re.split(r"[^A-Za-z0-9]+", stem) if not re.fullmatch(r"\d+m", w.lower())]
    return next((r for n in (2, 1) if (r := role_word("_".join(words[-n:])))), "")


def find_roles(bands: Sequence[Clues], sensor: str) -> tuple[str, ...]:
    """The role of each band, "" where unknown or where several bands claim the same one.

    Args:
        bands: All bands of the scene.
        sensor: What is known of the sensor from elsewhere, or "".
    """
    table = ROLE_BY_TOKEN.get(sensor or sensor_of_bands(bands), {})
    found = [_role(clues, table) for clues in bands]
    if not any(found) and _is_plain_photo(bands):
        found = ["red", "green", "blue"]
    claims = Counter(found)
    certain = {c.common_name for c in bands if c.common_name}
    return tuple(
        role if claims[role] == 1 or (role in certain and found.index(role) == i) else ""
        for i, role in enumerate(found)
    )


def sensor_of_bands(bands: Sequence[Clues]) -> str:
    """The sensor that the bands' names belong to, "" when several may be."""
    names = (c.description or PurePath(c.file_name).stem for c in bands)
    return sensor_of_tokens([name for name in names if name])


def _role(clues: Clues, table: Mapping[str, str]) -> str:
    common = role_word(clues.common_name)
    if common:
        return common
    described = role_word(clues.description) or table.get(band_token(clues.description), "")
    if described:
        return described
    stem = PurePath(clues.file_name).stem
    named = table.get(band_token(stem), "") or ("" if band_token(stem) else _last_role(stem))
    return named or (clues.color if clues.color in {"red", "green", "blue"} else "")


def _is_plain_photo(bands: Sequence[Clues]) -> bool:
    """Three bands without any name in one file."""
    return len(bands) == 3 and not any(c.description or c.file_name for c in bands)  # noqa: PLR2004 - red, green, blue
