"""The page about a run, as QGIS asks for it and lists it."""

import json
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

import processing
from qgis.core import (
    QgsApplication,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputHtml,
    QgsRasterLayer,
)

ALGORITHMS = {"swath:segment": False, "swath:apply": False, "swath:change": True}
"""Each algorithm with a report, and whether it is written unless a user skips it."""


def algorithm(name):
    return QgsApplication.processingRegistry().createAlgorithmById(name)


@pytest.fixture
def layer(scene, plugin):
    return QgsRasterLayer(str(scene), "Spot")


def run(layer, **parameters):
    wanted = {"INPUT": layer, "OUTPUT": "TEMPORARY_OUTPUT", **parameters}
    feedback = QgsProcessingFeedback(logFeedback=False)
    return processing.run("swath:segment", wanted, feedback=feedback)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_report_is_an_output_that_the_results_viewer_lists(name, plugin):
    made = algorithm(name)
    assert isinstance(made.outputDefinition("REPORT"), QgsProcessingOutputHtml)
    parameter = made.parameterDefinition("REPORT")
    assert parameter.createByDefault() is ALGORITHMS[name]
    assert parameter.defaultFileExtension() == "html"
    assert "Report" in made.shortHelpString()


def test_a_report_that_is_asked_for_is_there(layer, state, tmp_path):
    path = tmp_path / "Bericht ä.html"
    results = run(layer, REPORT=str(path))
    assert results["REPORT"] == str(path)
    assert path.is_file()
    assert json.loads((state / "requests.json").read_text())[-1]["request"]["output"][
        "report"
    ] == str(path)


def test_a_temporary_report_is_a_page_too(layer):
    report = Path(run(layer, REPORT="TEMPORARY_OUTPUT")["REPORT"])
    assert (report.suffix, report.is_file()) == (".html", True)


def test_without_a_wish_there_is_none(layer, state):
    assert "REPORT" not in run(layer)
    output = json.loads((state / "requests.json").read_text())[-1]["request"]["output"]
    assert output["report"] is None


def test_a_name_of_another_kind_is_refused(layer, tmp_path):
    with pytest.raises(QgsProcessingException, match="report cannot be written"):
        run(layer, REPORT=str(tmp_path / "page.pdf"))


def test_a_dialog_of_change_fills_in_a_temporary_page(plugin):
    made = algorithm("swath:change")  # which owns its parameters
    assert made.parameterDefinition("REPORT").generateTemporaryDestination().endswith(".html")
