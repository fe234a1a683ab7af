"""Requests of work on finished maps: how good they are, and what they add up to.

They say what is read and what is written, as requests of runs do; rasters are read in windows, and
nothing of them crosses the wire. Vector layers are ``FILE`` or ``FILE|layername=NAME``.
"""

from dataclasses import dataclass
from typing import Optional, Tuple


class Analysis:
    """What these requests have in common with those of runs: one process, no folder of blocks."""

    device = "cpu"
    work: Optional[str] = None
    shard = None


@dataclass(frozen=True)
class AssessRequest(Analysis):
    """How good a map is, judged by a reference."""

    map: str
    """A raster of classes, or of values."""
    reference: str
    """Points or polygons with what is true there, or a raster of the map's kind."""
    report: str
    """The page to write (HTML); the tables go beside it."""
    field: Optional[str] = None
    """Of a layer: the one that holds the true class (its number or name) or value."""
    strata: Optional[str] = None
    """Of a layer: the field with the stratum that each point was drawn in, when those are not the
    map's classes."""
    values: bool = False
    """Whether the map holds values rather than classes."""
    probability: Optional[str] = None
    """The raster of the classes' probabilities that came with the map; points tell then whether
    they mean what they say."""
    overwrite: bool = False

    @property
    def files_read(self) -> Tuple[str, ...]:
        """Of the user's."""
        named = (self.map, self.reference)
        return named if self.probability is None else (*named, self.probability)

    @property
    def files_written(self) -> Tuple[str, ...]:
        """As the user named them."""
        return (self.report,)


@dataclass(frozen=True)
class SampleRequest(Analysis):
    """Points at which to look what is true, drawn at random within the classes of a map."""

    map: str
    output: str
    """The layer of points to write (GeoPackage)."""
    size: Optional[int] = None
    """Points in all; None: as many as the error that is aimed at needs."""
    target_error: float = 0.01
    """Standard error of the overall accuracy that is aimed at, 0..1."""
    least: int = 50
    """Points in every class at least."""
    seed: int = 0
    overwrite: bool = False

    @property
    def files_read(self) -> Tuple[str, ...]:
        """Of the user's."""
        return (self.map,)

    @property
    def files_written(self) -> Tuple[str, ...]:
        """As the user named them."""
        return (self.output,)


@dataclass(frozen=True)
class TotalsRequest(Analysis):
    """What a map of amounts per hectare adds up to in polygons, and how sure that is."""

    map: str
    """Amounts per hectare in the first band, their standard deviation in the second."""
    zones: str
    """Polygons."""
    output: str
    """The same polygons with their totals (GeoPackage)."""
    report: Optional[str] = None
    later: Optional[str] = None
    """A map of another date, of the same kind: what changed between both is added up too."""
    correlation_m: Optional[float] = None
    """Range in metres within which errors of the map resemble each other (an exponential model's
    practical range). None: as the map's own file says."""
    deviation: Optional[float] = None
    """Standard deviation of each pixel, for maps whose second band does not tell."""
    systematic: float = 0.0
    """Standard deviation of the error that all pixels share, as a share of the amount."""
    between_dates: float = 0.0
    """Correlation of the errors of both dates at one place, 0..1."""
    carbon_fraction: float = 0.47
    """Of dry biomass (IPCC 2006, volume 4, table 4.3)."""
    plots: Optional[str] = None
    """Points of a probability sample with amounts per hectare: totals are corrected by them."""
    field: Optional[str] = None
    """Of ``plots``: the amounts."""
    overwrite: bool = False

    @property
    def files_read(self) -> Tuple[str, ...]:
        """Of the user's."""
        several = (self.map, self.zones, self.later, self.plots)
        return tuple(path for path in several if path is not None)

    @property
    def files_written(self) -> Tuple[str, ...]:
        """As the user named them."""
        return (self.output,) if self.report is None else (self.output, self.report)


@dataclass(frozen=True)
class Predictor:
    """A raster from which amounts or classes are told."""

    file: str
    name: str = ""
    """What the model's card calls it; "": after its file. Of an encoder: the input's name."""
    date: Optional[str] = None
    """When it was acquired, ISO 8601."""
    profile: str = "auto"
    """What its numbers mean; numbers of which nothing tells that are taken as they are."""


@dataclass(frozen=True)
class CalibrateRequest(Analysis):
    """Fit a model to what was found on plots, from rasters that cover them."""

    plots: str
    """Points or polygons."""
    field: str
    """What was found there: an amount, or a class."""
    predictors: Tuple[Predictor, ...]
    """All of their bands are used; the first one gives the grid."""
    output: str
    """The card to write (JSON); the model goes beside it."""
    report: Optional[str] = None
    """The page to write (HTML)."""
    classes: bool = False
    """Whether ``field`` holds classes rather than amounts."""
    method: str = "forest"
    """``forest``, ``boosting`` or ``ridge``, of amounts."""
    radius: Optional[float] = None
    """Metres around points that a plot covers; None: the pixel below the point."""
    error: Optional[str] = None
    """Field with the standard error of what was found."""
    group: Optional[str] = None
    """Field that says which plots belong together in a fold; None: blocks of the ground, or of
    classes the polygons."""
    block: Optional[float] = None
    """Metres along the edge of such a block (pixels without georeference); None: as far as what
    was found resembles itself."""
    unit: str = "Mg/ha"
    indices: Tuple[str, ...] = ()
    """Of every raster that has their bands: ``ndvi``, ``ndwi``, ``ndmi`` or ``nbr``."""
    texture: int = 0
    """Pixels along the window in which mean and spread of every band are added; 0: none."""
    encoder: Optional[str] = None
    """Id of a model of the catalogue whose embeddings of the predictors are used in their place."""
    gsd: Optional[float] = None
    """Pixel size in metres of predictors without georeference."""
    seed: int = 0
    overwrite: bool = False

    @property
    def files_read(self) -> Tuple[str, ...]:
        """Of the user's."""
        return (self.plots.partition("|")[0], *(p.file for p in self.predictors))

    @property
    def files_written(self) -> Tuple[str, ...]:
        """As the user named them, and what goes beside them."""
        stem = self.output[:-5] if self.output.lower().endswith(".json") else self.output
        several = (
            self.output,
            stem + ".onnx",
            stem + "-applicability.json" if self.classes else None,
            self.report,
        )
        return tuple(path for path in several if path is not None)
