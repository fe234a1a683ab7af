"""``swath:apply`` with the real engine: a network of two dates that somebody made themselves."""

import dataclasses
import hashlib
import json

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper

from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, ValueBand
from engine.models.cardfile import card_to_json

PROFILE = {"PROFILE": "reflectance"}
ROW, COLUMN, EDGE, RISE = 90, 40, 120, 0.25
"""Where the second date differs, and by how much."""


def save_difference(path):
    """A network of two inputs with the bands red and nir: the rise of nir from the first on."""
    nir = numpy_helper.from_array(np.array([1]), "nir")
    nodes = [
        helper.make_node("Sub", ["after", "before"], ["rise"]),
        helper.make_node("Gather", ["rise", "nir"], ["y"], axis=1),
    ]
    sizes = ["n", 2, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "difference",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, sizes) for n in ("before", "after")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [nir],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def card_of(path, output):
    """What the network's author says of it."""
    data = path.read_bytes()
    image = ModelInput(("red", "nir"), "reflectance", (-0.2, 2), (), 30, (20, 40))
    return ModelCard(
        id="rise",
        version="1",
        title="Rise of the near infrared",
        summary="A test network",
        tasks=("regression",),
        inputs=tuple(dataclasses.replace(image, name=name) for name in ("before", "after")),
        tiling=TileRule(128, 0, 1, fixed=False),
        merge="crop",
        output=output,
        file=ModelFile(path.as_uri(), hashlib.sha256(data).hexdigest(), len(data), "onnx"),
        license="CC0-1.0",
        attribution="Swath",
        citation="none",
        joining="separate",
    )


@pytest.fixture
def card(place):
    """Writes a card of the network with some output; returns its path."""

    def write(output):
        network = place.folder / "ein Modell.onnx"
        save_difference(network)
        path = network.with_suffix(".json")
        path.write_text(json.dumps(card_to_json(card_of(network, output))), "utf-8")
        return path

    return write


VALUES = ModelOutput(values=(ValueBand("rise", "1"),))
CLASSES = ModelOutput(
    classes=(ModelClass(0, "same", "#888888"), ModelClass(1, "grown", "#30a040")),
    activation="none",
    threshold=0.1,
)


@pytest.fixture
def later(place):
    """The scene at a second date, brighter in one square."""
    path = place.folder / "später.tif"
    with rasterio.open(place.scene) as scene:
        bands, profile, names = scene.read(), scene.profile, scene.descriptions
    bands[3, ROW : ROW + EDGE, COLUMN : COLUMN + EDGE] += RISE
    with rasterio.open(path, "w", **profile) as made:
        made.write(bands)
        made.descriptions = names
    return path


def rise_of(before, after):
    with rasterio.open(before) as one, rasterio.open(after) as two:
        return two.read(4) - one.read(4)


def run(headless, *words, **parameters):
    texts = [f"{name}={value}" for name, value in parameters.items()]
    return headless("--json", "run", "swath:apply", "--", *texts, *words)


def results_of(done):
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return json.loads(done.stdout[done.stdout.index("{") :])["results"]


def test_a_card_and_a_second_layer_give_values(headless, place, card, later):
    output = place.folder / "rise.tif"
    given = {"INPUT": place.scene, "MODEL_FILE": card(VALUES), "OTHERS": later, **PROFILE}
    done = run(headless, OUTPUT=output, **given)
    results = results_of(done)
    assert results["MODEL_USED"] == "rise"
    assert results["PIXELS"] == 90000
    assert "später.tif is taken as the model's input «after»." in done.stdout + done.stderr
    with rasterio.open(output) as made, rasterio.open(place.scene) as scene:
        assert (made.crs, made.transform, made.shape) == (scene.crs, scene.transform, scene.shape)
        np.testing.assert_allclose(made.read(1), rise_of(place.scene, later), atol=1e-6)
    assert "singlebandpseudocolor" in output.with_suffix(".qml").read_text("utf-8")


def test_names_decide_and_classes_have_polygons(headless, place, card, later):
    output, polygons = place.folder / "grown.tif", place.folder / "grown.gpkg"
    given = {"INPUT": place.scene, "MODEL_FILE": card(CLASSES), "OTHERS": later, **PROFILE}
    results = results_of(run(headless, OUTPUT=output, VECTOR=polygons, NAMES="after", **given))
    assert results["VECTOR"] == str(polygons)
    with rasterio.open(output) as made:
        grown = made.read(1) == 1
    np.testing.assert_array_equal(grown, rise_of(place.scene, later) >= 0.1)
    assert grown.sum() == EDGE * EDGE


def test_too_many_layers_are_one_sentence_in_the_dialogs_words(headless, place, card, later):
    output = place.folder / "rise.tif"
    given = {"INPUT": place.scene, "MODEL_FILE": card(VALUES), **PROFILE}
    both = (f"OTHERS={later}", f"OTHERS={place.scene}")
    done = run(headless, *both, OUTPUT=output, **given)
    said = done.stderr + done.stdout
    assert done.returncode != 0
    assert "The model takes 1 rasters as «after», and 2 are given." in said
    assert "«after» in the parameter «Names of the further layers»" in said
    assert not output.exists()


def test_help_names_every_parameter(headless):
    text = headless("help", "swath:apply").stdout
    assert all(f"{name}:" in text for name in ("INPUT", "MODEL_FILE", "OTHERS", "NAMES", "DATE"))


DIALOG = "[w for w in visible(QtWidgets.QDialog) if hasattr(w, 'setParameters')][0]"
LAYERS = "QgsProject.instance().mapLayersByName({!r})[0]"


@pytest.mark.desktop
def test_menu_dialog_run_and_the_values_are_there(desktop, place, card, later, shots):
    model = card(VALUES)
    qgis = desktop(environment=place.environment, layers=[later, place.scene], binds=[place.folder])
    qgis.until("len(QgsProject.instance().mapLayers()) == 2")
    qgis.py(f"iface.setActiveLayer({LAYERS.format(place.scene.stem)})")
    qgis.py("plugins['swath'].actions.apply.trigger()")
    qgis.until("'Apply' in ' '.join(windows())")
    qgis.py(f"""
dialog = {DIALOG}
given = {{'MODEL_FILE': {str(model)!r}, 'OTHERS': [{LAYERS.format(later.stem)}.id()]}}
dialog.setParameters({{**dialog.createProcessingParameters(), **given, **{PROFILE!r}}})
""")
    qgis.shot(shots / "1-dialog.png")
    qgis.click("button('Run')")
    groups = "[g.name() for g in QgsProject.instance().layerTreeRoot().findGroups()]"
    qgis.until(groups, 60)
    qgis.until("not button('Cancel').isEnabled()")
    qgis.shot(shots / "2-log.png")
    assert qgis.py(groups) == [f"Swath: {place.scene.stem} – Rise of the near infrared"]
    loaded = "QgsProject.instance().layerTreeRoot().findGroups()[0].children()"
    assert qgis.py(f"[n.layer().renderer().type() for n in {loaded}]") == ["singlebandpseudocolor"]
    assert qgis.py(f"[n.name() for n in {loaded}]") == ["Values"]
    qgis.click("button('Close')")
    qgis.py("iface.mapCanvas().waitWhileRendering()")
    qgis.shot(shots / "3-map.png")
    assert qgis.py("ERRORS") == []
