"""Requests, jobs, models and artifacts as both sides see them.

Paths and URIs cross the wire, never pixels. Every path is absolute: the two processes may stand in
different folders. Coordinates are in the CRS named beside them.
"""

import enum
from dataclasses import dataclass, field
from typing import Dict, Literal, Optional, Tuple, Union

from .analyses import AssessRequest, CalibrateRequest, SampleRequest, TotalsRequest
from .errors import ErrorInfo
from .results import Artifact as Artifact  # noqa: PLC0414 - known under both names
from .results import ClassArea as ClassArea  # noqa: PLC0414 - known under both names
from .results import RunSummary as RunSummary  # noqa: PLC0414 - known under both names
from .update import UpdateOptions

Precision = Literal["exact", "fast"]
"""The arithmetic of a network: float32, or what the device computes faster with fewer digits."""
ValueType = Literal["float32", "uint16"]
"""How a raster stores values: as they are, or as whole numbers to 65534; 65535 is no data."""
CloudRule = Literal["mask", "ignore"]
"""Clouds of two dates are found first, where a cloud model fits and is installed, and left out;
or they are taken for ground."""
AllometryName = Literal["asner-mascaro-2014", "longo-2016", "power"]
"""Formulas of biomass from canopy height; ``power`` is one of the user's own."""
ChangeMethod = Literal["irmad", "cva", "logratio", "classes", "embedding", "flood"]
"""Ways to compare two dates without a trained model."""


@enum.unique
class TaskName(str, enum.Enum):
    """What can be asked of the engine."""

    SEGMENT = "segment"
    APPLY = "apply"
    CHANGE = "change"
    BIOMASS = "biomass"
    ASSESS = "assess"
    SAMPLE = "sample"
    TOTALS = "totals"
    CALIBRATE = "calibrate"
    UPDATE = "update"


@enum.unique
class JobState(str, enum.Enum):
    """Where a job stands; ``interrupted`` is a job whose worker vanished and that can go on."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether no worker will touch the job again by itself."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class InputSpec:
    """One scene: its files and how to understand their numbers."""

    uris: Tuple[str, ...]
    """Files of one scene: a raster, bands as separate files, tiles of a mosaic, a folder, a
    ``/vsi…`` path or a STAC item. Absolute."""
    profile: str = "auto"
    """Input profile that turns stored numbers into physical ones, as ``NAME`` or
    ``NAME:KEY=VALUE,…``; ``auto`` reads it from the metadata and refuses to guess."""
    bands: Dict[str, str] = field(default_factory=dict)
    """Band by role (common name): a 1-based number, a band description or a file name."""
    nodata: Optional[float] = None
    """A value to treat as nodata besides what the files declare."""
    gsd: Optional[float] = None
    """Ground sampling distance in metres, for images without georeference only."""
    date: Optional[str] = None
    """When it was acquired, ISO 8601; None: as the metadata have it."""
    offset: Optional[Tuple[float, float]] = None
    """What to add to the georeference of its files before anything else: (x, y) in the units of
    their CRS, pixels (y upwards) without georeference; what then lies between another scene's
    pixels is interpolated by a cubic. None: they lie where they say."""
    mask: Optional[str] = None
    """A raster over it: where that has a number other than 0, such as a cloud's, the scene counts
    as having no data. Absolute."""


@dataclass(frozen=True)
class NamedInput:
    """A further scene for a model that looks at several."""

    name: str
    """As the model's card calls the input: before, height, prior …; "" for the one that the card
    lacks, where that is clear."""
    input: InputSpec


@dataclass(frozen=True)
class Region:
    """The part of the scene to work on; everything when empty."""

    bounds: Optional[Tuple[float, float, float, float]] = None
    """``(west, south, east, north)`` in ``bounds_crs``."""
    bounds_crs: Optional[str] = None
    """Authority code or WKT; the scene's own CRS when None."""
    aoi: Optional[str] = None
    """A vector file (``FILE`` or ``FILE|layername=NAME``) whose polygons limit the result."""


@dataclass(frozen=True)
class OutputSpec:
    """Where finished files go. Absolute paths; nothing is written anywhere else."""

    raster: str
    vector: Optional[str] = None
    probability: Optional[str] = None
    overwrite: bool = False
    report: Optional[str] = None
    """An HTML page about the run: pictures, areas, findings, and how it was made."""
    value_type: ValueType = "float32"
    """Of a raster of values; classes are bytes."""


