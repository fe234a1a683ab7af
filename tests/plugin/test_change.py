"""``swath:change`` as QGIS runs it, with a stand-in for the engine."""

import json
import shutil
from typing import get_args

import pytest

pytest.importorskip("qgis.core")

import processing
from qgis.core import (
    QgsApplication,
    QgsDateTimeRange,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QDate, QDateTime, QTime
from swath.engine.contract.messages import ChangeMethod
from swath.plugin.dates import layer_date, pair_at_hand, pair_of_last_run, pair_selected

CHANGE = "swath:change"
Source = QgsProcessingModelChildParameterSource


@pytest.fixture
def layers(scene, plugin, tmp_path):
    """Two dates of a scene, the later one on top."""
    made = []
    for name in ("May", "July"):
        path = tmp_path / f"{name} é.tif"
        shutil.copy(scene, path)
        made.append(QgsRasterLayer(str(path), name))
        QgsProject.instance().addMapLayer(made[-1])
    return made


def dated(layer, year, month, day):
    begin = QDateTime(QDate(year, month, day), QTime(10, 0))
    layer.temporalProperties().setFixedTemporalRange(QgsDateTimeRange(begin, begin))
    layer.temporalProperties().setIsActive(True)


def run(layers, context=None, **parameters):
    before, after = layers
    wanted = {"BEFORE": before, "AFTER": after, "OUTPUT": "TEMPORARY_OUTPUT", **parameters}
    return processing.run(
        CHANGE, wanted, context=context, feedback=QgsProcessingFeedback(logFeedback=False)
    )


def last(state):
    return json.loads((state / "requests.json").read_text())[-1]


def test_all_that_it_takes_is_two_layers(layers, state):
    results = run(layers)
    assert QgsRasterLayer(results["OUTPUT"], "x").isValid()
    assert (results["JOB"], results["PIXELS"]) == ("job-1", 10)
    submission = last(state)
    assert (submission["task"], submission["label"]) == ("change", "May → July")
    request = submission["request"]
    assert request["input"]["uris"] == [layers[0].source()]
    (other,) = request["others"]
    assert (other["name"], other["input"]["uris"]) == ("after", [layers[1].source()])
    assert request["change"] == {"method": "irmad", "false_alarm": None, "threshold": None}
    assert (request["model"], request["coregister"]) == ("auto", False)
    assert request["clouds"] == "mask"
    assert request["polygons"]["classes"] == ["change"]


def test_everything_filled_in_arrives_at_the_engine(layers, state, tmp_path):
    results = run(
        layers,
        METHOD="logratio",
        FALSE_ALARM=0.01,
        THRESHOLD=3.5,
        COREGISTER=True,
        CLOUDS=False,
        BEFORE_DATE="2023-07-01",
        AFTER_DATE="2024-07-02",
        PROFILE="decibel",
        AFTER_PROFILE="power",
        BANDS="vv=1, vh=2",
        AFTER_BANDS="vv=2, vh=1",
        NODATA=0,
        MIN_AREA=900,
        DEVICE="cpu",
        MEMORY=1500,
        EXTENT="500030,500090,5399500,5399900 [EPSG:32632]",
        VECTOR=str(tmp_path / "v.gpkg"),
        PROBABILITY=str(tmp_path / "p.tif"),
    )
    request = last(state)["request"]
    assert request["change"] == {"method": "logratio", "false_alarm": 0.01, "threshold": 3.5}
    assert (request["coregister"], request["clouds"]) == (True, "ignore")
    first, second = request["input"], request["others"][0]["input"]
    assert (first["profile"], second["profile"]) == ("decibel", "power")
    assert (first["date"], second["date"]) == ("2023-07-01", "2024-07-02")
    assert (first["bands"], second["bands"]) == ({"vv": "1", "vh": "2"}, {"vv": "2", "vh": "1"})
    assert (first["nodata"], second["nodata"]) == (0.0, 0.0)
    assert request["polygons"]["min_area"] == 900
    assert (request["device"], request["memory"]) == ("cpu", 1500)
    assert request["region"]["bounds"] == [500030, 5399500, 500090, 5399900]
    assert results["VECTOR"] == str(tmp_path / "v.gpkg")
    assert results["PROBABILITY"] == str(tmp_path / "p.tif")


def test_profile_and_bands_hold_for_both_layers(layers, state):
    run(layers, PROFILE="sentinel2-l2a", BANDS="red=1, nir=2")
    request = last(state)["request"]
    for one in (request["input"], request["others"][0]["input"]):
        assert (one["profile"], one["bands"]) == ("sentinel2-l2a", {"red": "1", "nir": "2"})


def test_the_dates_of_layers_are_those_of_their_temporal_properties(layers, state):
    dated(layers[0], 2023, 5, 3)
    dated(layers[1], 2024, 5, 4)
    run(layers, AFTER_DATE="2024-07-31")
    request = last(state)["request"]
    assert request["input"]["date"] == "2023-05-03"
    assert request["others"][0]["input"]["date"] == "2024-07-31"


def test_a_model_of_two_dates_stands_for_a_method(layers, state):
    run(layers, METHOD="model", MODEL_FILE="/m/card.json", COREGISTER=True)
    request = last(state)["request"]
    assert (request["model"], request["change"]) == ("/m/card.json", None)
    assert request["others"][0]["name"] == ""  # as its card has it
    assert request["polygons"]["classes"] == []
    assert request["coregister"] is True


def test_models_of_two_dates_of_classes_and_encoders_can_be_chosen(layers, state, request):
    cards = request.config.rootpath / "resources/cards"
    card = json.loads((cards / "clouds-6band-l1c.json").read_text("utf-8"))
    (image,) = card["mlm:input"]
    folder = state / "models" / "cards"
    folder.mkdir(parents=True)
    inputs = {"twice": [image, image], "with-dem": [image, {**image, "bands": ["dem"]}]}
    for name, given in {**inputs, "once": [image]}.items():
        text = json.dumps({**card, "id": name, "mlm:input": given})
        (folder / f"{name}.json").write_text(text)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(CHANGE)
    offered = algorithm.parameterDefinition("MODEL").options()
    assert offered[0] == "none"
    assert {"twice", "once", "clouds-6band-l1c", "presto"} <= set(offered)
    assert not {"with-dem", "scenes"} & set(offered)
    assert "<b>twice</b>" in algorithm.shortHelpString()
    run(layers, METHOD="model", MODEL="twice")
    assert last(state)["request"]["model"] == "twice"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"METHOD": "model"}, "no model of two dates is chosen"),
        ({"MODEL_FILE": "/m/card.json"}, "the method is «irmad», which needs none"),
        (
            {"METHOD": "model", "MODEL_FILE": "/m/card.json", "FALSE_ALARM": 0.01},
            "decides by itself what changed",
        ),
        ({"BANDS": "red"}, "ROLE=BAND"),
        ({"AFTER_BANDS": "red"}, "ROLE=BAND"),
        ({"FALSE_ALARM": 2}, "FALSE_ALARM"),
        ({"AFTER": "/nowhere.tif"}, "AFTER"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(layers, state, wrong, says):
    with pytest.raises(QgsProcessingException, match=says):
        run(layers, **wrong)
    assert not (state / "requests.json").exists()


def test_one_file_is_not_two_dates(layers, state):
    with pytest.raises(QgsProcessingException, match=r"Both dates are the same file.*«After»"):
        run(layers[:1] * 2)
    assert not (state / "requests.json").exists()


@pytest.mark.parametrize("output", ["OUTPUT", "PROBABILITY"])
def test_no_output_replaces_a_date(layers, output):
    with pytest.raises(QgsProcessingException, match="same file as a further raster"):
        run(layers, **{output: layers[1].source()})


def test_a_newcomer_is_told_what_each_method_is_for(plugin):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(CHANGE)
    text = algorithm.shortHelpString()
    assert "<b>irmad</b> for optical" in text
    assert "<b>logratio</b> for radar" in text
    assert "No method knows what kind of change it is" in text
    assert algorithm.shortDescription()
    assert not algorithm.icon().isNull()
    assert all(p.description() for p in algorithm.parameterDefinitions())
    options = algorithm.parameterDefinition("METHOD").options()
    assert options == [*get_args(ChangeMethod), "model"]
    assert options[0] == "irmad"
    assert all(f"<b>{name}</b>" in text for name in options)


def run_and_load(layers, tmp_path, name="change"):
    """A run whose outputs QGIS has been asked to load, and loads."""
    project, context = QgsProject.instance(), QgsProcessingContext()
    context.setProject(project)
    endings = {"OUTPUT": "tif", "PROBABILITY": "p.tif", "VECTOR": "gpkg"}
    paths = {output: str(tmp_path / f"{name}.{end}") for output, end in endings.items()}
    for output, path in paths.items():
        details = QgsProcessingContext.LayerDetails(output.title(), project, output)
        context.addLayerToLoadOnCompletion(path, details)
    results = run(layers, context, **paths)
    load(context, [results[output] for output in endings])


def load(context, files):
    """What QGIS does once an algorithm has ended."""
    for file in files:
        found = QgsProcessingUtils.mapLayerFromString(file, context)
        details = context.layerToLoadOnCompletionDetails(file)
        owned = context.takeResultLayer(found.id())
        owned.setName(details.name)
        context.project().addMapLayer(owned)
        details.postProcessor().postProcessLayer(
            owned, context, QgsProcessingFeedback(logFeedback=False)
        )


def test_the_results_lie_styled_in_one_group_that_knows_the_dates(layers, tmp_path):
    run_and_load(layers, tmp_path)
    group, *imagery = QgsProject.instance().layerTreeRoot().children()
    assert group.name().startswith("Swath: May → July – ")
    assert [n.layer().customProperty("swath/role") for n in group.children()] == [
        *("vector", "raster", "probability")
    ]
    assert group.children()[1].layer().renderer().type() == "paletted"
    assert [node.layer() for node in imagery] == [layers[1], layers[0]]
    assert pair_of_last_run(QgsProject.instance()) == tuple(layers)


def test_a_model_of_one_date_can_make_the_classes_that_are_compared(layers, state):
    results = run(layers, METHOD="classes", MODEL="landcover")
    request = last(state)["request"]
    assert (request["model"], request["change"]["method"]) == ("landcover", "classes")
    assert request["others"][0]["name"] == "after"
    for name in ("FROM", "TO"):
        assert QgsRasterLayer(results[name], name).isValid()
    assert results["MATRIX"].endswith("_transitions.svg")
    assert results["TRANSITIONS"].endswith("_transitions.csv")


def test_the_classes_of_both_dates_are_loaded_below_the_change_and_hidden(layers, tmp_path):
    project, context = QgsProject.instance(), QgsProcessingContext()
    context.setProject(project)
    output = str(tmp_path / "what.tif")
    details = QgsProcessingContext.LayerDetails("Change", project, "OUTPUT")
    context.addLayerToLoadOnCompletion(output, details)
    results = run(layers, context, METHOD="classes", MODEL="landcover", OUTPUT=output)
    load(context, [results[name] for name in ("OUTPUT", "FROM", "TO")])
    group = project.layerTreeRoot().children()[0]
    nodes = {node.layer().customProperty("swath/role"): node for node in group.children()}
    assert list(nodes) == ["raster", "to", "from"]
    assert [node.itemVisibilityChecked() for node in nodes.values()] == [True, False, False]
    assert nodes["from"].layer().name() == "Classes before"
    assert all(node.layer().renderer().type() == "paletted" for node in nodes.values())


def test_the_dates_of_the_last_run_outlive_the_session_but_not_their_layers(layers, tmp_path):
    run_and_load(layers, tmp_path)
    project = QgsProject.instance()
    ids = [layer.id() for layer in layers]
    assert project.write(str(tmp_path / "kept.qgs"))
    project.clear()
    assert pair_of_last_run(project) is None
    assert project.read(str(tmp_path / "kept.qgs"))
    assert [layer.id() for layer in pair_of_last_run(project)] == ids
    project.removeMapLayer(ids[0])
    assert pair_of_last_run(project) is None


def test_the_layers_at_hand_are_two_rasters_in_time(layers, scene):
    project = QgsProject.instance()
    may, july = layers
    assert pair_at_hand([], project) == (may, july)  # the upper one came later
    assert pair_selected([july], project) is None
    dated(may, 2024, 5, 1)
    assert pair_selected([july, may], project) == (may, july)
    dated(july, 2023, 7, 1)
    assert layer_date(july) == "2023-07-01"
    assert pair_selected([may, july], project) == (july, may)
    result = QgsRasterLayer(str(scene), "result")
    result.setCustomProperty("swath/job", "job-1")
    project.addMapLayer(result)
    assert pair_at_hand([result], project) == (july, may)
    assert pair_at_hand([result, may], project) == (may, result)  # class maps can be compared
    project.removeMapLayer(may)
    assert pair_at_hand([], project) is None


def test_the_button_opens_the_dialog_on_both_dates(layers, plugin, monkeypatch):
    opened = []

    class Dialog:
        destroyed = plugin.actions.flickering.stopped

        def show(self):
            opened.append("shown")

    def create(name, values):
        opened.append((name, values))
        return Dialog()

    monkeypatch.setattr(processing, "createAlgorithmDialog", create, raising=False)
    plugin.actions.change.trigger()
    assert opened == [(CHANGE, {"BEFORE": layers[0], "AFTER": layers[1]}), "shown"]
    plugin.actions._dialogs.clear()


def test_it_is_a_step_of_a_model(layers, state):
    model = QgsProcessingModelAlgorithm("find", "find")
    child = QgsProcessingModelChildAlgorithm(CHANGE)
    child.setChildId("change")
    for name in ("before", "after"):
        shown = QgsProcessingModelParameter(name)
        model.addModelParameter(QgsProcessingParameterRasterLayer(name, name), shown)
        child.addParameterSources(name.upper(), [Source.fromModelParameter(name)])
    child.addParameterSources("METHOD", [Source.fromStaticValue("cva")])
    child.addParameterSources("FALSE_ALARM", [Source.fromStaticValue(0.05)])
    output = QgsProcessingModelOutput("Change")
    output.setChildId("change")
    output.setChildOutputName("OUTPUT")
    child.setModelOutputs({"Change": output})
    model.addChildAlgorithm(child)
    (target,) = (p.name() for p in model.destinationParameterDefinitions())
    values = {"before": layers[0], "after": layers[1], target: "TEMPORARY_OUTPUT"}
    results = processing.run(model, values)
    assert QgsRasterLayer(results[target], "x").isValid()
    request = last(state)["request"]
    assert request["change"] == {"method": "cva", "false_alarm": 0.05, "threshold": None}


def test_an_encoder_and_further_dates_arrive_at_the_engine(layers, state):
    run(layers, METHOD="embedding", MODEL="galileo-nano")
    request = last(state)["request"]
    assert (request["model"], request["change"]["method"]) == ("galileo-nano", "embedding")
    run(layers, METHOD="logratio", PROFILE="power", ALSO=[layers[0], layers[1]])
    _, *further = last(state)["request"]["others"]
    assert [one["name"] for one in further] == ["also", "also"]
    assert [one["input"]["uris"][0] for one in further] == [layer.source() for layer in layers[:2]]
    assert {one["input"]["profile"] for one in further} == {"power"}
