"""Find out how a scene's stored numbers become physical ones, and refuse to guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.contract.errors import EngineError, ErrorCode
from engine.io.mtl import Mtl
from engine.io.plausibility import fitting_profiles, looks_like_reflectance
from engine.io.product import Product
from engine.io.profiles import (
    AUTO,
    IDENTITY,
    PROFILES,
    Calibration,
    calibrate,
    custom_calibration,
    parse_profile,
    sunlit,
)
from engine.io.raster import Pixels
from engine.io.roles import THERMAL
from engine.io.source import ResolvedProfile, Scaling
from engine.io.stac_input import StacBand

MOST_SAMPLED = 16
"""Bands that are sampled to tell a scaling by its values."""
QUANTITY_WORDS: Mapping[str, str] = {
    "toa_reflectance": "reflectance at the top of the atmosphere",
    "surface_reflectance": "surface reflectance",
    "reflectance": "reflectance",
    "rgb": "colours between 0 and 1",
    "backscatter_db": "radar backscatter in dB",
    "raw": "numbers without unit",
}


@dataclass(frozen=True)
class BandFacts:
    """What is known of one band when the scaling is looked for."""

    role: str
    number: int
    token: str
    """Band number of the sensor, or ""."""
    dtype: str
    file_scalings: tuple[Scaling, ...]
    """GDAL's scale and offset in each tile."""
    stac: StacBand | None = None

    @property
    def key(self) -> str:
        """How a custom profile names the band."""
        return self.role or str(self.number)


@dataclass(frozen=True)
class Evidence:
    """Everything that may tell a scene's scaling."""

    bands: tuple[BandFacts, ...]
    product: Product
    sample: Callable[[int], Pixels] = field(compare=False)
    """Valid stored values of the band at a position; reads pixels."""
    mtl: Mtl | None = None

    @property
    def telling(self) -> tuple[BandFacts, ...]:
        """Bands whose scaling matters: those of known role, or all when none is known."""
        known = tuple(b for b in self.bands if b.role and b.role not in THERMAL)
        return known or self.bands

    def samples(self) -> list[Pixels]:
        """Values of the bands whose scaling matters, of some when there are very many."""
        return [self.sample(self.bands.index(b)) for b in self.telling[:MOST_SAMPLED]]

    @property
    def is_integer(self) -> bool:
        """Whether stored numbers are integers, as products deliver them."""
        return all(np.dtype(b.dtype).kind in "iu" for b in self.telling)


@dataclass(frozen=True)
class Found:
    """A calibration and where it was read."""

    calibration: Calibration
    where: str


def find_calibration(profile: str, evidence: Evidence) -> tuple[Calibration, ResolvedProfile]:
    """The calibration in force for a scene.

    Args:
        profile: ``auto`` or a profile as the user gave it.
        evidence: What is known of the scene.

    Raises:
        EngineError: ``PROFILE_UNKNOWN``, ``PROFILE_PARAMETER``, ``SCALE_UNKNOWN``.
    """
    if profile.strip() != AUTO:
        return _resolved(Found(parse_profile(profile), "as given"))
    rules = (_from_stac, _from_mtl, _from_file_scaling, _from_product, _from_floats, _from_photo)
    found = next((f for rule in rules if (f := rule(evidence)) is not None), None)
    if found is None:
        raise _unknown(evidence)
    return _resolved(found)


def _resolved(found: Found) -> tuple[Calibration, ResolvedProfile]:
    c = found.calibration
    sentence = (
        f"Stored numbers (DN) are taken as {QUANTITY_WORDS[c.quantity]}: {c.formula} "
        f"(profile {c.name}, {found.where})."
    )
    return c, ResolvedProfile(c.name, c.quantity, sentence)


def _from_stac(evidence: Evidence) -> Found | None:
    told = [(b, b.stac) for b in evidence.telling if b.stac and b.stac.scale is not None]
    if len(told) < len(evidence.telling):
        return None
    scalings = [(b.key, Scaling(s.scale or 0.0, s.offset or 0.0)) for b, s in told]
    calibration = custom_calibration(evidence.product.quantity, scalings)
    return Found(calibration, f"read from {evidence.product.where}")


