"""The provider ``swath`` of the Processing toolbox."""

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..settings import icon_path
from .accuracy import AssessAlgorithm, SampleAlgorithm
from .apply import ApplyAlgorithm
from .biomass import BiomassAlgorithm, TotalsAlgorithm
from .calibrate import CalibrateAlgorithm
from .change import ChangeAlgorithm
from .install_model import InstallModelAlgorithm
from .segment import SegmentAlgorithm
from .update import UpdateAlgorithm


class SwathProvider(QgsProcessingProvider):
    """Rasters are written as GeoTIFF, polygons as GeoPackage, both to files only."""

    def id(self):
        return "swath"

    def name(self):
        return "Swath"

    def longName(self):
        return "Swath: deep learning on rasters of any size"

    def icon(self):
        return QIcon(icon_path("swath"))

    def svgIconPath(self):
        return icon_path("swath")

    def loadAlgorithms(self):
        self.addAlgorithm(SegmentAlgorithm())
        self.addAlgorithm(ApplyAlgorithm())
        self.addAlgorithm(ChangeAlgorithm())
        self.addAlgorithm(UpdateAlgorithm())
        self.addAlgorithm(BiomassAlgorithm())
        self.addAlgorithm(CalibrateAlgorithm())
        self.addAlgorithm(TotalsAlgorithm())
        self.addAlgorithm(AssessAlgorithm())
        self.addAlgorithm(SampleAlgorithm())
        self.addAlgorithm(InstallModelAlgorithm())

    def defaultRasterFileExtension(self):
        return "tif"

    def defaultVectorFileExtension(self, hasGeometry=True):  # noqa: N803 - QGIS' name
        return "gpkg"

    def supportedOutputRasterLayerExtensions(self):
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self):
        return ["gpkg"]

    def supportsNonFileBasedOutput(self):
        return False
