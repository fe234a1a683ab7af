"""``swath:segment``: a raster layer goes in, a class raster and its polygons come back."""

from qgis.core import QgsProcessingAlgorithm
from qgis.PyQt.QtGui import QIcon

from ...engine.contract.messages import TaskName
from ..catalogue import CLASS_MAPS, read_cards
from ..process import may_have_engine
from ..settings import RESOURCES, current_launch, icon_path
from .filled import Filled
from .forms import segment_form
from .help import segment_help
from .language import tr
from .parameters import segment_parameters
from .work import add_outputs, prepare, problem_of

TAGS = [
    *("segmentation", "semantic", "classification", "mask"),
    *("deep learning", "machine learning", "AI", "neural network", "onnx"),
    *("cloud", "clouds", "shadow", "satellite", "Landsat", "Sentinel-2"),
]


class SegmentAlgorithm(QgsProcessingAlgorithm):
    """Runs in Processing's own thread; the computing is done by the engine."""

    def createInstance(self):
        return SegmentAlgorithm()

    def name(self):
        return "segment"

    def displayName(self):
        return tr("Segment raster")

    def group(self):
        return tr("Segmentation")

    def groupId(self):
        return "segmentation"

    def tags(self):
        return TAGS

    def icon(self):
        return QIcon(icon_path("segment"))

    def svgIconPath(self):
        return icon_path("segment")

    def shortDescription(self):
        return tr("Finds the classes of a trained model, such as clouds, in a raster of any size.")

    def shortHelpString(self):
        return segment_help(_cards())

    def helpUrl(self):
        return "https://github.com/swath-project/swath#readme"

    def initAlgorithm(self, config=None):
        for parameter in segment_parameters(_cards()):
            self.addParameter(parameter)
        add_outputs(self)

    def canExecute(self):
        problem = may_have_engine(current_launch())
        return (True, "") if problem is None else (False, str(problem))

    def checkParameterValues(self, parameters, context):
        problem = problem_of(Filled(self, parameters, context), segment_form)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters, context, feedback):
        """In the GUI thread."""
        filled = Filled(self, parameters, context)
        self.work = prepare(TaskName.SEGMENT, filled, segment_form)
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """In Processing's thread."""
        return self.work.carry_out(Filled(self, parameters, context), _cards(), feedback)


def _cards():
    cards = read_cards(RESOURCES / "cards", CLASS_MAPS)
    return tuple(card for card in cards if not card.of_two_dates)
