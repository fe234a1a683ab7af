"""``swath:apply`` as QGIS runs it, with a stand-in for the engine."""

import json
import shutil

import pytest

pytest.importorskip("qgis.core")

import processing
from qgis.core import (
    QgsApplication,
    QgsDateTimeRange,
    QgsProcessingException,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QDate, QDateTime, QTime

APPLY = "swath:apply"
Source = QgsProcessingModelChildParameterSource


@pytest.fixture
def layers(scene, plugin, tmp_path):
    """Three dates of a scene."""
    made = []
    for name in ("May", "June", "July"):
        path = tmp_path / f"{name} é.tif"
        shutil.copy(scene, path)
        made.append(QgsRasterLayer(str(path), name))
    QgsProject.instance().addMapLayers(made)
    return made


def run(state, layer, **parameters):
    """The request that the engine got."""
    wanted = {"INPUT": layer, "OUTPUT": "TEMPORARY_OUTPUT", "MODEL_FILE": "/m/card.json"}
    processing.run(APPLY, {**wanted, **parameters})
    return json.loads((state / "requests.json").read_text())[-1]


def others_of(submission):
    """Name, file and date of the further inputs."""
    named = submission["request"]["others"]
    return [(o["name"], o["input"]["uris"], o["input"]["date"]) for o in named]


def test_a_card_and_a_second_layer_suffice(layers, state):
    may, june, _ = layers
    submission = run(state, may, OTHERS=[june])
    assert submission["task"] == "apply"
    assert submission["request"]["model"] == "/m/card.json"
    assert submission["request"]["input"]["uris"] == [may.source()]
    assert others_of(submission) == [("", [june.source()], None)]
    assert submission["request"]["query"] is submission["request"]["memory"] is None


def test_layers_may_be_given_as_ids_and_paths_in_any_order(layers, state):
    may, june, july = layers
    submission = run(state, may, OTHERS=[july.id(), june.source()], NAMES="after, prior")
    assert others_of(submission) == [
        ("after", [july.source()], None),
        ("prior", [june.source()], None),
    ]


def test_everything_filled_in_arrives_at_the_engine(layers, state, tmp_path):
    may, june, july = layers
    submission = run(
        state,
        may,
        OTHERS=[june, july],
        NAMES="image@2024-06-02, prior",
        DATE="2024-05-02",
        PROFILE="sentinel2-l2a",
        OTHER_PROFILES="; raw",
        OTHER_BANDS="red=1; class=2",
        BANDS="red=2",
        QUERY=str(tmp_path / "barn.png"),
        MEMORY=1500,
        MIN_AREA=90,
        DEVICE="cpu",
        PRECISION="fast",
    )
    request = submission["request"]
    assert (request["input"]["profile"], request["input"]["date"]) == (
        "sentinel2-l2a",
        "2024-05-02",
    )
    first, second = (other["input"] for other in request["others"])
    assert (first["profile"], first["bands"], first["date"]) == (
        "sentinel2-l2a",
        {"red": "1"},
        "2024-06-02",
    )
    assert (second["profile"], second["bands"], second["date"]) == ("raw", {"class": "2"}, None)
    assert request["query"] == str(tmp_path / "barn.png")
    assert (request["memory"], request["polygons"]["min_area"]) == (1500, 90.0)
    assert (request["device"], request["precision"]) == ("cpu", "fast")


def test_the_dates_of_layers_are_those_of_their_temporal_properties(layers, state):
    for month, layer in enumerate(layers, 5):
        begin = QDateTime(QDate(2024, month, 3), QTime(10, 0))
        layer.temporalProperties().setFixedTemporalRange(QgsDateTimeRange(begin, begin))
        layer.temporalProperties().setIsActive(layer is not layers[2])
    sources = [layer.source() for layer in layers[1:]]  # what the dialog of QGIS 3.22 gives
    submission = run(state, layers[0], OTHERS=sources)
    assert submission["request"]["input"]["date"] == "2024-05-03"
    assert [date for _, _, date in others_of(submission)] == ["2024-06-03", None]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"MODEL_FILE": ""}, "«auto» chooses among models that look at one raster"),
        ({"NAMES": "after, prior"}, "Names of the further layers»: 2; further layers: 1"),
        ({"OTHER_BANDS": "red"}, "ROLE=BAND"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(layers, state, wrong, says):
    with pytest.raises(QgsProcessingException, match=says):
        run(state, layers[0], OTHERS=[layers[1]], **wrong)
    assert not (state / "requests.json").exists()


def test_a_further_layer_that_is_no_file_is_refused(layers, state):
    tiles = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png", "tiles", "wms")
    QgsProject.instance().addMapLayer(tiles)
    with pytest.raises(QgsProcessingException, match=r"«tiles».*Save it as a GeoTIFF"):
        run(state, layers[0], OTHERS=[tiles])


def test_a_further_layer_that_is_missing_is_refused(layers, state):
    with pytest.raises(QgsProcessingException):
        run(state, layers[0], OTHERS=[layers[1], "/nowhere.tif"])
    assert not (state / "requests.json").exists()


def test_models_that_the_user_added_can_be_chosen(layers, state, request):
    card = json.loads(
        (request.config.rootpath / "resources/cards/clouds-6band-l1c.json").read_text("utf-8")
    )
    folder = state / "models" / "cards"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text(json.dumps({**card, "id": "mine"}))
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(APPLY)
    offered = algorithm.parameterDefinition("MODEL").options()
    assert offered[0] == "auto"
    assert offered[-1] == "mine"
    assert offered.count("clouds-6band-l1c") == 1
    assert "mine" in algorithm.shortHelpString()
    submission = run(state, layers[0], MODEL="mine", MODEL_FILE="", OTHERS=[layers[1]])
    assert submission["request"]["model"] == "mine"


def test_the_outputs_are_those_of_a_segmentation(layers, tmp_path):
    wanted = {"INPUT": layers[0], "MODEL_FILE": "/m/card.json", "OTHERS": [layers[1]]}
    outputs = {"OUTPUT": str(tmp_path / "r.tif"), "VECTOR": str(tmp_path / "v.gpkg")}
    results = processing.run(APPLY, {**wanted, **outputs})
    assert QgsRasterLayer(results["OUTPUT"], "x").isValid()
    assert QgsVectorLayer(results["VECTOR"], "x").featureCount() == 2
    assert results["JOB"] == "job-1"
    assert results["AREAS"].endswith(".csv")


def test_a_model_hands_its_own_layers_on(layers, state):
    model = QgsProcessingModelAlgorithm("Change", "Mine")
    for name in ("before", "after"):
        parameter = QgsProcessingParameterRasterLayer(name, name)
        model.addModelParameter(parameter, QgsProcessingModelParameter(name))
    child = QgsProcessingModelChildAlgorithm(APPLY)
    child.setChildId("apply")
    child.addParameterSources("INPUT", [Source.fromModelParameter("before")])
    child.addParameterSources("OTHERS", [Source.fromModelParameter("after")])
    child.addParameterSources("NAMES", [Source.fromStaticValue("after")])
    child.addParameterSources("MODEL_FILE", [Source.fromStaticValue("/m/card.json")])
    output = QgsProcessingModelOutput("Change", "Change")
    output.setChildId("apply")
    output.setChildOutputName("OUTPUT")
    child.setModelOutputs({"Change": output})
    model.addChildAlgorithm(child)
    (target,) = (p.name() for p in model.destinationParameterDefinitions())
    values = {"before": layers[0], "after": layers[2], target: "TEMPORARY_OUTPUT"}
    results = processing.run(model, values)
    assert QgsRasterLayer(results[target], "x").isValid()
    submission = json.loads((state / "requests.json").read_text())[-1]
    assert others_of(submission) == [("after", [layers[2].source()], None)]