@dataclass(frozen=True)
class PolygonOptions:
    """What the polygons of the vector output are to look like.

    Lengths in metres, areas in square metres; in pixels where nobody knows their size.
    """

    min_area: float = 0.0
    """Smaller polygons are left out."""
    fill_holes: float = 0.0
    """Smaller holes are closed."""
    simplify: float = 0.0
    """Size of the details that go; neighbours go on sharing their borders."""
    square: Tuple[str, ...] = ()
    """Names of classes whose polygons get right angles, such as buildings."""
    classes: Tuple[str, ...] = ()
    """Names of the classes whose polygons are written; ``change`` stands for every kind of it.
    None: of all, or of every kind of change where the result tells change."""


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count`` nearly equal parts of a run's blocks."""

    number: int
    """From 1 to ``count``."""
    count: int


@dataclass(frozen=True)
class ChangeOptions:
    """How two dates are compared where no model is trained for it.

    ``classes`` compares two class maps code by code, and has no threshold. ``embedding`` compares
    what an encoder makes of both dates: the request's ``model``, or ``auto`` for the catalogue's
    that fits. ``flood`` tells new water from water that was there; its threshold is a drop in dB.
    Further scenes named ``also`` are further dates for the filter against speckle of ``logratio``.
    """

    method: ChangeMethod = "irmad"
    false_alarm: Optional[float] = None
    """Share of unchanged pixels, 0..1, that may be taken for change. None: where the statistic
    falls into two groups (Otsu)."""
    threshold: Optional[float] = None
    """Instead of both: the root of the statistic, in standard deviations of noise, at which change
    begins."""


@dataclass(frozen=True)
class AllometryOptions:
    """How above-ground biomass is made of canopy height."""

    name: AllometryName = "asner-mascaro-2014"
    factor: Optional[float] = None
    """Of ``power``: biomass in Mg/ha is ``factor * height ** exponent``."""
    exponent: Optional[float] = None
    residual: Optional[float] = None
    """Of ``power``: standard deviation of plots around it, as a share of the estimate."""
    plot_m: Optional[float] = None
    """Side of the square plots over which heights are averaged first, metres. None: as the
    formula was made for."""
    height_error: float = 0.0
    """Standard deviation of a plot's mean height, metres."""
    carbon_fraction: float = 0.47
    """Of dry biomass, for formulas of carbon (IPCC 2006, volume 4, table 4.3)."""


@dataclass(frozen=True)
class SegmentRequest:
    """Run a model on a scene: classes, values, whatever its card says."""

    input: InputSpec
    output: OutputSpec
    model: str = "auto"
    """Catalogue id, a model or card file, or ``auto``: the best catalogue model for the bands."""
    others: Tuple[NamedInput, ...] = ()
    """The model's further inputs; they are brought to the grid of ``input``."""
    change: Optional[ChangeOptions] = None
    """Compare ``input`` with the one further input, instead of running a model."""
    allometry: Optional[AllometryOptions] = None
    """Make biomass of ``input``, a canopy height, instead of running a model."""
    coregister: bool = False
    """Move the second of two dates onto the first, by the shift found between them; refused where
    none can be found."""
    clouds: CloudRule = "ignore"
    """Of two dates: what becomes of clouds and their shadows."""
    region: Region = field(default_factory=Region)
    query: Optional[str] = None
    """Absolute path of a picture of what is looked for, for models that give embeddings: the
    result is each place's similarity to it."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1`` …, ``tensorrt``, ``coreml``, ``directml``,
    ``openvino``."""
    precision: Precision = "exact"
    """``fast`` is ``exact`` where the device has nothing faster; the job says so then."""
    polygons: PolygonOptions = field(default_factory=PolygonOptions)
    memory: Optional[int] = None
    """MiB that the run may use; decides on the tiles' size. None: the engine's default."""
    work: Optional[str] = None
    """Absolute folder for the plan and the blocks, shared by the shards of a run. None: one of
    the job's own."""
    shard: Optional[Shard] = None
    """Compute only these blocks and leave them in ``work``. None: compute what is missing there,
    and publish."""

    @property
    def files_read(self) -> Tuple[str, ...]:
        """Of the user's, remote ones too."""
        specs = (self.input, *(other.input for other in self.others))
        named = tuple(uri for spec in specs for uri in (*spec.uris, spec.mask) if uri)
        return named if self.query is None else (*named, self.query)

    @property
    def files_written(self) -> Tuple[str, ...]:
        """As the user named them."""
        output = self.output
        several = (output.raster, output.vector, output.probability, output.report)
        return tuple(path for path in several if path is not None)


