import itertools
import json
import os
import signal
import threading
import time

import pytest

pytest.importorskip("qgis.core")

import processing
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

SEGMENT = "swath:segment"


class Listening(QgsProcessingFeedback):
    """Keeps all that is said."""

    def __init__(self):
        super().__init__(logFeedback=False)
        self.said, self.progresses, self.warnings = [], [], []
        self.progressChanged.connect(self.progresses.append)

    def pushInfo(self, text):  # noqa: N802 - QGIS' names here and below
        self.said.append(text)

    def setProgressText(self, text):  # noqa: N802
        self.said.append(text)

    def pushWarning(self, text):  # noqa: N802
        self.warnings.append(text)

    def reportError(self, text, fatalError=False):  # noqa: ARG002, N802, N803
        self.warnings.append(text)


@pytest.fixture
def layer(scene, plugin):
    made = QgsRasterLayer(str(scene), "My scene")
    QgsProject.instance().addMapLayer(made)
    return made


def polygons(crs, *texts):
    made = QgsVectorLayer(f"Polygon?crs={crs}", "areas of interest", "memory")
    features = []
    for text in texts:
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromWkt(text))
        features.append(feature)
    made.dataProvider().addFeatures(features)
    QgsProject.instance().addMapLayer(made)
    return made


def box(west, south, east, north):
    corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
    return f"Polygon(({','.join(f'{x} {y}' for x, y in corners)}))"


def last_request(state):
    return json.loads((state / "requests.json").read_text())[-1]["request"]


def run(layer, feedback=None, context=None, **parameters):
    wanted = {"INPUT": layer, "OUTPUT": "TEMPORARY_OUTPUT", **parameters}
    return processing.run(SEGMENT, wanted, feedback=feedback, context=context)


def test_all_that_it_takes_is_a_layer(layer, state):
    results = run(layer)
    assert QgsRasterLayer(results["OUTPUT"], "x").isValid()
    assert results["JOB"] == "job-1"
    assert results["MODEL_USED"] == "clouds-6band-l1c"
    assert results["PIXELS"] == 10
    assert results["AREAS"].endswith(".csv")
    assert "VECTOR" not in results
    request = last_request(state)
    assert request["input"]["profile"] == request["model"] == request["device"] == "auto"
    assert request["precision"] == "exact"
    assert request["region"] == {"bounds": None, "bounds_crs": None, "aoi": None}


def test_everything_filled_in_arrives_at_the_engine(layer, state, tmp_path):
    results = run(
        layer,
        MODEL="clouds-4band-l1c",
        PROFILE="landsat-c1-l1",
        SUN_ELEVATION=64.5,
        BANDS="red=1, nir=2",
        MIN_AREA=900,
        NODATA=0,
        DEVICE="cpu",
        PRECISION="fast",
        OUTPUT=str(tmp_path / "k l.tif"),
        VECTOR=str(tmp_path / "pölygons.gpkg"),
        PROBABILITY=str(tmp_path / "p.tif"),
    )
    request = last_request(state)
    assert request["model"] == "clouds-4band-l1c"
    assert request["input"]["profile"] == "landsat-c1-l1:sun_elevation=64.5"
    assert request["input"]["bands"] == {"red": "1", "nir": "2"}
    assert (request["polygons"]["min_area"], request["device"]) == (900.0, "cpu")
    assert request["precision"] == "fast"
    assert (request["input"]["nodata"], request["input"]["gsd"]) == (0.0, None)
    assert results["VECTOR"] == str(tmp_path / "pölygons.gpkg")
    assert QgsVectorLayer(results["VECTOR"], "x").featureCount() == 2


def test_a_custom_profile_stands_for_the_chosen_one(layer, state):
    run(layer, PROFILE="reflectance", CUSTOM_PROFILE=" custom:quantity=rgb ")
    assert last_request(state)["input"]["profile"] == "custom:quantity=rgb"


def test_temporary_polygons_are_a_geopackage(layer):
    assert run(layer, VECTOR="TEMPORARY_OUTPUT")["VECTOR"].endswith(".gpkg")


def test_polygons_into_another_format_are_refused(layer, tmp_path):
    with pytest.raises(QgsProcessingException, match=r"polygons\.shp.*\.gpkg"):
        run(layer, VECTOR=str(tmp_path / "polygons.shp"))


def test_a_model_file_stands_for_the_chosen_model(layer, state):
    run(layer, MODEL="clouds-4band-l1c", MODEL_FILE="/models/my.onnx")
    assert last_request(state)["model"] == "/models/my.onnx"


