"""``swath:update`` as QGIS runs it, with a stand-in for the engine."""

import json

import pytest

pytest.importorskip("qgis.core")

import processing
from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from swath.plugin.actions import polygons_at_hand

UPDATE = "swath:update"


@pytest.fixture
def outlines(plugin, tmp_path):
    """Two polygons in a GeoPackage, and the same in memory."""
    memory = QgsVectorLayer("Polygon?crs=EPSG:32632&field=kind:string", "roofs", "memory")
    for west in (500_030, 500_300):
        feature = QgsFeature(memory.fields())
        box = QgsRectangle(west, 5_399_500, west + 60, 5_399_560)
        feature.setGeometry(QgsGeometry.fromRect(box))
        feature.setAttributes(["house"])
        memory.dataProvider().addFeature(feature)
    path = str(tmp_path / "Dächer.gpkg")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.layerName = "roofs"
    project = QgsProject.instance()
    QgsVectorFileWriter.writeAsVectorFormatV3(memory, path, project.transformContext(), options)
    layers = QgsVectorLayer(f"{path}|layername=roofs", "roofs"), memory
    owned(*layers)
    return layers


@pytest.fixture
def image(scene, plugin):
    layer = QgsRasterLayer(str(scene), "today")
    owned(layer)
    return layer


def owned(*layers):
    """Layers belong to the project, as in QGIS: one that Python destroys at exit takes it down."""
    QgsProject.instance().addMapLayers(layers)


def run(polygons, image, **parameters):
    wanted = {"MAP": polygons, "INPUT": image, "OUTPUT": "TEMPORARY_OUTPUT", **parameters}
    return processing.run(UPDATE, wanted, feedback=QgsProcessingFeedback(logFeedback=False))


def last(state):
    return json.loads((state / "requests.json").read_text())[-1]


def test_all_that_it_takes_is_a_map_and_an_image(outlines, image, state):
    results = run(outlines[0], image)
    assert QgsVectorLayer(results["OUTPUT"], "x").isValid()
    assert results["STATUSES"].endswith("_statuses.csv")
    assert "VECTOR" not in results
    submission = last(state)
    assert (submission["task"], submission["label"]) == ("update", "roofs → today")
    options, run_ = submission["request"]["options"], submission["request"]["run"]
    assert options["map"] == outlines[0].source()
    assert options["output"] == results["OUTPUT"]
    assert (options["least_iou"], options["keep_outlines"], options["field"]) == (0.5, False, None)
    assert run_["input"]["uris"] == [image.source()]
    assert run_["model"] == "buildings"
    assert run_["output"]["overwrite"] is True
    assert run_["polygons"]["classes"] == []


def test_everything_filled_in_arrives_at_the_engine(outlines, image, state, tmp_path):
    path = str(tmp_path / "new map.gpkg")
    results = run(
        outlines[0],
        image,
        OUTPUT=path,
        MODEL="landcover",
        FIELD="kind",
        IOU=0.4,
        KEEP_OUTLINES=True,
        MIN_AREA=12,
        CLASSES="built up, water",
        SQUARE="built up",
        HIDDEN="cloud",
        MAP_DATE="2020-01-02",
        DATE="2024-03-04",
        EXTENT="500030,500090,5399500,5399900 [EPSG:32632]",
        MASK=outlines[1],
        PROFILE="rgb8",
        DEVICE="cpu",
        MEMORY=1500,
    )
    assert results["OUTPUT"] == path
    request = last(state)["request"]
    options, run_ = request["options"], request["run"]
    assert (options["field"], options["least_iou"]) == ("kind", 0.4)
    assert (options["hidden"], options["date"]) == (["cloud"], "2020-01-02")
    assert options["keep_outlines"] is True
    assert run_["model"] == "landcover"
    assert run_["input"]["date"] == "2024-03-04"
    assert run_["polygons"]["classes"] == ["built up", "water"]
    assert run_["polygons"]["square"] == ["built up"]
    assert run_["polygons"]["min_area"] == 12
    assert run_["region"]["bounds"] == [500030, 5399500, 500090, 5399900]
    assert run_["region"]["aoi"].endswith("mask.gpkg")
    assert (run_["device"], run_["memory"]) == ("cpu", 1500)


def test_a_layer_that_is_no_file_is_refused_with_advice(outlines, image):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(UPDATE)
    wanted = {"MAP": outlines[1], "INPUT": image, "OUTPUT": "TEMPORARY_OUTPUT"}
    context = processing.tools.dataobjects.createContext()
    can_run, problem = algorithm.checkParameterValues(wanted, context)
    assert not can_run
    assert "Save it as a GeoPackage first" in problem
    filtered = outlines[0].clone()
    owned(filtered)
    filtered.setSubsetString("\"kind\" = 'house'")
    assert not algorithm.checkParameterValues({**wanted, "MAP": filtered}, context)[0]
    assert algorithm.checkParameterValues({**wanted, "MAP": outlines[0]}, context)[0]


def test_what_the_engine_says_comes_in_the_words_of_the_dialog(outlines, image, tmp_path):
    model = tmp_path / "broken.json"
    model.write_text("{}")
    with pytest.raises(QgsProcessingException, match="no band nir"):
        run(outlines[0], image, MODEL_FILE=str(model))


def test_the_button_takes_the_polygons_at_hand(image, request):
    assert polygons_at_hand(None) is None
    assert polygons_at_hand(image) is None
    outlines, memory = request.getfixturevalue("outlines")
    QgsProject.instance().removeMapLayer(memory)
    assert polygons_at_hand(image).id() == outlines.id()
    assert polygons_at_hand(outlines).id() == outlines.id()


def test_help_explains_every_status(plugin):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(UPDATE)
    text = algorithm.shortHelpString()
    statuses = ("kept", "reshaped", "split", "merged", "new", "gone", "unseen", "outside")
    assert all(f"<b>{status}</b>" in text for status in statuses)
    assert algorithm.parameterDefinition("FIELD").parentLayerParameterName() == "MAP"
