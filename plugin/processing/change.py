"""``swath:change``: two dates of one place go in, what differs comes back."""

from dataclasses import replace

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingOutputFile,
    QgsProcessingOutputRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from ...engine.contract.messages import TaskName
from ...engine.contract.places import state_dir
from ..catalogue import known_cards
from ..process import may_have_engine
from ..settings import RESOURCES, current_launch, icon_path
from .filled import Filled
from .forms import change_form
from .help import change_help
from .language import tr
from .parameters import change_parameters
from .work import add_outputs, prepare, problem_of

BEFORE, AFTER = "BEFORE", "AFTER"
TAGS = [
    *("change", "changes", "before", "after", "difference", "two dates", "multitemporal"),
    *("MAD", "IR-MAD", "change vector analysis", "log-ratio", "radar", "SAR", "Sentinel-1"),
    *("damage", "deforestation", "flood", "fire", "construction", "Landsat", "Sentinel-2"),
]


class ChangeAlgorithm(QgsProcessingAlgorithm):
    """Runs in Processing's own thread; the computing is done by the engine."""

    def createInstance(self):
        return ChangeAlgorithm()

    def name(self):
        return "change"

    def displayName(self):
        return tr("Find changes")

    def group(self):
        return tr("Change")

    def groupId(self):
        return "change"

    def tags(self):
        return TAGS

    def icon(self):
        return QIcon(icon_path("change"))

    def svgIconPath(self):
        return icon_path("change")

    def shortDescription(self):
        return tr("Finds what differs between two dates, in optical or radar rasters of any size.")

    def shortHelpString(self):
        return change_help(_cards())

    def helpUrl(self):
        return "https://github.com/swath-project/swath#readme"

    def initAlgorithm(self, config=None):
        for parameter in change_parameters(_cards()):
            self.addParameter(parameter)
        add_outputs(self)
        self.addOutput(QgsProcessingOutputRasterLayer("FROM", tr("Classes before")))
        self.addOutput(QgsProcessingOutputRasterLayer("TO", tr("Classes after")))
        table, matrix = tr("Table of transitions"), tr("Picture of the transitions")
        self.addOutput(QgsProcessingOutputFile("TRANSITIONS", table))
        self.addOutput(QgsProcessingOutputFile("MATRIX", matrix))

    def canExecute(self):
        problem = may_have_engine(current_launch())
        return (True, "") if problem is None else (False, str(problem))

    def checkParameterValues(self, parameters, context):
        problem = problem_of(Filled(self, parameters, context), change_form, BEFORE)
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters, context, feedback):
        """In the GUI thread."""
        filled = Filled(self, parameters, context)
        before, after = filled.raster(BEFORE), filled.raster(AFTER)
        self.work = replace(
            prepare(TaskName.CHANGE, filled, change_form, BEFORE),
            layer_name=f"{before.name()} → {after.name()}",
            dates=(before.id(), after.id()),
        )
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """In Processing's thread."""
        return self.work.carry_out(Filled(self, parameters, context), _cards(), feedback)


def _cards():
    known = known_cards(RESOURCES / "cards", state_dir() / "models" / "cards")
    return tuple(card for card in known if card.of_two_dates or card.classifies or card.embeds)