def test_the_extent_arrives_in_the_rasters_crs(layer, state):
    run(layer, EXTENT="500030,500090,5399500,5399900 [EPSG:32632]")
    assert last_request(state)["region"]["bounds"] == [500030, 5399500, 500090, 5399900]
    run(layer, EXTENT="9.0,9.01,48.74,48.75 [EPSG:4326]")
    west, south, east, north = last_request(state)["region"]["bounds"]
    assert 499000 < west < east < 502000
    assert 5390000 < south < north < 5410000


def test_the_mask_arrives_as_polygons_in_the_rasters_crs(layer, state):
    mask = polygons("EPSG:4326", box(9.0, 48.74, 9.005, 48.745), box(9.01, 48.74, 9.02, 48.75))
    run(layer, MASK=mask)
    written = QgsVectorLayer(last_request(state)["region"]["aoi"], "x")
    assert written.featureCount() == 2
    assert written.crs().authid() == "EPSG:32632"
    assert 499000 < written.extent().xMinimum() < 501000


def test_of_the_mask_only_what_is_selected(layer, state):
    mask = polygons("EPSG:32632", box(500000, 5399000, 500300, 5400000), box(0, 0, 1, 1))
    mask.selectByIds([1])
    run(layer, MASK=QgsProcessingFeatureSourceDefinition(mask.id(), selectedFeaturesOnly=True))
    written = QgsVectorLayer(last_request(state)["region"]["aoi"], "x")
    assert written.featureCount() == 1
    assert written.extent().xMaximum() == 500300


def test_a_mask_without_polygons_is_refused(layer):
    with pytest.raises(QgsProcessingException, match="«areas of interest» has no polygon"):
        run(layer, MASK=polygons("EPSG:32632"))


def test_the_engines_error_is_the_algorithms(layer):
    with pytest.raises(QgsProcessingException, match=r"There is no band nir\. Add it\."):
        run(layer, MODEL_FILE="broken.onnx")


def test_progress_rises_and_notes_come_first(layer):
    feedback = Listening()
    run(layer, feedback)
    assert feedback.progresses == sorted(feedback.progresses)
    assert feedback.progresses[-1] >= 90
    note, stage = (
        feedback.said.index("The numbers are taken as they are."),
        feedback.said.index("Running the model"),
    )
    assert note < stage
    assert any("cloud: 4500.00 m², 50.0 %" in line for line in feedback.said)


def test_cancel_stops_the_job_and_says_so(layer):
    feedback = Listening()
    threading.Timer(1.0, feedback.cancel).start()
    begin = time.monotonic()
    with pytest.raises(QgsProcessingException, match="was cancelled"):
        run(layer, feedback, MODEL_FILE="slow.onnx")
    assert time.monotonic() - begin < 4


def test_an_engine_that_dies_ends_the_run_with_a_sentence(layer, state):
    def kill():
        os.kill(json.loads((state / "connection.json").read_text())["pid"], signal.SIGKILL)

    threading.Timer(1.5, kill).start()
    with pytest.raises(QgsProcessingException, match=r"does not answer.*Run the algorithm again"):
        run(layer, MODEL_FILE="slow.onnx")


def test_an_image_without_georeference_has_pixel_coordinates(plugin, tmp_path, state):
    path = tmp_path / "photo.tif"
    gdal.GetDriverByName("GTiff").Create(str(path), 40, 30, 3).FlushCache()
    photo = QgsRasterLayer(str(path), "photo")
    assert not photo.crs().isValid()
    QgsProject.instance().addMapLayer(photo)
    mask = polygons("", box(5, -20, 15, -5))
    run(photo, GSD=0.5, EXTENT="0,20,-25,0", MASK=mask)
    request = last_request(state)
    assert request["input"]["gsd"] == 0.5
    assert request["region"]["bounds"] == [0, -25, 20, 0]
    written = QgsVectorLayer(request["region"]["aoi"], "x").extent()
    assert (written.xMinimum(), written.yMinimum()) == (5, -20)


def test_the_dialog_refuses_bands_that_are_no_pairs(layer):
    with pytest.raises(QgsProcessingException, match="ROLE=BAND"):
        run(layer, BANDS="red")


def test_a_layer_that_is_no_file_is_refused_with_a_way_out(plugin):
    tiles = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png", "tiles", "wms")
    QgsProject.instance().addMapLayer(tiles)
    with pytest.raises(QgsProcessingException, match="Save it as a GeoTIFF"):
        run(tiles)


def test_without_an_engine_it_is_listed_and_says_why_it_cannot_run(plugin, monkeypatch):
    monkeypatch.setenv("SWATH_ENGINE", "/nowhere")
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(SEGMENT)
    able, why = algorithm.canExecute()
    assert not able
    assert "/nowhere" in why


