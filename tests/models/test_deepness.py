"""ONNX files that carry the metadata of the plugin Deepness."""

import contextlib
import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.card import Transform
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.catalogue import find_card
from engine.models.deepness import deepness_card, deepness_known
from engine.models.onnx_facts import OnnxFacts, facts_of

SEGMENTOR = {
    "model_type": "Segmentor",
    "class_names": {"0": "ground", "1": "roof", "2": "tree"},
    "resolution": 25,
    "tiles_size": 64,
    "tiles_overlap": 25,
}


@pytest.fixture
def save(tmp_path):
    def save(metadata, takes=("n", 3, "h", "w"), gives=("n", 3, "h", "w"), name="a model.onnx"):
        weight = np.ones((3, 3, 1, 1), np.float32)
        graph = helper.make_graph(
            [helper.make_node("Conv", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, takes)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)],
            [numpy_helper.from_array(weight, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        helper.set_model_props(model, {k: json.dumps(v) for k, v in metadata.items()})
        path = tmp_path / name
        onnx.save(model, path)
        return path

    return save


def test_a_file_tells_of_itself(save):
    facts = facts_of(save(SEGMENTOR, takes=(1, 3, 64, 64)).read_bytes())
    assert facts.inputs == ((1, 3, 64, 64),)
    assert facts.outputs == ((None, 3, None, None),)
    assert facts.metadata["tiles_size"] == "64"


def test_a_segmentor_becomes_a_card(save, store):
    card = find_card(str(save(SEGMENTOR | {"seg_thresh": 0.4})), store)
    assert card.id == "a-model"
    assert [c.name for c in card.output.classes] == ["ground", "roof", "tree"]
    assert len({c.color for c in card.output.classes}) == 3
    assert (card.input.gsd, card.input.bands) == (0.25, ("red", "green", "blue"))
    assert card.tiling == TileRule(64, 8, 32, fixed=False)
    assert card.output.threshold == 0.4
    assert card.output.activation == "none"
    assert card_from_json(card_to_json(card)) == card


def test_standardisation_and_a_fixed_size(save):
    told = {"standardization_mean": [0.1, 0.2, 0.3], "standardization_std": [0.4, 0.5, 0.6]}
    card = deepness_card(save(SEGMENTOR | told, takes=(1, 3, 64, 64), gives=(1, 3, 64, 64)))
    assert card.input.transforms == (Transform("z-score", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),)
    assert card.tiling == TileRule(64, 8, 1)


def test_one_score_for_two_classes(save):
    names = [{"0": "background", "1": "road"}]
    card = deepness_card(save(SEGMENTOR | {"class_names": names}, gives=("n", 1, "h", "w")))
    assert [c.name for c in card.output.classes] == ["background", "road"]
    assert card.output.threshold == 0.5


def test_a_regressor_and_its_scaling(save):
    told = SEGMENTOR | {"model_type": "Regressor", "reg_output_scaling": 2.5}
    told.pop("class_names")
    card = deepness_card(save(told, gives=("n", 1, "h", "w")))
    assert [(v.name, v.scale) for v in card.output.values] == [("value 1", 2.5)]
    assert card_from_json(card_to_json(card)) == card


def test_a_finer_picture(save):
    told = SEGMENTOR | {"model_type": "Superresolution"}
    card = deepness_card(save(told, takes=(1, 3, 64, 64), gives=(1, 3, 128, 128)))
    assert (card.output.zoom, len(card.output.values)) == (2, 3)


def test_files_without_the_metadata_are_none_of_these(save, store):
    path = save({"author": "somebody"})
    assert deepness_card(path) is None
    with pytest.raises(EngineError) as caught:
        find_card(str(path), store)
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"model_type": "Detector"}, ErrorCode.MODEL_UNSUITABLE, "is a Detector"),
        ({"resolution": "fine"}, ErrorCode.MODEL_INVALID, "fine"),
        ({"class_names": {"1": "roof", "3": "tree"}}, ErrorCode.MODEL_INVALID, "from 0"),
        ({"class_names": "roof"}, ErrorCode.MODEL_INVALID, "cannot be followed"),
        ({"standardization_std": [0, 1, 1]}, ErrorCode.MODEL_INVALID, "standardisation"),
        ({"tiles_overlap": 200}, ErrorCode.MODEL_INVALID, "tile rule"),
        ({"tiles_size": -3}, ErrorCode.MODEL_INVALID, "tile rule"),
        ({"resolution": float("nan")}, ErrorCode.MODEL_INVALID, "no finite number"),
        ({"resolution": 10**400}, ErrorCode.MODEL_INVALID, "too large"),
        ({"resolution": -10}, ErrorCode.MODEL_INVALID, "not above 0"),
        ({"seg_thresh": float("inf")}, ErrorCode.MODEL_INVALID, "no finite number"),
        ({"standardization_mean": [0, float("inf"), 1]}, ErrorCode.MODEL_INVALID, "no finite"),
        ({"class_names": {"0": "a", "x": "b"}}, ErrorCode.MODEL_INVALID, "cannot be followed"),
        ({"model_type": "Recognition"}, ErrorCode.MODEL_INVALID, "one row of numbers"),
    ],
)
def test_metadata_that_cannot_be_followed(save, change, code, says):
    with pytest.raises(EngineError) as caught:
        deepness_card(save(SEGMENTOR | change))
    assert caught.value.code is code
    assert says in caught.value.message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.sampled_from("012x"), v, max_size=4),
    max_leaves=8,
)
KEYS = (*SEGMENTOR, "standardization_mean", "standardization_std", "seg_thresh", "names")
KINDS = ("Segmentor", "Regressor", "Superresolution", "Recognition")


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES | st.integers(1, 512), min_size=1, max_size=4),
    st.sampled_from(KINDS),
    st.lists(st.none() | st.integers(1, 64), max_size=4),
)
def test_any_metadata_are_read_or_refused(changes, kind, gives):
    told = SEGMENTOR | {"model_type": kind} | changes
    texts = {key: json.dumps(value) for key, value in told.items()}
    facts = OnnxFacts(texts, ((1, 3, None, None),), (tuple(gives),))
    with contextlib.suppress(EngineError):
        known = deepness_known("any.onnx", facts)
        assert known.classes or known.values


