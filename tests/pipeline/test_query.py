"""Looking for a picture: embeddings of Deepness' Recognition models, from end to end."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rasterio.transform import from_origin

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, OutputSpec, SegmentRequest
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.store import ModelStore
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

EDGE = 32
PLACE = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 0.1, 0.1)}


@pytest.fixture
def recognition(tmp_path):
    """A convolution, and the mean of each of its channels over the tile."""
    weight = np.random.default_rng(3).normal(size=(6, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, EDGE, EDGE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    told = {"model_type": "Recognition", "resolution": 10, "tiles_size": EDGE, "tiles_overlap": 50}
    helper.set_model_props(model, {k: json.dumps(v) for k, v in told.items()})
    path = tmp_path / "recognition.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def scene(tmp_path):
    """Five by four tiles of textures in colours of their own, and the pixels."""
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 200, (3, 4, 5)).repeat(EDGE, 1).repeat(EDGE, 2)
    pixels = (colours + rng.integers(0, 55, colours.shape)).astype(np.uint8)
    path = tmp_path / "scene ä.tif"
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB"}
    height, width = pixels.shape[1:]
    with rasterio.open(path, "w", height=height, width=width, **layout, **PLACE) as target:
        target.write(pixels)
    return path, pixels


def save_picture(path, pixels):
    Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return str(path)


@pytest.fixture
def ask(recognition, scene, tmp_path):
    """Run the model with a picture; the similarities and the plan."""

    def ask(query, model=recognition):
        output = OutputSpec(str(tmp_path / "out.tif"), overwrite=True)
        spec = InputSpec((str(scene[0]),), profile="rgb8")
        request = SegmentRequest(spec, output, model=str(model), query=query, device="cpu")
        store = ModelStore(tmp_path / "models")
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        plan = settled_plan(request, store, work, lambda _card: None)
        run_plan(plan, store, work, Silence())
        with rasterio.open(output.raster) as raster:
            return raster.read(), raster.profile | {"names": raster.descriptions}, plan

    return ask


def test_similarities_are_the_cosines_of_the_networks_own_embeddings(
    ask, recognition, scene, tmp_path
):
    pixels = scene[1]
    wanted = pixels[:, 2 * EDGE : 3 * EDGE, EDGE : 2 * EDGE]
    found, raster, plan = ask(save_picture(tmp_path / "öbject.png", wanted))
    session = onnxruntime.InferenceSession(recognition.read_bytes())

    def embed(tile):
        return session.run(None, {"x": (tile[None] / 255).astype(np.float32)})[0][0]

    query = embed(wanted)
    tiles = pixels.reshape(3, 4, EDGE, 5, EDGE).transpose(1, 3, 0, 2, 4)
    each = np.array([[embed(tile) for tile in row] for row in tiles])
    cosines = each @ query / np.linalg.norm(each, axis=2) / np.linalg.norm(query)
    assert found.shape == (1, 4, 5)
    np.testing.assert_allclose(found[0], cosines, atol=1e-5)
    assert np.unravel_index(found[0].argmax(), (4, 5)) == (2, 1)
    assert raster["names"] == ("similarity",)
    assert raster["transform"].a == pytest.approx(EDGE * 0.1)
    assert any("öbject.png" in note for note in plan.notes)
    card = plan.recipe.card
    assert card_from_json(card_to_json(card)) == card


def test_a_picture_of_another_size_is_brought_to_the_tiles(ask, scene, tmp_path):
    tile = scene[1][:, :EDGE, 3 * EDGE : 4 * EDGE]
    found, *_ = ask(save_picture(tmp_path / "large.png", tile.repeat(3, 1).repeat(2, 2)))
    assert np.unravel_index(found[0].argmax(), (4, 5)) == (0, 3)
    assert found.max() == pytest.approx(1, abs=1e-5)


def test_without_a_picture_the_embeddings_come(ask):
    found, raster, _ = ask(None)
    assert found.shape == (6, 4, 5)
    assert raster["names"][0] == "embedding 1"


def test_pictures_and_models_that_cannot_be_compared(ask, scene, tmp_path):
    with pytest.raises(EngineError) as caught:
        ask(str(tmp_path / "nothing.png"))
    assert caught.value.code is ErrorCode.INPUT_NOT_FOUND
    with pytest.raises(EngineError) as caught:
        ask(str(scene[0]), model="buildings")
    assert caught.value.code is ErrorCode.MODEL_UNSUITABLE
    grey = save_picture(tmp_path / "huge.png", np.zeros((3, 2, 5000), np.uint8))
    with pytest.raises(EngineError, match="too many"):
        ask(grey)
    black = save_picture(tmp_path / "black.png", np.zeros((3, 9, 9), np.uint8))
    with pytest.raises(EngineError) as caught:
        ask(black)
    assert caught.value.code is ErrorCode.MODEL_FAILED