def _from_mtl(evidence: Evidence) -> Found | None:
    mtl = evidence.mtl
    if mtl is None or not mtl.scalings or not evidence.is_integer:
        return None
    if mtl.level == 1 and mtl.sun_elevation is None:
        return None
    where = f"read from «{mtl.path.name}»"
    named = evidence.product.profile
    scalings = _mtl_scalings(mtl, evidence.telling)
    if scalings is None:
        return None
    if named and {s for _, s in scalings} == {PROFILES[named.partition(":")[0]].scaling}:
        return Found(parse_profile(named), where)
    if mtl.level == 1 and mtl.sun_elevation is not None:
        scalings = [(key, sunlit(s, mtl.sun_elevation)) for key, s in scalings]
    calibration = custom_calibration(evidence.product.quantity, scalings, fill=0.0)
    return Found(calibration, where)


def _mtl_scalings(mtl: Mtl, bands: Sequence[BandFacts]) -> list[tuple[str, Scaling]] | None:
    """Scaling of each band; bands without a number only when all have the same one."""
    common = set(mtl.scalings.values())
    default = common.pop() if len(common) == 1 else None
    found = [(b.key, mtl.scalings.get(b.token) or default) for b in bands]
    certain = [(key, s) for key, s in found if s is not None]
    return certain if len(certain) == len(found) else None


def _from_file_scaling(evidence: Evidence) -> Found | None:
    bands = evidence.telling
    if all(set(b.file_scalings) == {IDENTITY} for b in bands):
        return None
    if any(len(set(b.file_scalings)) > 1 for b in bands):
        return None
    scalings = [(b.key, b.file_scalings[0]) for b in bands]
    calibration = custom_calibration(evidence.product.quantity, scalings)
    return Found(calibration, "read from the scale and offset in the file")


def _from_product(evidence: Evidence) -> Found | None:
    name = evidence.product.profile
    if not name or not evidence.is_integer or any(b.dtype == "uint8" for b in evidence.telling):
        return None
    return Found(parse_profile(name), f"told by {evidence.product.where}")


def _from_floats(evidence: Evidence) -> Found | None:
    if any(np.dtype(b.dtype).kind != "f" for b in evidence.telling):
        return None
    if not looks_like_reflectance(evidence.samples()):
        return None
    quantity = evidence.product.quantity
    found = calibrate(PROFILES["reflectance"])
    if quantity != found.quantity:
        found = custom_calibration(quantity, [("", IDENTITY)])
    return Found(found, "as the values are decimals in that range")


def _from_photo(evidence: Evidence) -> Found | None:
    roles = {b.role for b in evidence.telling}
    is_photo = {"red", "green", "blue"} <= roles and len(evidence.bands) <= 4  # noqa: PLR2004 - RGB and one more
    if not is_photo or any(b.dtype != "uint8" for b in evidence.telling):
        return None
    return Found(calibrate(PROFILES["rgb8"]), "as it is an 8-bit colour image")


def _unknown(evidence: Evidence) -> EngineError:
    samples = evidence.samples()
    filled = [s for s in samples if s.size]
    if not filled:
        return EngineError(
            ErrorCode.SCALE_UNKNOWN,
            "The scene has no valid pixel, and nothing tells how its numbers are scaled.",
            "Check the nodata value, or give the scene's profile with --input-profile.",
        )
    low = min(float(np.quantile(s, 0.01)) for s in filled)
    high = max(float(np.quantile(s, 0.99)) for s in filled)
    roles = [b.role for b in evidence.telling[:MOST_SAMPLED]]
    fits = fitting_profiles(roles, samples, evidence.product.sensor)
    listed = " or ".join(fits) or "or raw to use the numbers as they are"
    return EngineError(
        ErrorCode.SCALE_UNKNOWN,
        f"Nothing tells how the stored numbers, which lie between {low:.6g} and {high:.6g}, "
        "become reflectance.",
        f"Name the scene's profile, {listed}, with --input-profile.",
    )
