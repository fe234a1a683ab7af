"""What a finished job leaves and tells; ``messages`` has these names too."""

from dataclasses import dataclass
from typing import Optional, Tuple

from .update import ObjectCount


@dataclass(frozen=True)
class Artifact:
    """A finished file."""

    role: str
    """``raster``, ``vector``, ``probability``, ``areas``, ``item``, ``picture``, ``report``; of two
    class maps also ``transitions``, a table, and ``matrix``, its picture, and where a model made
    the classes ``from`` and ``to``, rasters of them; of an update ``statuses``, a table."""
    uri: str
    media_type: str
    style: Optional[str] = None
    """A ``.qml`` to apply, when there is one beside the file."""


@dataclass(frozen=True)
class ClassArea:
    """One row of the table of areas."""

    class_id: int
    name: str
    color: str
    """``#rrggbb``"""
    pixels: int
    area_m2: Optional[float]
    """On the ellipsoid; None without georeference."""
    share: float
    """Of all valid pixels, 0..1."""


@dataclass(frozen=True)
class RunSummary:
    """What a finished job has to tell."""

    model: str
    device: str
    seconds: float
    pixels: int
    """Valid pixels in the result."""
    areas: Tuple[ClassArea, ...] = ()
    notes: Tuple[str, ...] = ()
    """Sentences for the user: the scaling used, a resampling, an assumption."""
    objects: Tuple[ObjectCount, ...] = ()
    """Of an update: how many objects of each status."""
