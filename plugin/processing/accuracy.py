"""``swath:assess`` and ``swath:sample``: how good a map is, and where to look what is true."""

from dataclasses import replace

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from ...engine.contract.analyses import AssessRequest, SampleRequest
from ...engine.contract.messages import TaskName
from ..compat import NUMBER_INTEGER
from .analysis import AnalysisAlgorithm, number, raster_of, vector_of
from .analysis_help import ASSESSING, SAMPLING
from .language import tr
from .request import absolute

PAGES = "HTML (*.html)"
TAGS = [
    *("accuracy", "validation", "confusion matrix", "error matrix", "user's accuracy"),
    *("producer's accuracy", "kappa", "area estimation", "Olofsson", "RMSE", "bias"),
]


class AssessAlgorithm(AnalysisAlgorithm):
    """A map against what is true."""

    task = TaskName.ASSESS
    icon_name = "assess"
    destinations = {"REPORT": "report"}  # noqa: RUF012 - QGIS' classes are no dataclasses

    def name(self):
        return "assess"

    def displayName(self):
        return tr("Assess a map's accuracy")

    def group(self):
        return tr("Accuracy")

    def groupId(self):
        return "accuracy"

    def tags(self):
        return TAGS

    def shortDescription(self):
        return tr("Tells how good a map is, and corrects its areas for its errors.")

    def shortHelpString(self):
        return ASSESSING

    def initAlgorithm(self, config=None):
        self.addParameter(QgsProcessingParameterRasterLayer("MAP", tr("Map")))
        self.addParameter(
            QgsProcessingParameterVectorLayer("REFERENCE", tr("Points or polygons with the truth"))
        )
        field = tr("Field with the true class or amount")
        self.addParameter(
            QgsProcessingParameterField("FIELD", field, parentLayerParameterName="REFERENCE")
        )
        strata = tr("Field with the class that each point was drawn in, if it was")
        self.addParameter(
            QgsProcessingParameterField(
                "STRATA", strata, parentLayerParameterName="REFERENCE", optional=True
            )
        )
        amounts = tr("The map holds amounts, such as biomass, rather than classes")
        self.addParameter(QgsProcessingParameterBoolean("VALUES", amounts, defaultValue=False))
        self.addParameter(
            QgsProcessingParameterFileDestination("REPORT", tr("Report"), fileFilter=PAGES)
        )
        self.add_job_output()

    def read(self, filled):
        return AssessRequest(
            map=raster_of(filled, "MAP"),
            reference=vector_of(filled, "REFERENCE"),
            report="",
            field=filled.text("FIELD") or None,
            strata=filled.text("STRATA") or None,
            values=filled.flag("VALUES"),
            overwrite=True,
        )

    def finished(self, request, outputs):
        return replace(request, report=absolute(outputs["REPORT"]))


class SampleAlgorithm(AnalysisAlgorithm):
    """Points within the classes of a map."""

    task = TaskName.SAMPLE
    icon_name = "assess"
    destinations = {"OUTPUT": "vector"}  # noqa: RUF012 - QGIS' classes are no dataclasses

    def name(self):
        return "sample"

    def displayName(self):
        return tr("Draw a sample to check a map")

    def group(self):
        return tr("Accuracy")

    def groupId(self):
        return "accuracy"

    def tags(self):
        return [*TAGS, "sampling", "stratified random sample", "points"]

    def shortDescription(self):
        return tr("Draws points at random within a map's classes, at which to look what is true.")

    def shortHelpString(self):
        return SAMPLING

    def initAlgorithm(self, config=None):
        self.addParameter(QgsProcessingParameterRasterLayer("MAP", tr("Map of classes")))
        size = tr("Points in all (empty: as many as the error needs)")
        self.addParameter(number("SIZE", size, NUMBER_INTEGER, least=2))
        error = tr("Standard error of the overall accuracy that is aimed at")
        self.addParameter(number("ERROR", error, default=0.01, least=0.0001, most=0.5))
        least = tr("Points in every class at least")
        self.addParameter(number("LEAST", least, NUMBER_INTEGER, default=50, least=2))
        seed = tr("Seed: another one draws other points")
        self.addParameter(number("SEED", seed, NUMBER_INTEGER, default=0, least=0))
        self.addParameter(QgsProcessingParameterVectorDestination("OUTPUT", tr("Sample")))
        self.add_job_output()

    def read(self, filled):
        size = filled.number("SIZE")
        return SampleRequest(
            map=raster_of(filled, "MAP"),
            output="",
            size=None if size is None else int(size),
            target_error=filled.number("ERROR") or 0.01,
            least=int(filled.number("LEAST") or 2),
            seed=int(filled.number("SEED") or 0),
            overwrite=True,
        )

    def finished(self, request, outputs):
        return replace(request, output=absolute(outputs["OUTPUT"]))
