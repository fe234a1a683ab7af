"""Are a scene's scaled values what the model expects? Refuse with the reason when they are not.

Quantiles speak, so that a hot pixel, a cloud or a glint does not refuse a good scene.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.profiles import PROFILES, Calibration, Profile, calibrate
from engine.io.raster import Pixels
from engine.io.source import Band, Scaling, Scene, Source

SAMPLE_PIXELS = 1_000_000
"""Pixels that a sample is made of."""
SCAN_EDGE = 2048
"""Edge of the windows in which a valid pixel is looked for when the sample had none."""
REFLECTANCES = frozenset({"toa_reflectance", "surface_reflectance", "reflectance"})
NEGATIVE_MEDIAN = -0.05
"""Half of a band below this is no reflectance of any surface."""
BRIGHTEST_AT_LEAST = 0.003
"""A scene whose brightest band stays below was divided twice."""
BASELINE_FLOOR = 0.1
"""Offset in reflectance of Sentinel-2 products since baseline 04.00."""
DARKEST_LAND = 0.1
"""Nearly every scene but one of clouds or snow has darker pixels."""
PHOTO_BANDS = 4
"""Red, green, blue and perhaps one more."""
DARKEST_PHOTO = 0.04
"""Brightest value of a dark photo: ten of 255."""
LEAST_POWER = 1e-6
"""Of radar: -60 dB."""
MOST_POWER = 2.0
"""Linear backscatter of nearly every pixel is between 0 and this; in dB nearly all is below 0."""
_TRIED_SUN = 45.0


class Sampled(Protocol):
    """A source that can give values without reading every pixel."""

    def sample(self, limit: int) -> tuple[Pixels, ...]:
        """Valid stored values of each band."""
        ...


@dataclass(frozen=True)
class Spread:
    """Quantiles of one band's values."""

    low: float
    """5 %."""
    median: float
    high: float
    """95 %."""
    top: float
    """99 %."""
    bottom: float
    """1 %."""


def check_plausible(
    scene: Scene, roles: tuple[str, ...], quantity: str, valid_range: tuple[float, float]
) -> tuple[str, ...]:
    """Refuse a scene whose scaled values cannot be what the model was made for.

    Args:
        scene: The scene; its pixels are sampled.
        roles: Bands that the model takes.
        quantity: What the model takes them as.
        valid_range: Physical values between which the model's input lies.

    Returns:
        Sentences of warning, for a scene that is let pass.

    Raises:
        EngineError: ``SCALE_IMPLAUSIBLE``, ``BAND_MISSING``.
    """
    warnings = _check_quantity(scene, quantity)
    source = scene.source(roles)
    try:
        samples = sample(source)
        if not any(s.size for s in samples):
            _check_not_empty(source)
            return warnings
    finally:
        source.close()
    spreads = [_spread(s, b.scaling) for s, b in zip(samples, source.bands, strict=True) if s.size]
    bands = [b for s, b in zip(samples, source.bands, strict=True) if s.size]
    reason = next(_objections(bands, spreads, quantity, valid_range), None)
    if reason is not None:
        raise _implausible(scene, reason, _hint(roles, samples, quantity))
    return (*warnings, *_offset_warning(scene, spreads))


def sample(source: Source) -> tuple[Pixels, ...]:
    """Valid stored values of each band of a source, about a million pixels' worth."""
    if hasattr(source, "sample"):
        return cast("Sampled", source).sample(SAMPLE_PIXELS)
    edge = int(np.sqrt(SAMPLE_PIXELS))
    chip = source.read(source.grid.window.intersect(Window(0, 0, edge, edge)))
    return tuple(band[chip.valid] for band in chip.data)


def looks_like_reflectance(samples: Sequence[Pixels]) -> bool:
    """Whether values as they are lie where reflectance does."""
    spreads = [_spread(s, Scaling()) for s in samples if s.size]
    if not spreads:
        return False
    inside = all(s.bottom >= -0.2 and s.top <= 2.0 for s in spreads)  # noqa: PLR2004 - reflectance
    return inside and max(s.top for s in spreads) > BRIGHTEST_AT_LEAST


def fitting_profiles(
    roles: Sequence[str], samples: Sequence[Pixels], sensor: str = "", quantity: str = ""
) -> tuple[str, ...]:
    """Names of profiles under which the stored values would be ordinary.

    Args:
        roles: Role of each band, "" where unknown.
        samples: Valid stored values of each band.
        sensor: The scene's sensor, "" when unknown.
        quantity: What is wanted, "" for anything.
    """
    suited = (p for p in PROFILES.values() if p.name != "raw" and _suits(p, sensor, quantity))
    return tuple(_shown(p) for p in suited if _is_ordinary(p, roles, samples))


def _shown(profile: Profile) -> str:
    return f"{profile.name}:sun_elevation=DEGREES" if profile.by_sun else profile.name


def _suits(profile: Profile, sensor: str, quantity: str) -> bool:
    if profile.sensor and sensor and not sensor.startswith(profile.sensor):
        return False
    if quantity in REFLECTANCES:
        return profile.quantity in {quantity, "reflectance"} or (
            quantity == "reflectance" and profile.quantity in REFLECTANCES
        )
    return not quantity or profile.quantity == quantity


