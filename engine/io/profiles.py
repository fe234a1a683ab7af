"""Input profiles: named ways to turn stored numbers into physical ones.

The grammar is ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.contract.errors import EngineError, ErrorCode
from engine.io.roles import ROLES, THERMAL
from engine.io.sensors import SENTINEL_2
from engine.io.source import Scaling

AUTO = "auto"
CUSTOM = "custom"
QUANTITIES = (
    "toa_reflectance",
    "surface_reflectance",
    "reflectance",
    "rgb",
    "backscatter_db",
    "raw",
)
IDENTITY = Scaling()
POWER = Scaling(is_power=True)


@dataclass(frozen=True)
class Profile:
    """One row of the table of profiles."""

    name: str
    quantity: str
    scaling: Scaling
    formula: str
    """For people; DN is the stored number."""
    fill: float | None = None
    """Stored number that means no data, whatever the file declares."""
    sensor: str = ""
    """``sentinel2``, ``landsat`` or "" for any."""
    by_sun: bool = False
    """Whether the result is divided by the sine of the parameter ``sun_elevation``."""


_LANDSAT_TOA = Scaling(2e-5, -0.1)
_BEFORE, _AFTER = Scaling(1e-4), Scaling(1e-4, -0.1)
_TABLE = (
    Profile("reflectance", "reflectance", IDENTITY, "the numbers as they are (0 to 1)"),
    Profile("reflectance-10000", "reflectance", _BEFORE, "DN / 10000"),
    Profile("sentinel2-l1c", "toa_reflectance", _BEFORE, "DN / 10000", 0, SENTINEL_2),
    Profile("sentinel2-l1c-0400", "toa_reflectance", _AFTER, "(DN - 1000) / 10000", 0, SENTINEL_2),
    Profile("sentinel2-l2a", "surface_reflectance", _BEFORE, "DN / 10000", 0, SENTINEL_2),
    Profile(
        "sentinel2-l2a-0400", "surface_reflectance", _AFTER, "(DN - 1000) / 10000", 0, SENTINEL_2
    ),
    Profile(
        "landsat-c1-l1",
        "toa_reflectance",
        _LANDSAT_TOA,
        "(0.00002 DN - 0.1) / sin(sun elevation)",
        0,
        "landsat",
        by_sun=True,
    ),
    Profile(
        "landsat-c2-l1",
        "toa_reflectance",
        _LANDSAT_TOA,
        "(0.00002 DN - 0.1) / sin(sun elevation)",
        0,
        "landsat",
        by_sun=True,
    ),
    Profile("landsat-c1-l2", "surface_reflectance", Scaling(1e-4), "DN / 10000", 0, "landsat"),
    Profile(
        "landsat-c2-l2",
        "surface_reflectance",
        Scaling(2.75e-5, -0.2),
        "0.0000275 DN - 0.2",
        0,
        "landsat",
    ),
    Profile("rgb8", "rgb", Scaling(1 / 255), "DN / 255"),
    Profile("decibel", "backscatter_db", IDENTITY, "radar backscatter in dB, as it is"),
    Profile("power", "backscatter_db", POWER, "10 log10(DN), of linear radar backscatter"),
    Profile("raw", "raw", IDENTITY, "the numbers as they are"),
)
PROFILES: Mapping[str, Profile] = {p.name: p for p in _TABLE}


@dataclass(frozen=True)
class Calibration:
    """A profile with its parameters filled in."""

    name: str
    """Fit for ``--input-profile``."""
    quantity: str
    formula: str
    default: Scaling
    fill: float | None = None
    sensor: str = ""
    by_band: Mapping[str, Scaling] = field(default_factory=dict)
    """Exceptions, by role or by the band's number."""

    def scaling(self, role: str, number: int) -> Scaling:
        """Stored numbers of a band to physical ones; heat is no reflectance and stays as it is."""
        for key in (str(number), role):
            if key in self.by_band:
                return self.by_band[key]
        return IDENTITY if self.sensor and role in THERMAL else self.default

    def ignored(self, role: str) -> tuple[float, ...]:
        """Stored numbers that are no data in a band; the cirrus band of a clear sky holds zeros."""
        if self.fill is None or (role == "cirrus" and self.sensor == SENTINEL_2):
            return ()
        return (self.fill,)


def profile_names() -> tuple[str, ...]:
    """Every profile in a form to show: parameters in capitals."""
    shown = (f"{p.name}:sun_elevation=DEGREES" if p.by_sun else p.name for p in _TABLE)
    return (AUTO, *shown, f"{CUSTOM}:quantity=QUANTITY,scale=NUMBER,offset=NUMBER")


def profile_sensor(text: str) -> str:
    """The sensor that a profile's name implies, "" when several."""
    name = text.partition(":")[0]
    return SENTINEL_2 if name.startswith(SENTINEL_2) else ""


def parse_profile(text: str) -> Calibration:
    """The calibration that ``NAME`` or ``NAME:KEY=VALUE,…`` describes.

    Raises:
        EngineError: ``PROFILE_UNKNOWN``, ``PROFILE_PARAMETER``.
    """
    name, _, rest = text.strip().partition(":")
    parameters = _parameters(text, rest)
    if name == CUSTOM:
        return _custom(text, parameters)
    profile = PROFILES.get(name)
    if profile is None:
        raise EngineError(
            ErrorCode.PROFILE_UNKNOWN,
            f"«{name}» is not an input profile.",
            f"Use one of {', '.join(profile_names())}.",
        )
    known = {"sun_elevation"} if profile.by_sun else set()
    _refuse_others(text, parameters, known)
    return calibrate(profile, _sun(text, parameters) if profile.by_sun else None)


