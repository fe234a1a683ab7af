"""The parameters of ``swath:segment``, in the order of its dialog."""

from typing import List, Sequence

from qgis.core import (
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..catalogue import CardChoice
from ..compat import FILE_BEHAVIOR, FLAG_ADVANCED, NUMBER_DOUBLE, SOURCE_POLYGON

AUTO = "auto"
PROFILES = (
    AUTO,
    *("reflectance", "reflectance-10000"),
    *("sentinel2-l1c", "sentinel2-l1c-0400", "sentinel2-l2a", "sentinel2-l2a-0400"),
    *("landsat-c1-l1", "landsat-c2-l1", "landsat-c1-l2", "landsat-c2-l2"),
    *("rgb8", "decibel", "raw"),
)
"""The engine's input profiles, but for ``custom``, which has a field of its own."""
DEVICES = (AUTO, "cpu", "cuda", "tensorrt", "coreml", "directml", "openvino")
PRECISIONS = ("exact", "fast")
HIGHEST_SUN = 90.0


def segment_parameters(cards: Sequence[CardChoice]) -> List[QgsProcessingParameterDefinition]:
    """All of them, new."""
    return [*_inputs(cards), *(_advanced(p) for p in _refinements()), *_outputs()]


def _inputs(cards: Sequence[CardChoice]) -> List[QgsProcessingParameterDefinition]:
    return [
        QgsProcessingParameterRasterLayer("INPUT", "Raster layer"),
        choice("MODEL", "Model", [AUTO, *(card.id for card in cards)]),
        QgsProcessingParameterExtent("EXTENT", "Extent (whole raster when empty)", optional=True),
        QgsProcessingParameterFeatureSource(
            "MASK", "Only inside these polygons", [SOURCE_POLYGON], optional=True
        ),
        choice("PROFILE", "Input profile: how numbers become reflectance", PROFILES),
    ]


def _refinements() -> List[QgsProcessingParameterDefinition]:
    return [
        _number(
            "SUN_ELEVATION",
            "Sun elevation in degrees, for the profiles landsat-…-l1",
            minValue=0.0,
            maxValue=HIGHEST_SUN,
        ),
        QgsProcessingParameterString(
            "CUSTOM_PROFILE",
            "Input profile as text, such as custom:quantity=reflectance,scale=0.0002",
            optional=True,
        ),
        QgsProcessingParameterString(
            "BANDS",
            "Bands by role, such as red=4, nir=5 (read from the file when empty)",
            optional=True,
        ),
        _number("NODATA", "Value without data, besides those that the file declares"),
        _number("GSD", "Pixel size in metres, for images without georeference", minValue=0.0),
        QgsProcessingParameterNumber(
            "MIN_AREA",
            "Smallest polygon kept, in square metres",
            NUMBER_DOUBLE,
            defaultValue=0.0,
            minValue=0.0,
        ),
        QgsProcessingParameterFile(
            "MODEL_FILE",
            "Model or card from a file, instead of the model chosen above",
            FILE_BEHAVIOR,
            optional=True,
            fileFilter="Models (*.onnx *.json)",
        ),
        choice("DEVICE", "Device", DEVICES),
        choice("PRECISION", "Precision: exact, or fast with fewer digits", PRECISIONS),
    ]


def _outputs() -> List[QgsProcessingParameterDefinition]:
    return [
        QgsProcessingParameterRasterDestination("OUTPUT", "Classes"),
        QgsProcessingParameterVectorDestination(
            "VECTOR", "Polygons", SOURCE_POLYGON, optional=True, createByDefault=False
        ),
        QgsProcessingParameterRasterDestination(
            "PROBABILITY", "Class probabilities", optional=True, createByDefault=False
        ),
    ]


def _number(name: str, title: str, **limits: float) -> QgsProcessingParameterNumber:
    """A number that may be left empty."""
    return QgsProcessingParameterNumber(name, title, NUMBER_DOUBLE, optional=True, **limits)


def choice(name: str, title: str, options: Sequence[str]) -> QgsProcessingParameterEnum:
    """One of some names; the name itself is what models and scripts store."""
    return QgsProcessingParameterEnum(
        name, title, options=list(options), defaultValue=options[0], usesStaticStrings=True
    )


def _advanced(
    parameter: QgsProcessingParameterDefinition,
) -> QgsProcessingParameterDefinition:
    parameter.setFlags(parameter.flags() | FLAG_ADVANCED)
    return parameter
