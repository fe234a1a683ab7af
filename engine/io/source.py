"""What the pipeline reads from, whatever files stand behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.contract.messages import InputSpec
from engine.geo.chip import Chip
from engine.geo.grid import Grid
from engine.geo.window import Window


@dataclass(frozen=True, slots=True)
class Scaling:
    """``physical = stored * scale + offset``, or that in decibel where it is power."""

    scale: float = 1.0
    offset: float = 0.0
    is_power: bool = False
    """Whether the physical value is 10 times the decimal logarithm of the result."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band of a scene."""

    role: str
    """Common name (STAC ``eo:common_name``: blue, green, red, nir, swir16, …); "" when unknown."""
    name: str
    """What the file calls it, or ``band N``."""
    dtype: str
    """numpy name of the stored type."""
    nodata: float | None
    scaling: Scaling
    """Stored numbers to physical ones."""


class Source(Protocol):
    """Chosen bands of one scene on one grid. Safe to read from several threads."""

    @property
    def grid(self) -> Grid:
        """The scene's own pixels."""
        ...

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands of every chip, in order."""
        ...

    def read(self, window: Window) -> Chip:
        """Stored (unscaled) pixels of ``window``, which must lie within the grid.

        ``valid`` is exact: False where any band is nodata, masked or transparent, where a float
        is NaN, and between the tiles of a mosaic.

        Raises:
            EngineError: ``INPUT_UNREADABLE`` when the file cannot be read there.
        """
        ...

    def close(self) -> None:
        """Give back all file handles."""
        ...


@dataclass(frozen=True, slots=True)
class ResolvedProfile:
    """How this scene's numbers become physical values, and how that was found out."""

    name: str
    """Profile with its parameters, fit for ``--input-profile``."""
    quantity: str
    """``toa_reflectance``, ``surface_reflectance``, ``reflectance``, ``rgb`` or ``raw``."""
    sentence: str
    """For the user: what is applied and where it was read."""


class Scene(Protocol):
    """The files of one acquisition, understood: grid, bands by role, scaling."""

    @property
    def grid(self) -> Grid:
        """The pixels that results are delivered on."""
        ...

    @property
    def bands(self) -> tuple[Band, ...]:
        """All bands found."""
        ...

    @property
    def profile(self) -> ResolvedProfile:
        """The scaling in force."""
        ...

    @property
    def resolved(self) -> InputSpec:
        """The same input with nothing left to find out: opens alike anywhere, any time."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences the user should read before a run (a warp, a missing georeference, …)."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is read, also those of a folder or a STAC item."""
        ...

    @property
    def acquired(self) -> str | None:
        """When the scene was acquired: UTC, ISO 8601; None when nothing tells."""
        ...

    def thinned(self, times: float) -> Scene:
        """The same scene with pixels so many times as long: one of those within each is read.

        Its ``grid`` stays as it is; ask ``source`` for a coarser one.
        """
        ...

    def source(
        self,
        roles: tuple[str, ...],
        grid: Grid | None = None,
        stand_in: Callable[[str], str] | None = None,
        *,
        is_class_map: bool = False,
    ) -> Source:
        """The bands of these roles, in this order; an empty tuple: all bands.

        Args:
            roles: Common names.
            grid: Where the pixels are wanted; the scene's own grid when None.
            stand_in: Names the file whose pixels are read for a URI, as ``spool.Spool`` does.
            is_class_map: Whether the numbers are codes, of which the nearest one is taken.

        Raises:
            EngineError: ``BAND_MISSING`` naming roles wanted and bands found, ``BAND_COUNT``,
                ``INPUT_GRID_MISMATCH`` when the scene lies elsewhere.
        """
        ...
