"""``swath:biomass`` and ``swath:totals``: maps of biomass, and what they add up to."""

from dataclasses import replace
from typing import get_args

from qgis.core import (
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from ...engine.contract.analyses import TotalsRequest
from ...engine.contract.messages import (
    AllometryName,
    AllometryOptions,
    InputSpec,
    OutputSpec,
    SegmentRequest,
    TaskName,
)
from ..compat import SOURCE_POLYGON
from .accuracy import PAGES
from .analysis import AnalysisAlgorithm, number, raster_of, vector_of
from .analysis_help import BIOMASS, TOTALLING
from .language import tr
from .request import absolute

FORMULAS = get_args(AllometryName)
TAGS = ["biomass", "carbon", "AGB", "canopy height", "CHM", "lidar", "allometry", "forest", "CO2"]


class BiomassAlgorithm(AnalysisAlgorithm):
    """Biomass from canopy height."""

    task = TaskName.BIOMASS
    icon_name = "biomass"
    destinations = {"OUTPUT": "raster"}  # noqa: RUF012 - QGIS' classes are no dataclasses

    def name(self):
        return "biomass"

    def displayName(self):
        return tr("Biomass from canopy height")

    def group(self):
        return tr("Biomass")

    def groupId(self):
        return "biomass"

    def tags(self):
        return TAGS

    def shortDescription(self):
        return tr("Maps above-ground biomass and its standard deviation by a published formula.")

    def shortHelpString(self):
        return BIOMASS

    def initAlgorithm(self, config=None):
        self.addParameter(QgsProcessingParameterRasterLayer("HEIGHT", tr("Canopy height (m)")))
        formula = QgsProcessingParameterEnum("ALLOMETRY", tr("Formula"), list(FORMULAS))
        formula.setUsesStaticStrings(True)
        formula.setDefaultValue(FORMULAS[0])
        self.addParameter(formula)
        for name, text in (
            (
                "FACTOR",
                tr("Factor of your own formula (power): Mg/ha = factor * height ^ exponent"),
            ),
            ("EXPONENT", tr("Exponent of your own formula")),
            ("RESIDUAL", tr("Error of your own formula, as a share of the estimate")),
            ("PLOT", tr("Side of the plots that heights are averaged over, metres")),
        ):
            self.addParameter(number(name, text))
        error = tr("Standard deviation of a plot's mean height, metres")
        self.addParameter(number("HEIGHT_ERROR", error, default=0.0, least=0.0))
        self.addParameter(carbon_fraction())
        self.addParameter(QgsProcessingParameterRasterDestination("OUTPUT", tr("Biomass")))
        self.add_job_output()

    def read(self, filled):
        formula = AllometryOptions(
            filled.choice("ALLOMETRY"),
            filled.number("FACTOR"),
            filled.number("EXPONENT"),
            filled.number("RESIDUAL"),
            filled.number("PLOT"),
            filled.number("HEIGHT_ERROR") or 0.0,
            filled.number("FRACTION") or 0.47,
        )
        source = InputSpec((raster_of(filled, "HEIGHT"),))
        return SegmentRequest(
            source, OutputSpec("", overwrite=True), allometry=formula, device="cpu"
        )

    def finished(self, request, outputs):
        return replace(request, output=OutputSpec(absolute(outputs["OUTPUT"]), overwrite=True))


class TotalsAlgorithm(AnalysisAlgorithm):
    """What a map of amounts adds up to."""

    task = TaskName.TOTALS
    icon_name = "totals"
    destinations = {"OUTPUT": "vector", "REPORT": "report"}  # noqa: RUF012 - as above

    def name(self):
        return "totals"

    def displayName(self):
        return tr("Totals with intervals")

    def group(self):
        return tr("Biomass")

    def groupId(self):
        return "biomass"

    def tags(self):
        return [*TAGS, "total", "zonal statistics", "uncertainty", "confidence interval"]

    def shortDescription(self):
        return tr("Adds a map of biomass up in polygons, with standard errors that hold.")

    def shortHelpString(self):
        return TOTALLING

    def initAlgorithm(self, config=None):
        amounts = tr("Map of amounts per hectare, with deviations in its second band")
        self.addParameter(QgsProcessingParameterRasterLayer("MAP", amounts))
        zones = QgsProcessingParameterVectorLayer("ZONES", tr("Polygons"), [SOURCE_POLYGON])
        self.addParameter(zones)
        later = tr("Map of a later date: the change is added up too")
        self.addParameter(QgsProcessingParameterRasterLayer("LATER", later, optional=True))
        for name, text in (
            ("CORRELATION", tr("Distance within which errors resemble each other, metres")),
            ("DEVIATION", tr("Standard deviation of every pixel, for maps without a second band")),
        ):
            self.addParameter(number(name, text, least=0.0))
        for name, text in (
            ("SYSTEMATIC", tr("Error that all pixels share, as a share of the amount")),
            ("BETWEEN", tr("Correlation of the errors of both dates at one place")),
        ):
            self.addParameter(number(name, text, default=0.0, least=0.0, most=1.0))
        self.addParameter(carbon_fraction())
        plots = tr("Plots drawn at random over the polygons: the total is corrected by them")
        self.addParameter(QgsProcessingParameterVectorLayer("PLOTS", plots, optional=True))
        field = tr("Field of the plots with the amounts")
        self.addParameter(
            QgsProcessingParameterField(
                "FIELD", field, parentLayerParameterName="PLOTS", optional=True
            )
        )
        self.addParameter(QgsProcessingParameterVectorDestination("OUTPUT", tr("Totals")))
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), fileFilter=PAGES, optional=True
            )
        )
        self.add_job_output()

    def read(self, filled):
        return TotalsRequest(
            map=raster_of(filled, "MAP"),
            zones=vector_of(filled, "ZONES"),
            output="",
            later=raster_of(filled, "LATER") if filled.values.get("LATER") else None,
            correlation_m=filled.number("CORRELATION"),
            deviation=filled.number("DEVIATION"),
            systematic=filled.number("SYSTEMATIC") or 0.0,
            between_dates=filled.number("BETWEEN") or 0.0,
            carbon_fraction=filled.number("FRACTION") or 0.47,
            plots=vector_of(filled, "PLOTS") if filled.values.get("PLOTS") else None,
            field=filled.text("FIELD") or None,
            overwrite=True,
        )

    def finished(self, request, outputs):
        report = outputs["REPORT"]
        return replace(
            request,
            output=absolute(outputs["OUTPUT"]),
            report=absolute(report) if report else None,
        )


def carbon_fraction() -> QgsProcessingParameterNumber:
    """Carbon in dry biomass, new."""
    text = tr("Carbon in dry biomass (0.47: IPCC 2006, volume 4, table 4.3)")
    return number("FRACTION", text, default=0.47, least=0.01, most=1.0)
