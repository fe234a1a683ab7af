"""A tile's result depends on that tile alone, whatever the network does with a batch."""

import dataclasses
import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from onnx import helper, numpy_helper

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.cardfile import card_to_json, read_card
from engine.models.runtime import open_model

SIZE = 64


def mean_nodes():
    """Adds three times the mean over the batch, which for one tile is the tile."""
    nodes = [
        helper.make_node("ReduceMean", ["plain"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "three"], ["thrice"]),
        helper.make_node("Add", ["plain", "thrice"], ["y"]),
    ]
    return nodes, {"three": np.float32(3)}


def place_nodes():
    """Adds, for the first class, a hundred times the tile's place in the batch, from 0."""
    nodes = [
        helper.make_node("Mul", ["plain", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "first"], ["ones"]),
        helper.make_node("CumSum", ["ones", "axis"], ["place"], exclusive=1),
        helper.make_node("Add", ["plain", "place"], ["y"]),
    ]
    first = np.array([100, 0, 0], np.float32).reshape(1, 3, 1, 1)
    return nodes, {"nothing": np.float32(0), "first": first, "axis": np.int64(0)}


def no_nodes():
    return [helper.make_node("Identity", ["plain"], ["y"])], {}


KINDS = {"mean": mean_nodes, "place": place_nodes, "none": no_nodes}


@pytest.fixture
def odd_card(lab):
    """A card whose network looks at its batch; ``batch`` tiles a pass, or any number."""

    def make(kind, batch=None):
        card = read_card(lab.card(TileRule(SIZE, 4, 4)))
        model = onnx.load(lab.folder / f"box{SIZE}.onnx")
        model.graph.node[0].output[0] = "plain"
        nodes, constants = KINDS[kind]()
        model.graph.node.extend(nodes)
        made = (numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items())
        model.graph.initializer.extend(made)
        if batch:
            for port in (*model.graph.input, *model.graph.output):
                port.type.tensor_type.shape.dim[0].dim_value = batch
        path = lab.folder / f"{kind}-{batch}.onnx"
        onnx.save(model, path)
        data = path.read_bytes()
        file = dataclasses.replace(
            card.file, uri=path.as_uri(), sha256=hashlib.sha256(data).hexdigest(), size=len(data)
        )
        card = dataclasses.replace(card, id=path.stem.lower(), file=file)
        lab.store.install(card, lambda _done, _total: None, lambda: False)
        place = path.with_suffix(".json")
        place.write_text(json.dumps(card_to_json(card)))
        return place

    return make


def classes(outcome):
    with rasterio.open(outcome.artifacts[0].uri) as source:
        return source.read(1)


def tiles_of_noise(count):
    return np.random.default_rng(3).normal(size=(count, 2, SIZE, SIZE)).astype(np.float32)


@pytest.mark.parametrize("kind", ["mean", "place"])
def test_the_networks_of_this_test_do_look_at_their_batch(kind, odd_card):
    session = onnxruntime.InferenceSession(odd_card(kind).with_suffix(".onnx"))
    tiles = tiles_of_noise(3)
    together = session.run(None, {"x": tiles})[0]
    alone = session.run(None, {"x": tiles[2:]})[0]
    assert np.abs(together[2] - alone[0]).max() > 1


@pytest.mark.parametrize("kind", ["mean", "place"])
def test_a_run_gives_what_one_tile_at_a_time_gives(kind, lab, odd_card):
    data = lab.data(150, 333)
    data[:, 40:110, 100:190] = np.nan
    scene = lab.scene(data, nodata=np.nan)
    plain = classes(lab.run(scene, lab.card(TileRule(SIZE, 4, 4)), "plain"))
    odd = classes(lab.run(scene, odd_card(kind), "odd"))
    np.testing.assert_array_equal(odd, plain)
    assert len(np.unique(plain)) == 4


@pytest.mark.parametrize("kind", ["mean", "place"])
@pytest.mark.parametrize("batch", [None, 1])
def test_scores_do_not_depend_on_the_batch(kind, batch, lab, odd_card):
    card = read_card(odd_card(kind, batch))
    model = open_model(card, lab.store.path(card), "cpu")
    tiles = tiles_of_noise(5)
    alone = np.concatenate([model.predict(tile[None]) for tile in tiles])
    assert model.predict(tiles).tobytes() == alone.tobytes()
    assert model.predict(tiles[::-1])[::-1].tobytes() == alone.tobytes()


@pytest.mark.parametrize("kind", ["mean", "place"])
@pytest.mark.parametrize("batch", [2, 4])
def test_a_file_that_forces_tiles_together_and_mixes_them_is_refused(kind, batch, lab, odd_card):
    scene, card = lab.scene(lab.data(150, 333)), odd_card(kind, batch)
    with pytest.raises(EngineError) as caught:
        lab.run(scene, card)
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert "batch" in caught.value.message
    assert not (lab.folder / "out.tif").exists()


def test_a_file_that_forces_tiles_together_and_keeps_them_apart_is_run(lab, odd_card):
    scene = lab.scene(lab.data(150, 333))
    plain = classes(lab.run(scene, lab.card(TileRule(SIZE, 4, 4)), "plain"))
    np.testing.assert_array_equal(classes(lab.run(scene, odd_card("none", 4))), plain)