def test_with_a_running_engine_no_other_is_needed(layer, monkeypatch):
    run(layer)
    monkeypatch.setenv("SWATH_ENGINE", "/nowhere")
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(SEGMENT)
    assert algorithm.canExecute()[0]
    assert run(layer)["JOB"] == "job-2"


@pytest.mark.parametrize("name", ["segment", "apply", "installmodel"])
def test_a_newcomer_is_told_what_it_does(plugin, name):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"swath:{name}")
    assert "clouds-6band-l1c" in algorithm.shortHelpString()
    assert algorithm.shortDescription()
    assert not algorithm.icon().isNull()
    assert all(p.description() for p in algorithm.parameterDefinitions())


def test_a_model_with_terms_is_installed_once_they_are_accepted(plugin):
    wanted, feedback = {"MODEL": "clouds-6band-l1c"}, Listening()
    with pytest.raises(QgsProcessingException, match="tick «I accept the model's licence»"):
        processing.run("swath:installmodel", wanted, feedback=feedback)
    assert "Licence of clouds-6band-l1c: Apache-2.0." in feedback.said
    accepted = {**wanted, "ACCEPT_LICENCE": True}
    results = processing.run("swath:installmodel", accepted, feedback=feedback)
    assert results["MODEL"] == "clouds-6band-l1c"
    assert "A model: installed, 5 MB, licence Apache-2.0." in feedback.said


def test_it_runs_beside_the_gui_thread(plugin):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(SEGMENT)
    no_threading = getattr(type(algorithm).flags(algorithm), "value", algorithm.flags())
    assert not int(no_threading) & (1 << 6)


def load_results(results, context, order):
    """As Processing does at the end: into the project, then the post-processors."""
    for path in order:
        found = QgsProcessingUtils.mapLayerFromString(results[path], context)
        owned = context.takeResultLayer(found.id())
        QgsProject.instance().addMapLayer(owned, addToLegend=False)
        root = QgsProject.instance().layerTreeRoot()
        (root.findGroups() or [root])[0].insertLayer(0, owned)  # where QGIS 3.22 puts it: anywhere
        details = context.layerToLoadOnCompletionDetails(results[path])
        details.postProcessor().postProcessLayer(owned, context, QgsProcessingFeedback())


def run_and_load(layer, tmp_path, name, order=("OUTPUT", "PROBABILITY", "VECTOR")):
    """A run whose outputs QGIS has been asked to load."""
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    paths = {
        "OUTPUT": str(tmp_path / f"{name}.tif"),
        "VECTOR": str(tmp_path / f"{name}.gpkg"),
        "PROBABILITY": str(tmp_path / f"{name} p.tif"),
    }
    for output, path in paths.items():
        details = QgsProcessingContext.LayerDetails(output.title(), QgsProject.instance(), output)
        context.addLayerToLoadOnCompletion(path, details)
    results = run(layer, Listening(), context, **paths)
    load_results(results, context, order)
    return results


@pytest.mark.parametrize("order", [*itertools.permutations(["OUTPUT", "PROBABILITY", "VECTOR"])])
def test_the_results_lie_styled_in_one_group_above_the_imagery(layer, tmp_path, order):
    run_and_load(layer, tmp_path, "first", order)
    root = QgsProject.instance().layerTreeRoot()
    group, imagery = root.children()
    title = "Clouds and cloud shadows, 6 bands, top of atmosphere reflectance"
    assert group.name() == f"Swath: My scene – {title}"
    assert imagery.layer() is layer
    assert [n.layer().customProperty("swath/role") for n in group.children()] == [
        *("vector", "raster", "probability")
    ]
    assert [n.isVisible() for n in group.children()] == [True, True, False]
    raster = group.children()[1].layer()
    assert [c.label for c in raster.renderer().classes()] == ["clear", "cloud"]
    assert raster.customProperty("swath/job") == "job-1"
    assert raster.customProperty("swath/model") == "clouds-6band-l1c"
    assert "clouds-6band-l1c" in raster.metadata().history()[0]


def test_each_run_has_a_group_of_its_own_the_newest_on_top(layer, tmp_path):
    run_and_load(layer, tmp_path, "first")
    run_and_load(layer, tmp_path, "second")
    newest, older, _ = QgsProject.instance().layerTreeRoot().children()
    assert newest.name() == older.name()
    assert newest.customProperty("swath/job") == "job-2"
    assert len(newest.children()) == len(older.children()) == 3
