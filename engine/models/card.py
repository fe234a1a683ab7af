"""What a model needs and gives, in the words of the STAC MLM extension where it has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.contract.messages import ModelClass, TaskName
from engine.geo.tiling import TileRule

Quantity = Literal["toa_reflectance", "surface_reflectance", "reflectance", "rgb", "raw"]
Activation = Literal["softmax", "sigmoid", "none"]
MergeRule = Literal["crop", "weighted"]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """``(physical - mean) / std``, one number a band."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The raster that the model looks at."""

    bands: tuple[str, ...]
    """Common names in the model's order."""
    quantity: Quantity
    """Physical quantity of the numbers that ``normalisation`` is applied to."""
    valid_range: tuple[float, float]
    """Plausible physical values; a scene far outside is refused."""
    normalisation: Normalisation
    gsd: float
    """Ground sampling distance of the training data, metres."""
    gsd_range: tuple[float, float]
    """Metres between which a raster is used as it is; outside it is resampled to ``gsd``."""


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What comes out of the network, and what it means."""

    classes: tuple[ModelClass, ...]
    """In the order of the score channels; ``id`` is the value written to the raster."""
    activation: Activation
    nodata: int = 255
    """Value of the class raster where there is no result; never a class id."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """Where the bytes are, and which bytes."""

    uri: str
    """``pypi://PACKAGE==VERSION/path/in/archive``, ``https://…``, ``file://…``."""
    sha256: str
    size: int
    """Bytes."""
    format: Literal["onnx"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything Swath has to know to run a model and to show it to a person."""

    id: str
    version: str
    title: str
    summary: str
    task: TaskName
    input: ModelInput
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
