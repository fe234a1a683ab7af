"""The parameters of the algorithms, each in the order of its dialog."""

from typing import List, Sequence, get_args

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)
from qgis.PyQt.QtCore import QT_TRANSLATE_NOOP

from ...engine.contract.messages import ChangeMethod
from ..catalogue import CardChoice
from ..compat import (
    FILE_BEHAVIOR,
    FLAG_ADVANCED,
    NUMBER_DOUBLE,
    NUMBER_INTEGER,
    SOURCE_POLYGON,
    SOURCE_RASTER,
)
from .language import tr

Parameters = List[QgsProcessingParameterDefinition]
AUTO = "auto"
PROFILES = (
    AUTO,
    *("reflectance", "reflectance-10000"),
    *("sentinel2-l1c", "sentinel2-l1c-0400", "sentinel2-l2a", "sentinel2-l2a-0400"),
    *("landsat-c1-l1", "landsat-c2-l1", "landsat-c1-l2", "landsat-c2-l2"),
    *("rgb8", "decibel", "power", "raw"),
)
"""The engine's input profiles, but for ``custom``, which has a field of its own."""
DEVICES = (AUTO, "cpu", "cuda", "tensorrt", "coreml", "directml", "openvino")
PRECISIONS = ("exact", "fast")
MODEL_FILES = "*.json *.onnx *.pt *.pt2 *.ts *.torchscript *.safetensors"
RESULT = QT_TRANSLATE_NOOP("Swath", "Result")
"""A raster of classes or of values: the model's card says which."""
METHODS = get_args(ChangeMethod)
"""The engine's ways to compare two dates without a model."""
BY_MODEL = "model"
"""The choice besides them."""
NO_MODEL = "none"
USUAL_IOU = 0.5
HIGHEST_SUN = 90.0
LEAST_MEMORY = 400
"""MiB, as the engine has it."""


def segment_parameters(cards: Sequence[CardChoice]) -> Parameters:
    """Those of ``swath:segment``, new."""
    advanced = [
        *_numbers_of_input(),
        _min_area(),
        _model_file(tr("Model or card from a file, instead of the model chosen above")),
        *_computing(),
    ]
    return [
        QgsProcessingParameterRasterLayer("INPUT", tr("Raster layer")),
        _model(cards),
        *_area(),
        _profile(),
        *(_advanced(p) for p in advanced),
        *_outputs(tr("Classes"), tr("Polygons"), tr("Class probabilities")),
    ]


def apply_parameters(cards: Sequence[CardChoice]) -> Parameters:
    """Those of ``swath:apply``, new; its own ones follow those of ``swath:segment``."""
    advanced = [
        *_numbers_of_input(),
        _text("DATE", tr("Date of the raster layer, such as 2024-07-31")),
        _text("OTHER_PROFILES", tr("Input profiles of the further layers (as above when empty)")),
        _text("OTHER_BANDS", tr("Bands of the further layers, such as red=1, nir=2; class=1")),
        _query(),
        _min_area(),
        *_computing(),
        _memory(),
    ]
    return [
        QgsProcessingParameterRasterLayer("INPUT", tr("Raster layer: the model's first input")),
        _model(cards),
        _model_file(tr("Model or card from a file, instead of the model chosen above")),
        *_further_layers(),
        *_area(),
        _profile(),
        *(_advanced(p) for p in advanced),
        *_outputs(
            tr(RESULT),
            tr("Polygons, of models that give classes"),
            tr("Class probabilities, of models that give classes"),
        ),
    ]


def change_parameters(cards: Sequence[CardChoice]) -> Parameters:
    """Those of ``swath:change``, new; ``cards`` are of models of two dates."""
    advanced = [
        _threshold(),
        _also(),
        _text("BEFORE_DATE", tr("Date of the layer before, such as 2023-07-31")),
        _text("AFTER_DATE", tr("Date of the layer after, such as 2024-07-31")),
        *_numbers_of_input(),
        _text("AFTER_PROFILE", tr("Input profile of the layer after (as above when empty)")),
        _text("AFTER_BANDS", tr("Bands of the layer after (as above when empty)")),
        _min_area(),
        *_computing(),
        _memory(),
    ]
    return [
        QgsProcessingParameterRasterLayer(
            "BEFORE", tr("Before: the raster layer of the first date")
        ),
        QgsProcessingParameterRasterLayer(
            "AFTER", tr("After: the raster layer of the second date")
        ),
        choice(
            "METHOD",
            tr("Method (optical: irmad, cva, embedding; radar: logratio, flood)"),
            [*METHODS, BY_MODEL],
        ),
        choice(
            "MODEL",
            tr("Model (of two dates; of one for classes; an encoder for embedding)"),
            [NO_MODEL, *(card.id for card in cards)],
        ),
        _model_file(tr("Model or card from a file instead")),
        _false_alarm(),
        QgsProcessingParameterBoolean(
            "COREGISTER", tr("Move the layer after onto the layer before"), defaultValue=False
        ),
        QgsProcessingParameterBoolean(
            "CLOUDS", tr("Leave out clouds and their shadows"), defaultValue=True
        ),
        *_area(),
        _profile(),
        *(_advanced(p) for p in advanced),
        *_outputs(tr("Change"), tr("Polygons"), tr("Class probabilities"), has_report=True),
    ]


