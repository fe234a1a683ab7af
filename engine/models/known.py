"""What is known of a user's model: told by its file, by its owner, or by running it once."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.models.card import (
    Activation,
    Layout,
    ModelInput,
    Quantity,
    Transform,
    ValueBand,
)

TOLERANCE = 1.25
"""Ratio of pixel sizes up to which a raster is used as it is."""
GOLDEN = 0.618
"""Steps of hue between classes that have no colour of their own."""
BACKGROUND = "background"
RANGES: dict[Quantity, tuple[float, float]] = {
    "rgb": (0.0, 1.0),
    "toa_reflectance": (-0.2, 2.0),
    "surface_reflectance": (-0.2, 2.0),
    "reflectance": (-0.2, 2.0),
    "backscatter_db": (-60.0, 30.0),
}
"""What physical numbers are plausible; raw ones may be anything."""
FAR = 8
"""Standard deviations from the mean within which raw numbers are plausible."""


@dataclass(frozen=True, slots=True)
class Known:
    """Facts of one model; None where nobody has told."""

    title: str | None = None
    summary: str | None = None
    bands: tuple[str, ...] | None = None
    channels: int | None = None
    """Bands that the network takes, where their names are not known."""
    quantity: Quantity | None = None
    transforms: tuple[Transform, ...] | None = None
    valid_range: tuple[float, float] | None = None
    gsd: float | None = None
    gsd_range: tuple[float, float] | None = None
    axes: Layout | None = None
    tile: int | None = None
    is_fixed: bool | None = None
    margin: int | None = None
    classes: tuple[ModelClass, ...] | None = None
    leaves_background_out: bool | None = None
    """Whether the network may have one class more than are named: the first."""
    values: tuple[ValueBand, ...] | None = None
    activation: Activation | None = None
    threshold: float | None = None
    licence: str | None = None
    attribution: str | None = None
    architecture: str | None = None
    not_for: tuple[str, ...] | None = None

    def __or__(self, other: Known) -> Known:
        """What both tell; the other one counts where they differ."""
        told = {f.name: getattr(other, f.name) for f in fields(other)}
        return replace(self, **{name: value for name, value in told.items() if value is not None})

    @property
    def range(self) -> tuple[float, float] | None:
        """Plausible physical values: as told, or as quantity and normalisation have them."""
        if self.valid_range is not None:
            return self.valid_range
        if self.quantity is not None and self.quantity in RANGES:
            return RANGES[self.quantity]
        return next(filter(None, map(_span, self.transforms or ())), None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the facts without which there is no card."""
        wanted = ("bands", "quantity", "transforms", "gsd")
        gaps = [name for name in wanted if getattr(self, name) is None]
        gaps += ["classes"] * (self.classes is None and self.values is None)
        is_raw_without_range = not gaps and self.range is None
        return (*gaps, *["valid_range"] * is_raw_without_range)


def input_of(known: Known, axes: Layout) -> ModelInput:
    """The input of a card, once nothing is ``missing``."""
    bands, gsd = known.bands or (), known.gsd or 1.0
    return ModelInput(
        bands=bands,
        quantity=known.quantity or "raw",
        valid_range=known.range or (0.0, 1.0),
        transforms=known.transforms or (),
        gsd=gsd,
        gsd_range=known.gsd_range or (gsd / TOLERANCE, gsd * TOLERANCE),
        axes=axes,
    )


def classes_for(known: Known, count: int, file: str) -> tuple[ModelClass, ...]:
    """The classes of a network that gives ``count`` numbers a pixel.

    Raises:
        EngineError: ``MODEL_INVALID`` when others are named.
    """
    named = known.classes or ()
    is_binary = count == 1 and len(named) in (1, 2)
    is_one_short = len(named) == count - 1 and bool(known.leaves_background_out)
    if len(named) == count != 1 or (is_binary and len(named) > 1):
        return named
    if is_binary or is_one_short:
        taken = {member.id for member in named}
        free = next(number for number in range(256) if number not in taken)
        return (ModelClass(free, BACKGROUND, colour_of(0)), *named)
    raise EngineError(
        ErrorCode.MODEL_INVALID,
        f"{file} gives {count} scores a pixel, and {len(named)} classes are named.",
        "Name as many classes as it has scores; of one score, the class that it stands for.",
    )


def named_classes(names: Sequence[str]) -> tuple[ModelClass, ...]:
    """Classes numbered from 0, in colours far from each other."""
    return tuple(ModelClass(n, name, colour_of(n)) for n, name in enumerate(names))


def named_values(count: int, word: str = "value") -> tuple[ValueBand, ...]:
    """Bands that nobody has named."""
    return tuple(ValueBand(f"{word} {n + 1}") for n in range(count))


def colour_of(number: int) -> str:
    """Grey for the first class, the background; then hues far from each other."""
    if number == 0:
        return "#b8b8b8"
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.65, 0.85)
    return "#" + "".join(f"{round(255 * v):02x}" for v in (red, green, blue))


def id_of(text: str) -> str:
    """A model's id from a title or file name."""
    return re.sub("[^a-z0-9._-]+", "-", text.lower()).strip("-._") or "model"


def _span(step: Transform) -> tuple[float, float] | None:
    if step.kind == "z-score":
        pairs = list(zip(step.first, step.second, strict=True))
        return min(m - FAR * s for m, s in pairs), max(m + FAR * s for m, s in pairs)
    if step.kind == "min-max":
        low, high = min(step.first), max(step.second)
        return low - (high - low), high + (high - low)
    return None