def test_bands_that_nothing_names(save):
    with pytest.raises(EngineError, match="takes 7 bands"):
        deepness_card(save(SEGMENTOR, takes=(1, 7, 64, 64)))


def test_one_name_for_one_score_is_what_is_looked_for(save):
    for told in ({"class_names": {"0": "road"}}, {"class_names": [{"0": "road"}, {"0": "x"}]}):
        card = deepness_card(save(SEGMENTOR | told, gives=("n", 1, "h", "w")))
        assert [c.name for c in card.output.classes] == ["background", "road"]
    whole = SEGMENTOR.copy()
    whole.pop("class_names")
    card = deepness_card(save(whole, gives=("n", 4, "h", "w")))
    assert [c.name for c in card.output.classes] == ["class 0", "class 1", "class 2", "class 3"]


def test_a_threshold_below_one_half_decides_nothing_between_two(save):
    names = {"class_names": {"0": "ground", "1": "roof"}}
    for threshold, wanted in ((0.4, None), (0.5, None), (0.7, 0.7)):
        told = SEGMENTOR | names | {"seg_thresh": threshold}
        card = deepness_card(save(told, gives=("n", 2, "h", "w")))
        assert card.output.threshold == wanted


def test_what_deepness_does_after_the_network_is_said(save):
    card = deepness_card(save(SEGMENTOR | {"seg_small_segment": 6}))
    assert "median of 7 x 7 pixels" in card.summary
    assert "median" not in deepness_card(save(SEGMENTOR | {"seg_small_segment": 0})).summary


def test_older_words_for_the_same(save):
    told = {"model_type": "segmentor", "names": {"0": "a", "1": "b", "2": "c"}, "tile_size": 96}
    card = deepness_card(save(told | {"resolution": 20}))
    assert [c.name for c in card.output.classes] == ["a", "b", "c"]
    assert card.tiling == TileRule(96, 0, 32, fixed=False)


def test_a_recognition_model_gives_one_embedding_for_a_tile(save):
    told = SEGMENTOR | {"model_type": "Recognition", "tiles_overlap": 50}
    card = deepness_card(save(told, takes=("n", 3, 64, 64), gives=("n", 128)))
    assert (card.output.cell, len(card.output.values)) == (64, 128)
    assert card.tiling == TileRule(64, 0, 64)
    assert card.tasks == ("similarity-search",)
    assert card_from_json(card_to_json(card)) == card