def update_parameters(cards: Sequence[CardChoice]) -> Parameters:
    """Those of ``swath:update``, new; ``cards`` are of models that give classes."""
    advanced = [
        _text("CLASSES", tr("Classes of the model that are objects (all but the first if empty)")),
        _text("HIDDEN", tr("Classes of the model that hide the ground, such as cloud")),
        _text("MAP_DATE", tr("Date of the map, such as 2020-07-31")),
        _text("DATE", tr("Date of the image, such as 2024-07-31")),
        *_numbers_of_input(),
        *_computing(),
        _memory(),
    ]
    return [
        QgsProcessingParameterVectorLayer("MAP", tr("Map: polygons of before"), [SOURCE_POLYGON]),
        QgsProcessingParameterRasterLayer("INPUT", tr("Image: raster layer of the later date")),
        choice("MODEL", tr("Model that marks these objects"), [card.id for card in cards]),
        _model_file(tr("Model or card from a file instead")),
        QgsProcessingParameterField(
            "FIELD", tr("Field of the map with its classes"), None, "MAP", optional=True
        ),
        QgsProcessingParameterNumber(
            "IOU",
            tr("Overlap from which on an object is the same (intersection over union)"),
            NUMBER_DOUBLE,
            defaultValue=USUAL_IOU,
            minValue=0.0,
            maxValue=1.0,
        ),
        _min_area(),
        _text("SQUARE", tr("Classes whose objects get right angles, such as building")),
        QgsProcessingParameterBoolean(
            "KEEP_OUTLINES",
            tr("Objects that are the same keep their old outline"),
            defaultValue=False,
        ),
        *_area(),
        _profile(),
        *(_advanced(p) for p in advanced),
        QgsProcessingParameterVectorDestination("OUTPUT", tr("Updated map"), SOURCE_POLYGON),
    ]


def _false_alarm() -> QgsProcessingParameterDefinition:
    return _number(
        "FALSE_ALARM",
        tr("Tolerated share of false alarms (automatic when empty)"),
        minValue=0.0,
        maxValue=1.0,
    )


def _also() -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterMultipleLayers(
        "ALSO", tr("Further dates, against the speckle of radar"), SOURCE_RASTER, optional=True
    )


def _threshold() -> QgsProcessingParameterDefinition:
    return _number(
        "THRESHOLD",
        tr("Where change begins instead, in deviations of noise, such as 4"),
        minValue=0.0,
    )


def _model(cards: Sequence[CardChoice]) -> QgsProcessingParameterDefinition:
    return choice("MODEL", tr("Model"), [AUTO, *(card.id for card in cards)])


def _model_file(title: str) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFile(
        "MODEL_FILE",
        title,
        FILE_BEHAVIOR,
        optional=True,
        fileFilter=f"{tr('Models')} ({MODEL_FILES})",
    )


def _further_layers() -> Parameters:
    return [
        QgsProcessingParameterMultipleLayers(
            "OTHERS",
            tr("Further layers, such as a second date or an earlier map"),
            SOURCE_RASTER,
            optional=True,
        ),
        _text(
            "NAMES",
            tr("Names of the further layers, such as after, prior (from the card when empty)"),
        ),
    ]


def _area() -> Parameters:
    return [
        QgsProcessingParameterExtent(
            "EXTENT", tr("Extent (whole raster when empty)"), optional=True
        ),
        QgsProcessingParameterFeatureSource(
            "MASK", tr("Only inside these polygons"), [SOURCE_POLYGON], optional=True
        ),
    ]


def _profile() -> QgsProcessingParameterDefinition:
    return choice("PROFILE", tr("Input profile: how numbers become reflectance"), PROFILES)


def _numbers_of_input() -> Parameters:
    """What the numbers in the main input mean."""
    return [
        _number(
            "SUN_ELEVATION",
            tr("Sun elevation in degrees, for the profiles landsat-…-l1"),
            minValue=0.0,
            maxValue=HIGHEST_SUN,
        ),
        _text(
            "CUSTOM_PROFILE",
            tr("Input profile as text, such as custom:quantity=reflectance,scale=0.0002"),
        ),
        _text("BANDS", tr("Bands by role, such as red=4, nir=5 (read from the file when empty)")),
        _number("NODATA", tr("Value without data, besides those that the file declares")),
        _number("GSD", tr("Pixel size in metres, for images without georeference"), minValue=0.0),
    ]


def _min_area() -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterNumber(
        "MIN_AREA",
        tr("Smallest polygon kept, in square metres"),
        NUMBER_DOUBLE,
        defaultValue=0.0,
        minValue=0.0,
    )


def _query() -> QgsProcessingParameterDefinition:
    title = tr("Picture of what is looked for, of models that give embeddings")
    return QgsProcessingParameterFile("QUERY", title, FILE_BEHAVIOR, optional=True)


def _computing() -> Parameters:
    return [
        choice("DEVICE", tr("Device"), DEVICES),
        choice("PRECISION", tr("Precision: exact, or fast with fewer digits"), PRECISIONS),
    ]


def _memory() -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterNumber(
        "MEMORY",
        tr("Memory that the run may use, in MiB"),
        NUMBER_INTEGER,
        optional=True,
        minValue=LEAST_MEMORY,
    )


def _outputs(
    raster: str, polygons: str, probabilities: str, *, has_report: bool = False
) -> Parameters:
    """Destinations; ``has_report``: whether the page is written unless a user skips it."""
    return [
        QgsProcessingParameterRasterDestination("OUTPUT", raster),
        QgsProcessingParameterVectorDestination(
            "VECTOR", polygons, SOURCE_POLYGON, optional=True, createByDefault=False
        ),
        QgsProcessingParameterRasterDestination(
            "PROBABILITY", probabilities, optional=True, createByDefault=False
        ),
        QgsProcessingParameterFileDestination(  # QGIS makes it an HTML output by its filter
            "REPORT",
            tr("Report"),
            f"{tr('HTML files')} (*.html *.htm)",
            optional=True,
            createByDefault=has_report,
        ),
    ]


def _text(name: str, title: str) -> QgsProcessingParameterDefinition:
    """A text that may be left empty."""
    return QgsProcessingParameterString(name, title, optional=True)


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
