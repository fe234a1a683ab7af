"""The few places where QGIS 3.22, 3.40 and 4.x spell things differently."""

from typing import Any, Callable

from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsWkbTypes,
)


def _either(new: Callable[[], Any], old: Callable[[], Any]) -> Any:
    """The new spelling's value where this QGIS knows it."""
    try:
        return new()
    except AttributeError:
        return old()


SOURCE_POLYGON = _either(
    lambda: Qgis.ProcessingSourceType.VectorPolygon,
    lambda: QgsProcessing.SourceType.TypeVectorPolygon,
)
SOURCE_RASTER = _either(
    lambda: Qgis.ProcessingSourceType.Raster,
    lambda: QgsProcessing.SourceType.TypeRaster,
)
NUMBER_INTEGER = _either(
    lambda: Qgis.ProcessingNumberParameterType.Integer,
    lambda: QgsProcessingParameterNumber.Type.Integer,
)
NUMBER_DOUBLE = _either(
    lambda: Qgis.ProcessingNumberParameterType.Double,
    lambda: QgsProcessingParameterNumber.Type.Double,
)
FLAG_ADVANCED = _either(
    lambda: Qgis.ProcessingParameterFlag.Advanced,
    lambda: QgsProcessingParameterDefinition.Flag.FlagAdvanced,
)
FILE_BEHAVIOR = _either(
    lambda: Qgis.ProcessingFileParameterBehavior.File,
    lambda: QgsProcessingParameterFile.Behavior.File,
)
GEOMETRY_POLYGON = _either(
    lambda: Qgis.GeometryType.Polygon,
    lambda: QgsWkbTypes.GeometryType.PolygonGeometry,
)
WKB_MULTIPOLYGON = _either(
    lambda: Qgis.WkbType.MultiPolygon,
    lambda: QgsWkbTypes.Type.MultiPolygon,
)
