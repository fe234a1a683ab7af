"""``swath:calibrate``: a model fitted to the user's own plots or polygons."""

from dataclasses import replace

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
)

from ...engine.contract.analyses import CalibrateRequest, Predictor
from ...engine.contract.messages import TaskName
from ..compat import NUMBER_INTEGER, SOURCE_RASTER
from .accuracy import PAGES
from .analysis import AnalysisAlgorithm, number, vector_of
from .analysis_help import CALIBRATING
from .language import tr
from .request import absolute, raster_source

METHODS = ("forest", "boosting", "ridge")
CARDS = "JSON (*.json)"
INDICES = ("ndvi", "ndwi", "ndmi", "nbr")


class CalibrateAlgorithm(AnalysisAlgorithm):
    """Plots and rasters go in, a model comes back."""

    task = TaskName.CALIBRATE
    icon_name = "biomass"
    destinations = {"OUTPUT": "card", "REPORT": "report"}  # noqa: RUF012 - QGIS' classes are no dataclasses

    def name(self):
        return "calibrate"

    def displayName(self):
        return tr("Calibrate a model on your own plots")

    def group(self):
        return tr("Biomass")

    def groupId(self):
        return "biomass"

    def tags(self):
        return [
            *("biomass", "plots", "inventory", "random forest", "regression", "training"),
            *("classification", "land cover", "cross-validation", "area of applicability"),
        ]

    def shortDescription(self):
        return tr("Fits a model of biomass, other amounts or classes to what was found on plots.")

    def shortHelpString(self):
        return CALIBRATING

    def initAlgorithm(self, config=None):
        plots = tr("Plots: points or polygons")
        self.addParameter(QgsProcessingParameterVectorLayer("PLOTS", plots))
        self._add_field("FIELD", tr("Field with the amount or class"), is_optional=False)
        rasters = tr("Rasters to tell it from; the first one gives the grid")
        self.addParameter(
            QgsProcessingParameterMultipleLayers("PREDICTORS", rasters, SOURCE_RASTER)
        )
        classes = tr("The field holds classes rather than amounts")
        self.addParameter(QgsProcessingParameterBoolean("CLASSES", classes, defaultValue=False))
        method = QgsProcessingParameterEnum("METHOD", tr("Method for amounts"), list(METHODS))
        method.setUsesStaticStrings(True)
        method.setDefaultValue(METHODS[0])
        self.addParameter(method)
        unit = tr("Unit of the amounts")
        self.addParameter(QgsProcessingParameterString("UNIT", unit, defaultValue="Mg/ha"))
        self.addParameter(number("RADIUS", tr("Radius of plots around points, metres"), least=0.0))
        self._add_field("ERROR", tr("Field with the standard error of the amount"))
        self._add_field("GROUP", tr("Field that says which plots belong together"))
        block = tr("Edge of the blocks of ground that are held out together, metres")
        self.addParameter(number("BLOCK", block, least=0.0))
        indices = QgsProcessingParameterEnum(
            "INDICES", tr("Indices to add"), list(INDICES), allowMultiple=True, optional=True
        )
        indices.setUsesStaticStrings(True)
        self.addParameter(indices)
        texture = tr("Pixels along the window of texture (odd; 0: no texture)")
        self.addParameter(number("TEXTURE", texture, NUMBER_INTEGER, default=0, least=0))
        self.addParameter(
            QgsProcessingParameterFileDestination("OUTPUT", tr("Model card"), fileFilter=CARDS)
        )
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), fileFilter=PAGES, optional=True
            )
        )
        self.add_job_output()

    def _add_field(self, name, text, *, is_optional=True):
        self.addParameter(
            QgsProcessingParameterField(
                name, text, parentLayerParameterName="PLOTS", optional=is_optional
            )
        )

    def read(self, filled):
        layers = filled.rasters("PREDICTORS")
        files = [raster_source(x.providerType(), x.source(), x.name()) for x in layers]
        return CalibrateRequest(
            plots=vector_of(filled, "PLOTS"),
            field=filled.text("FIELD"),
            predictors=tuple(Predictor(file) for file in files),
            output="",
            classes=filled.flag("CLASSES"),
            method=filled.choice("METHOD"),
            radius=filled.number("RADIUS") or None,
            error=filled.text("ERROR") or None,
            group=filled.text("GROUP") or None,
            block=filled.number("BLOCK") or None,
            unit=filled.text("UNIT"),
            indices=tuple(filled.choices("INDICES")),
            texture=int(filled.number("TEXTURE") or 0),
            overwrite=True,
        )

    def finished(self, request, outputs):
        report = outputs["REPORT"]
        return replace(
            request,
            output=absolute(outputs["OUTPUT"]),
            report=absolute(report) if report else None,
        )
