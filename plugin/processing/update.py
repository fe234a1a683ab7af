"""``swath:update``: an old map and a later image go in, the map brought up to date comes back."""

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
)
from qgis.PyQt.QtGui import QIcon

from ...engine.contract.places import state_dir
from ..catalogue import known_cards
from ..process import may_have_engine
from ..settings import RESOURCES, current_launch, icon_path
from .filled import Filled
from .help import update_help
from .language import tr
from .parameters import update_parameters
from .update_form import map_problem, prepare_update

TAGS = [
    *("update", "change", "buildings", "houses", "roofs", "outlines", "footprints", "polygons"),
    *("objects", "map revision", "OpenStreetMap", "cadastre", "IoU", "matching", "new", "gone"),
]


class UpdateAlgorithm(QgsProcessingAlgorithm):
    """Runs in Processing's own thread; the computing is done by the engine."""

    def createInstance(self):
        return UpdateAlgorithm()

    def name(self):
        return "update"

    def displayName(self):
        return tr("Update a map of objects")

    def group(self):
        return tr("Change")

    def groupId(self):
        return "change"

    def tags(self):
        return TAGS

    def icon(self):
        return QIcon(icon_path("update"))

    def svgIconPath(self):
        return icon_path("update")

    def shortDescription(self):
        return tr("Finds which polygons of a map a later image still shows, and which are new.")

    def shortHelpString(self):
        return update_help(_cards())

    def helpUrl(self):
        return "https://github.com/swath-project/swath#readme"

    def initAlgorithm(self, config=None):
        for parameter in update_parameters(_cards()):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("STATUSES", tr("Table of objects by status")))
        self.addOutput(QgsProcessingOutputFile("ITEM", tr("STAC item with provenance")))
        self.addOutput(QgsProcessingOutputString("JOB", tr("Job")))
        self.addOutput(QgsProcessingOutputString("MODEL_USED", tr("Model used")))
        self.addOutput(QgsProcessingOutputNumber("PIXELS", tr("Pixels with a result")))

    def canExecute(self):
        problem = may_have_engine(current_launch())
        return (True, "") if problem is None else (False, str(problem))

    def checkParameterValues(self, parameters, context):
        problem = map_problem(Filled(self, parameters, context))
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters, context, feedback):
        """In the GUI thread."""
        self.work = prepare_update(Filled(self, parameters, context))
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """In Processing's thread."""
        return self.work.carry_out(Filled(self, parameters, context), _cards(), feedback)


def _cards():
    known = known_cards(RESOURCES / "cards", state_dir() / "models" / "cards")
    return tuple(card for card in known if card.classifies)
