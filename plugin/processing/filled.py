"""What stands in an algorithm's form, in Python's terms."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import NULL


@dataclass(frozen=True)
class Filled:
    """The values of one run, asked of the algorithm that they were filled in for."""

    algorithm: QgsProcessingAlgorithm
    values: Dict[str, Any]
    context: QgsProcessingContext

    def text(self, name: str) -> str:
        """A text without blanks around it; "" when empty."""
        return self.algorithm.parameterAsString(self.values, name, self.context).strip()

    def choice(self, name: str) -> str:
        """The name that was chosen from a list."""
        return self.algorithm.parameterAsEnumString(self.values, name, self.context)

    def choices(self, name: str) -> List[str]:
        """The names that were chosen from a list of which several may be."""
        found = self.algorithm.parameterAsEnumStrings(self.values, name, self.context)
        return [text for text in found if text]

    def flag(self, name: str) -> bool:
        """Whether a box is ticked."""
        return self.algorithm.parameterAsBool(self.values, name, self.context)

    def file(self, name: str) -> str:
        """A file's path; "" when empty."""
        return self.algorithm.parameterAsFile(self.values, name, self.context)

    def number(self, name: str) -> Optional[float]:
        """A number; None when empty."""
        empty = self.values.get(name) in (None, "", NULL)
        return None if empty else self.algorithm.parameterAsDouble(self.values, name, self.context)

    def raster(self, name: str) -> QgsRasterLayer:
        """A raster layer; Processing's own complaint when there is none."""
        layer = self.algorithm.parameterAsRasterLayer(self.values, name, self.context)
        if layer is None:
            complaint = self.algorithm.invalidRasterError(self.values, name)
            raise QgsProcessingException(complaint)
        return layer

    def vector(self, name: str) -> QgsVectorLayer:
        """A vector layer; Processing's own complaint when there is none."""
        layer = self.algorithm.parameterAsVectorLayer(self.values, name, self.context)
        if layer is None:
            raise QgsProcessingException(self.algorithm.invalidSourceError(self.values, name))
        return layer

    def rasters(self, name: str) -> List[QgsRasterLayer]:
        """Several raster layers, in the user's order; Processing's complaint for what is none."""
        wanted = self.values.get(name) or []
        layers = self.algorithm.parameterAsLayerList(self.values, name, self.context)
        found = [layer for layer in layers if isinstance(layer, QgsRasterLayer)]
        if len(found) != (len(wanted) if isinstance(wanted, (list, tuple)) else 1):
            complaint = self.algorithm.invalidRasterError(self.values, name)
            raise QgsProcessingException(complaint)
        return found

    def polygons(self, name: str) -> Any:
        """A source of features, None when empty."""
        source = self.algorithm.parameterAsSource(self.values, name, self.context)
        if source is None and self.values.get(name):
            complaint = self.algorithm.invalidSourceError(self.values, name)
            raise QgsProcessingException(complaint)
        return source

    def extent(self, name: str, crs: Any) -> Optional[Tuple[float, float, float, float]]:
        """``(west, south, east, north)`` in ``crs``; None when empty."""
        box = self.algorithm.parameterAsExtent(self.values, name, self.context, crs)
        if box.isNull():
            return None
        return box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()

    def output(self, name: str) -> str:
        """Where a layer is to be written; "" when it is not wanted."""
        return self.algorithm.parameterAsOutputLayer(self.values, name, self.context)

    def file_output(self, name: str) -> str:
        """Where a file is to be written; "" when it is not wanted."""
        return self.algorithm.parameterAsFileOutput(self.values, name, self.context)

    def destination(self, name: str) -> str:
        """Where a layer or a file is to be written; "" when it is not wanted."""
        definition = self.algorithm.parameterDefinition(name)
        if definition.type() == "fileDestination":
            return self.algorithm.parameterAsFileOutput(self.values, name, self.context)
        return self.output(name)