@dataclass(frozen=True)
class UpdateRequest:
    """Bring a map of objects up to date with an image of a later date."""

    options: UpdateOptions
    run: SegmentRequest
    """What finds the objects in the image; ``run.polygons.classes`` says which are wanted (none:
    all but the card's first class), of ``run.output`` only ``overwrite`` counts."""
    work = shard = None

    @property
    def device(self) -> str:
        """As ``SegmentRequest`` has it."""
        return self.run.device

    @property
    def files_read(self) -> Tuple[str, ...]:
        """Of the user's."""
        return (self.options.map, *self.run.files_read)

    @property
    def files_written(self) -> Tuple[str, ...]:
        """As the user named them."""
        return (self.options.output,)


Request = Union[
    SegmentRequest,
    UpdateRequest,
    AssessRequest,
    SampleRequest,
    TotalsRequest,
    CalibrateRequest,
]

REQUESTS: Dict[TaskName, type] = {
    TaskName.ASSESS: AssessRequest,
    TaskName.SAMPLE: SampleRequest,
    TaskName.TOTALS: TotalsRequest,
    TaskName.CALIBRATE: CalibrateRequest,
    TaskName.UPDATE: UpdateRequest,
}
"""The request's shape by task; ``SegmentRequest`` for all others."""


@dataclass(frozen=True)
class Submission:
    """What ``POST /v1/jobs`` takes: the task's name selects the request's shape."""

    task: TaskName
    request: Request = field(metadata={"by": ("task", REQUESTS, SegmentRequest)})
    label: str = ""
    """A name for people, such as the layer's."""


@dataclass(frozen=True)
class Job:
    """A job as the store knows it."""

    id: str
    task: TaskName
    state: JobState
    created: str
    """UTC, ISO 8601, as every time in the contract."""
    label: str = ""
    started: Optional[str] = None
    ended: Optional[str] = None
    done: int = 0
    total: int = 0
    """Progress in ``unit``; 0 of 0 while unknown."""
    unit: str = ""
    stage: str = ""
    last_seq: int = 0
    """Sequence number of the job's newest event."""
    artifacts: Tuple[Artifact, ...] = ()
    summary: Optional[RunSummary] = None
    error: Optional[ErrorInfo] = None


@dataclass(frozen=True)
class JobList:
    """Newest first."""

    jobs: Tuple[Job, ...] = ()


@dataclass(frozen=True)
class ModelClass:
    """One class of a model's legend."""

    id: int
    name: str
    color: str
    """``#rrggbb``"""


@dataclass(frozen=True)
class ModelInfo:
    """What a user must know to choose a model."""

    id: str
    title: str
    task: TaskName
    summary: str
    bands: Tuple[str, ...]
    """Common names, in the model's order."""
    gsd: float
    """Metres at which the model works best."""
    classes: Tuple[ModelClass, ...]
    license: str
    installed: bool
    size: int
    """Bytes of the model file."""
    source: str


@dataclass(frozen=True)
class ModelList:
    """The catalogue."""

    models: Tuple[ModelInfo, ...] = ()


@dataclass(frozen=True)
class InstallRequest:
    """What ``POST /v1/models/{id}/install`` takes; without a body, the defaults."""

    accepted_licence: Optional[str] = None
    """The licence that the user was shown and accepts; it counts while it is the model's."""


@dataclass(frozen=True)
class EngineInfo:
    """The engine's answer to ``hello``."""

    protocol: str
    version: str
    pid: int
    python: str
    state_dir: str
    tasks: Tuple[TaskName, ...] = ()


@dataclass(frozen=True)
class Tenant:
    """A program that needs the engine; the engine leaves when the last one has gone."""

    pid: int
    name: str = ""
