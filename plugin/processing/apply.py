"""``swath:apply``: any model on one raster layer or several, whatever it looks at and gives."""

from qgis.core import QgsProcessingAlgorithm
from qgis.PyQt.QtGui import QIcon

from ...engine.contract.messages import TaskName
from ...engine.contract.places import state_dir
from ..catalogue import known_cards
from ..process import may_have_engine
from ..settings import RESOURCES, current_launch, icon_path
from .filled import Filled
from .forms import apply_form
from .help import apply_help
from .language import tr
from .parameters import apply_parameters
from .work import add_outputs, prepare, problem_of

TAGS = [
    *("deep learning", "machine learning", "AI", "neural network", "onnx", "pytorch"),
    *("change", "before", "after", "time series", "dates", "multitemporal"),
    *("regression", "biomass", "height", "embedding", "super-resolution", "similarity"),
]


class ApplyAlgorithm(QgsProcessingAlgorithm):
    """Runs in Processing's own thread; the computing is done by the engine."""

    def createInstance(self):
        return ApplyAlgorithm()

    def name(self):
        return "apply"

    def displayName(self):
        return tr("Apply a model")

    def group(self):
        return tr("Models")

    def groupId(self):
        return "models"

    def tags(self):
        return TAGS

    def icon(self):
        return QIcon(icon_path("apply"))

    def svgIconPath(self):
        return icon_path("apply")

    def shortDescription(self):
        return tr(
            "Runs any model on rasters of any size: two dates, series, earlier maps; "
            "classes, values, embeddings, finer pixels."
        )

    def shortHelpString(self):
        return apply_help(_cards())

    def helpUrl(self):
        return "https://github.com/swath-project/swath#readme"

    def initAlgorithm(self, config=None):
        for parameter in apply_parameters(_cards()):
            self.addParameter(parameter)
        add_outputs(self)

    def canExecute(self):
        problem = may_have_engine(current_launch())
        return (True, "") if problem is None else (False, str(problem))

    def checkParameterValues(self, parameters, context):
        problem = problem_of(Filled(self, parameters, context), apply_form)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters, context, feedback):
        """In the GUI thread."""
        self.work = prepare(TaskName.APPLY, Filled(self, parameters, context), apply_form)
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """In Processing's thread."""
        return self.work.carry_out(Filled(self, parameters, context), _cards(), feedback)


def _cards():
    return known_cards(RESOURCES / "cards", state_dir() / "models" / "cards")
