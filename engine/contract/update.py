"""What an update of a map of objects is asked for, and what it counts."""

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class UpdateOptions:
    """The old map, and how its objects are compared with those of a later image."""

    map: str
    """Polygons: ``FILE`` or ``FILE|layername=NAME``, in any CRS."""
    output: str
    """The layer to write (GeoPackage), in the old map's CRS."""
    field: Optional[str] = None
    """Of the old map: the one with its classes."""
    hidden: Tuple[str, ...] = ()
    """Names of the model's classes that hide the ground, such as clouds: like no data."""
    least_iou: float = 0.5
    """Intersection over union from which on an object is the same as before, 0..1."""
    keep_outlines: bool = False
    """Whether objects that are the same have the old outline, not the new one."""
    date: Optional[str] = None
    """Of the old map, ISO 8601."""


@dataclass(frozen=True)
class ObjectCount:
    """One row of the table of an update."""

    status: str
    """``kept``, ``reshaped``, ``split``, ``merged``, ``new``, ``gone``, ``unseen``, ``outside``."""
    color: str
    """``#rrggbb``"""
    old: int
    """Objects of the old map."""
    new: int
    """Objects of the new image."""
    old_area_m2: Optional[float]
    """On the ellipsoid; None without georeference."""
    new_area_m2: Optional[float]