def _is_ordinary(profile: Profile, roles: Sequence[str], samples: Sequence[Pixels]) -> bool:
    calibration = calibrate(profile, _TRIED_SUN if profile.by_sun else None)
    spreads = [
        _spread(kept, calibration.scaling(role, number))
        for number, (role, values) in enumerate(zip(roles, samples, strict=True), 1)
        if (kept := _without_fill(values, calibration, role)).size
    ]
    if not spreads:
        return False
    top = _brightest(spreads)
    if profile.quantity == "rgb":
        in_range = all(s.bottom >= 0 and s.top <= 1 for s in spreads)
        return len(spreads) <= PHOTO_BANDS and in_range and top > DARKEST_PHOTO
    usual = all(s.low > -0.1 and -0.02 < s.median < 1 and s.high < 1.6 for s in spreads)  # noqa: PLR2004 - reflectance
    return usual and top > 0.05  # noqa: PLR2004 - reflectance


def _without_fill(values: Pixels, calibration: Calibration, role: str) -> Pixels:
    for fill in calibration.ignored(role):
        values = values[values != fill]
    return values


def _check_quantity(scene: Scene, quantity: str) -> tuple[str, ...]:
    have = scene.profile.quantity
    if quantity in {have, "raw"} or (
        {have, quantity} <= REFLECTANCES and "reflectance" in {have, quantity}
    ):
        return ()
    if {have, quantity} <= REFLECTANCES:
        return (
            f"The model was made for {quantity}, the scene holds {have}: expect it to do worse.",
        )
    raise _implausible(
        scene,
        f"The model needs {quantity}, but with the profile {scene.profile.name} the scene holds "
        f"{'plain numbers' if have == 'raw' else have}.",
        "Choose a model for such images, or name the right profile with --input-profile.",
    )


def _check_not_empty(source: Source) -> None:
    """Look through the whole scene, since the sample found nothing."""
    for window in _windows(source.grid):
        if source.read(window).valid.any():
            return
    raise EngineError(
        ErrorCode.SCALE_IMPLAUSIBLE,
        "The scene has no valid pixel: all of it is nodata in at least one band.",
        "Check the nodata value and the bands that were chosen.",
    )


def _windows(grid: Grid) -> Iterator[Window]:
    starts = (range(0, n, SCAN_EDGE) for n in grid.shape)
    for row, col in itertools.product(*starts):
        yield Window(row, col, SCAN_EDGE, SCAN_EDGE).intersect(grid.window)


def _objections(
    bands: Sequence[Band],
    spreads: Sequence[Spread],
    quantity: str,
    valid_range: tuple[float, float],
) -> Iterator[str]:
    """Reasons why the values cannot be right, "{profile}" standing for the scene's profile."""
    low, high = valid_range
    for band, spread in zip(bands, spreads, strict=True):
        name = f"the {band.role} band's" if band.role else f"{band.name}'s"
        if spread.high > high or spread.low < low:
            yield (
                f"After scaling with {{profile}}, {name} median is {spread.median:.4g} and its "
                f"range {spread.low:.4g} to {spread.high:.4g}, but {quantity} lies between "
                f"{low:.4g} and {high:.4g}."
            )
        if quantity in REFLECTANCES and spread.median < NEGATIVE_MEDIAN:
            yield (
                f"After scaling with {{profile}}, {name} median is {spread.median:.4g}, but "
                f"{quantity} is not negative."
            )
    if quantity == "backscatter_db" and all(_is_linear(s) for s in spreads):
        yield (
            "With {profile}, nearly all backscatter lies between "
            f"{min(s.bottom for s in spreads):.2g} and {max(s.high for s in spreads):.2g} dB: that "
            "is linear power, not decibel."
        )
    if quantity in REFLECTANCES | {"rgb"} and _brightest(spreads) < BRIGHTEST_AT_LEAST:
        yield (
            "After scaling with {profile}, nearly all values lie below "
            f"{_brightest(spreads):.2g}, far darker than any {quantity}."
        )


def _is_linear(spread: Spread) -> bool:
    return spread.bottom >= 0 and 0 < spread.high <= MOST_POWER


def _brightest(spreads: Sequence[Spread]) -> float:
    return max(s.top for s in spreads)


def _offset_warning(scene: Scene, spreads: Sequence[Spread]) -> tuple[str, ...]:
    """Sentinel-2 numbers since baseline 04.00 read without their offset have no dark pixel."""
    name = scene.profile.name
    if name not in {"sentinel2-l1c", "sentinel2-l2a", "reflectance-10000"}:
        return ()
    if not BASELINE_FLOOR <= min(s.bottom for s in spreads) < DARKEST_LAND + BASELINE_FLOOR:
        return ()
    doubt = (
        f"No pixel is darker than {BASELINE_FLOOR:g}: if this is Sentinel-2 of baseline 04.00 or "
        "later, name a profile that ends with -0400."
    )
    return (doubt,)


def _hint(roles: Sequence[str], samples: Sequence[Pixels], quantity: str) -> str:
    if quantity == "backscatter_db" and all(s.size and s.min() >= 0 for s in samples):
        return "If the numbers are linear, name --input-profile power."
    fits = fitting_profiles(roles, samples, quantity=quantity)
    if not fits:
        return "Check what the file holds, and name its profile with --input-profile."
    return f"The stored numbers would fit {' or '.join(fits)}; name it with --input-profile."


def _implausible(scene: Scene, reason: str, hint: str) -> EngineError:
    message = reason.replace("{profile}", scene.profile.name)
    return EngineError(ErrorCode.SCALE_IMPLAUSIBLE, message, hint)


def _spread(values: Pixels, scaling: Scaling) -> Spread:
    points: npt.NDArray[np.float64] = np.quantile(
        values.astype(np.float64), (0.05, 0.5, 0.95, 0.99, 0.01)
    )
    physical = points * scaling.scale + scaling.offset
    ends = sorted(
        10 * np.log10(np.maximum(physical, LEAST_POWER)) if scaling.is_power else physical
    )
    bottom, low, median, high, top = (float(v) for v in ends)
    return Spread(low, median, high, top, bottom)