def calibrate(profile: Profile, sun_elevation: float | None = None) -> Calibration:
    """A profile's calibration; ``sun_elevation`` in degrees where it is by the sun."""
    name, scaling = profile.name, profile.scaling
    if sun_elevation is not None:
        name += f":sun_elevation={sun_elevation!r}"
        scaling = sunlit(scaling, sun_elevation)
    return Calibration(
        name, profile.quantity, profile.formula, scaling, profile.fill, profile.sensor
    )


def sunlit(scaling: Scaling, sun_elevation: float) -> Scaling:
    """A scaling whose result is divided by the sine of the sun's elevation in degrees."""
    sine = math.sin(math.radians(sun_elevation))
    return Scaling(scaling.scale / sine, scaling.offset / sine)


def custom_calibration(
    quantity: str, scalings: Sequence[tuple[str, Scaling]], fill: float | None = None
) -> Calibration:
    """A calibration band by band.

    Args:
        quantity: One of ``QUANTITIES``.
        scalings: Scaling by the band's role or number.
        fill: Stored number that means no data.
    """
    if len({s for _, s in scalings}) == 1:
        default = scalings[0][1]
        terms = [f"scale={default.scale!r}", f"offset={default.offset!r}"]
        by_band: dict[str, Scaling] = {}
    else:
        default, by_band = IDENTITY, dict(scalings)
        terms = [f"scale.{k}={s.scale!r},offset.{k}={s.offset!r}" for k, s in scalings]
    if fill is not None:
        terms.append(f"fill={fill!r}")
    name = f"{CUSTOM}:quantity={quantity},{','.join(terms)}"
    return Calibration(name, quantity, _formula(default, by_band), default, fill, "", by_band)


def _custom(text: str, parameters: Mapping[str, str]) -> Calibration:
    _refuse_others(text, parameters, {"quantity", "scale", "offset", "fill"}, prefixed=True)
    quantity = parameters.get("quantity", "")
    if quantity not in QUANTITIES:
        raise _bad_parameter(text, f"quantity is one of {', '.join(QUANTITIES)}")
    numbers = {k: _number(text, k, v) for k, v in parameters.items() if k != "quantity"}
    default = Scaling(numbers.get("scale", 1.0), numbers.get("offset", 0.0))
    keys = dict.fromkeys(k.split(".", 1)[1] for k in numbers if "." in k)
    by_band = {
        k: Scaling(
            numbers.get(f"scale.{k}", default.scale), numbers.get(f"offset.{k}", default.offset)
        )
        for k in keys
    }
    fill = numbers.get("fill")
    formula = _formula(default, by_band)
    return Calibration(text.strip(), quantity, formula, default, fill, "", by_band)


def _formula(default: Scaling, by_band: Mapping[str, Scaling]) -> str:
    if by_band:
        return "; ".join(f"{band}: {_line(s)}" for band, s in by_band.items())
    return _line(default)


def _line(scaling: Scaling) -> str:
    if scaling == IDENTITY:
        return "the numbers as they are"
    sign = "-" if scaling.offset < 0 else "+"
    offset = f" {sign} {abs(scaling.offset):.6g}" if scaling.offset else ""
    return f"{scaling.scale:.6g} DN{offset}"


def _parameters(text: str, rest: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for term in filter(None, (t.strip() for t in rest.split(","))):
        key, separator, value = (part.strip() for part in term.partition("="))
        if not separator or not key or not value:
            raise _bad_parameter(text, f"«{term}» is not KEY=VALUE")
        if key in found:
            raise _bad_parameter(text, f"{key} is given twice")
        found[key] = value
    return found


def _refuse_others(
    text: str, parameters: Mapping[str, str], known: set[str], *, prefixed: bool = False
) -> None:
    for key in parameters:
        stem, dot, band = key.partition(".")
        is_band = prefixed and dot and stem in {"scale", "offset"}
        if is_band and not (band in ROLES or band.isdecimal()):
            raise _bad_parameter(text, f"«{band}» is neither a band role nor a number")
        if not is_band and key not in known:
            listed = f"it takes {', '.join(sorted(known))}" if known else "it takes no parameter"
            raise _bad_parameter(text, f"«{key}» is not known; {listed}")


def _sun(text: str, parameters: Mapping[str, str]) -> float:
    if "sun_elevation" not in parameters:
        raise _bad_parameter(text, "the sun's elevation is needed")
    degrees = _number(text, "sun_elevation", parameters["sun_elevation"])
    if not 0 < degrees <= 90:  # noqa: PLR2004 - degrees above the horizon
        raise _bad_parameter(text, "sun_elevation is in degrees, above 0 and at most 90")
    return degrees


def _number(text: str, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _bad_parameter(text, f"{key} is a number, not «{value}»")
    return number


def _bad_parameter(text: str, why: str) -> EngineError:
    name = text.partition(":")[0]
    profile = PROFILES.get(name)
    hint = f"Write {name} alone."
    if name == CUSTOM:
        hint = "Write it like custom:quantity=toa_reflectance,scale=0.0001,offset=-0.1."
    elif profile and profile.by_sun:
        hint = f"Write it like {name}:sun_elevation=64.7; the MTL file tells SUN_ELEVATION."
    return EngineError(
        ErrorCode.PROFILE_PARAMETER, f"The input profile «{text}» is not right: {why}.", hint
    )
