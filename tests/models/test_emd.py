"""Esri's model definitions and packages; no code of theirs is ever run."""

import contextlib
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from engine.contract.errors import EngineError, ErrorCode
from engine.models.adding import choose_id, draft_card, keep
from engine.models.card import Transform
from engine.models.catalogue import find_card
from engine.models.emd import read_definition
from engine.models.known import Known
from engine.models.told import read_model
from engine.models.trial import try_out

ROOF = {"Value": 1, "Name": "Roof", "Color": [255, 0, 10]}
WHOLE = {
    "Framework": "PyTorch",
    "ModelConfiguration": "_unet",
    "ModelType": "ImageClassification",
    "ModelName": "Roofs of Küstrin",
    "ModelFile": ".\\net.onnx",
    "InferenceFunction": "[Functions]System\\DeepLearning\\ArcGISImageClassifier.py",
    "ImageHeight": 64,
    "ImageWidth": 64,
    "ExtractBands": [0, 1, 2],
    "Classes": [ROOF, {"Value": 7, "Name": "Tree", "Color": [0, 200, 0]}],
    "MinCellSize": {"x": 0.2, "y": 0.2, "spatialReference": {"wkid": 102100, "latestWkid": 3857}},
    "MaxCellSize": {"x": 0.8, "y": 0.8, "spatialReference": {"wkid": 102100, "latestWkid": 3857}},
    "ModelParameters": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]},
    "BatchSize": 4,
}
STATISTICS = {
    "band_min_values": [0, 10, 20, 30],
    "band_max_values": [100, 110, 220, 330],
    "band_mean_values": [50, 60, 70, 80],
    "band_std_values": None,
    "scaled_mean_values": [0.5, 0.4, 0.3, 0.2],
    "scaled_std_values": [0.1, 0.2, 0.3, 0.4],
}


def network(scores=3):
    weight = np.random.default_rng(0).normal(size=(scores, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", scores, "h", "w"])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


@pytest.fixture
def definition(tmp_path):
    """A definition with changes (None takes a key away), beside its network."""

    def definition(changes=None, content=None):
        told = {k: v for k, v in (WHOLE | (changes or {})).items() if v is not None}
        folder = tmp_path / "Modell ä"
        folder.mkdir(exist_ok=True)
        (folder / "net.onnx").write_bytes(network())
        path = folder / "roofs.emd"
        path.write_text(json.dumps(told) if content is None else content, encoding="utf-8")
        return path

    return definition


def test_what_a_definition_tells(definition):
    found = read_definition(definition())
    known = found.known
    assert found.network.name == found.subject.name == "net.onnx"
    assert known.title == "Roofs of Küstrin"
    assert [(c.id, c.name, c.color) for c in known.classes] == [
        (1, "Roof", "#ff000a"),
        (7, "Tree", "#00c800"),
    ]
    assert (known.tile, known.is_fixed, known.channels) == (64, True, 3)
    assert known.gsd == pytest.approx(0.4)
    assert known.gsd_range == pytest.approx((0.16, 1.0))
    step = Transform("z-score", (0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
    assert (known.quantity, known.transforms) == ("rgb", (step,))
    assert "ArcGISImageClassifier.py" in known.not_for[0]
    assert known.missing == ("bands",)


def test_statistics_of_the_bands_that_are_taken(definition):
    told = {
        "NormalizationStats": STATISTICS,
        "ExtractBands": [3, 0, 1],
        "Bands": ["r", "g", "b", "nir"],
        "DoNormalize": True,
    }
    known = read_definition(definition(told)).known
    assert known.bands == ("nir", "red", "green")
    assert known.transforms == (
        Transform("min-max", (30, 0, 10), (330, 100, 110)),
        Transform("z-score", (0.2, 0.5, 0.4), (0.4, 0.1, 0.2)),
    )
    assert (known.quantity, known.range) == ("raw", (-330, 660))
    known = read_definition(definition(told | {"DoNormalize": False})).known
    assert [step.kind for step in known.transforms] == ["min-max"]


def test_units_that_are_no_metres_are_asked_for(definition):
    degrees = {"x": 0.1, "y": 0.1, "spatialReference": {"wkid": 4326}}
    for size in (degrees, {"x": 1, "y": 1}, {"x": 1, "spatialReference": {"wkid": 99999999}}):
        known = read_definition(definition({"MinCellSize": size, "MaxCellSize": None})).known
        assert known.gsd is None
    feet = {"x": 2, "y": 2, "spatialReference": {"wkid": 2263}}
    known = read_definition(definition({"MinCellSize": feet, "MaxCellSize": feet})).known
    assert known.gsd == pytest.approx(0.6096, abs=1e-3)


def test_a_definition_becomes_a_card_with_its_background(definition, store):
    found = read_model(definition({"DataRange": [0, 1], "ModelParameters": None}))
    known = found.known | Known(bands=("red", "green", "blue"))
    draft = draft_card(found, known, try_out(found.subject, known), store, "roofs")
    keep(draft, found, store, None)
    card = find_card("roofs", store)
    assert [(c.id, c.name) for c in card.output.classes] == [
        (0, "background"),
        (1, "Roof"),
        (7, "Tree"),
    ]
    assert (card.tiling.size, card.tiling.fixed, card.input.transforms) == (64, True, ())


@pytest.fixture
def package(definition, tmp_path):
    def package(members=None):
        folder = definition().parent
        whole = {"Modell/roofs.emd": (folder / "roofs.emd").read_bytes()}
        whole |= {"Modell/net.onnx": network(), "Modell/function.py": b"raise SystemExit"}
        path = tmp_path / "roofs.dlpk"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (whole | (members or {})).items():
                archive.writestr(name, content)
        return path

    return package


def test_a_package_is_unpacked_into_the_store(package, store):
    path = package()
    found = read_model(path)
    known = found.known | Known(bands=("red", "green", "blue"))
    tried = try_out(found.subject, known)
    name = choose_id(None, found, known, store)
    draft = draft_card(found, known, tried, store, name)
    assert list(store.root.rglob("*.onnx")) == []  # nothing is left before it is kept
    keep(draft, found, store, None)
    path.unlink()
    card = find_card(name, store)
    assert store.verify(card).read_bytes() == network()
    assert list(store.root.rglob("*.py")) == []


def test_a_package_beside_its_card(package, store, tmp_path):
    found = read_model(package())
    known = found.known | Known(bands=("red", "green", "blue"))
    draft = draft_card(found, known, try_out(found.subject, known), store, "roofs")
    keep(draft, found, store, tmp_path / "dort" / "karte.json")
    card = find_card(str(tmp_path / "dort" / "karte.json"), store)
    assert store.verify(card) == tmp_path / "dort" / "karte.onnx"


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"ModelType": "ObjectDetection"}, ErrorCode.MODEL_UNSUITABLE, "ObjectDetection"),
        ({"ModelType": None}, ErrorCode.MODEL_INVALID, "$.ModelType"),
        ({"ModelFile": "net.pth"}, ErrorCode.MODEL_UNSUITABLE, "training program"),
        ({"ModelFile": "net.h5"}, ErrorCode.MODEL_UNSUITABLE, "training program"),
        ({"ModelFile": "../net.onnx"}, ErrorCode.MODEL_INVALID, "own folder"),
        ({"ModelFile": "..\\..\\net.onnx"}, ErrorCode.MODEL_INVALID, "own folder"),
        ({"ModelFile": "C:\\models\\net.onnx"}, ErrorCode.MODEL_INVALID, "own folder"),
        ({"ModelFile": "/etc/net.onnx"}, ErrorCode.MODEL_INVALID, "own folder"),
        ({"ModelFile": "\\\\server\\share\\net.onnx"}, ErrorCode.MODEL_INVALID, "own folder"),
        ({"ModelFile": "other.onnx"}, ErrorCode.MODEL_NOT_FOUND, "other.onnx"),
        ({"ModelFile": ["net.onnx"]}, ErrorCode.MODEL_INVALID, "$.ModelFile"),
        ({"ImageHeight": "64"}, ErrorCode.MODEL_INVALID, "$.ImageHeight"),
        ({"ImageHeight": 128}, ErrorCode.MODEL_INVALID, "as many pixels"),
        ({"ExtractBands": [0, -1]}, ErrorCode.MODEL_INVALID, "$.ExtractBands[1]"),
        ({"ExtractBands": {"0": 1}}, ErrorCode.MODEL_INVALID, "$.ExtractBands"),
        ({"Classes": [ROOF, ROOF]}, ErrorCode.MODEL_INVALID, "different values"),
        ({"Classes": [ROOF | {"Color": [0, 0, 256]}]}, ErrorCode.MODEL_INVALID, "Color[2]"),
        ({"Classes": [ROOF | {"Color": [0, 0]}]}, ErrorCode.MODEL_INVALID, "red, green and blue"),
        ({"Classes": [ROOF | {"Value": 300}]}, ErrorCode.MODEL_INVALID, "Value"),
        ({"Classes": [ROOF | {"Name": 5}]}, ErrorCode.MODEL_INVALID, "Name"),
        ({"Classes": []}, ErrorCode.MODEL_INVALID, "$.Classes"),
        ({"CellSize": 10**400}, ErrorCode.MODEL_INVALID, "$.CellSize"),
        ({"MinCellSize": -3}, ErrorCode.MODEL_INVALID, "$.MinCellSize"),
        ({"MinCellSize": {"x": float("inf")}}, ErrorCode.MODEL_INVALID, "$.MinCellSize.x"),
        ({"Threshold": float("nan")}, ErrorCode.MODEL_INVALID, "$.Threshold"),
        (
            {"ModelParameters": {"mean": [0, 0, 0], "std": [1, 0, 1]}},
            ErrorCode.MODEL_INVALID,
            "std",
        ),
        (
            {"ModelParameters": {"mean": [float("nan")], "std": [1]}},
            ErrorCode.MODEL_INVALID,
            "mean",
        ),
        (
            {"NormalizationStats": STATISTICS | {"band_max_values": [0, 0, 0, 0]}},
            ErrorCode.MODEL_INVALID,
            "band_max_values",
        ),
        ({"NormalizationStats": 7}, ErrorCode.MODEL_INVALID, "$.NormalizationStats"),
    ],
)
def test_definitions_that_cannot_be_followed(definition, changes, code, says):
    with pytest.raises(EngineError) as caught:
        read_definition(definition(changes))
    assert caught.value.code is code
    assert says in caught.value.message


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["x", "y", "wkid", "spatialReference", "mean", "std", "Value", "Name"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
KEYS = (*WHOLE, "NormalizationStats", "DataRange", "CellSize", "Bands", "Mean", "StdDev")


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, min_size=1, max_size=3))
def test_any_value_anywhere_is_read_or_refused(changes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.emd"
        path.write_text(json.dumps(WHOLE | changes), encoding="utf-8")
        (Path(folder) / "net.onnx").write_bytes(b"")
        with contextlib.suppress(EngineError):
            known = read_definition(path).known
            assert all(0 <= c.id < 255 for c in known.classes or ())


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "{", "[" * 100_000, '{"a": "' + "x" * 1_000_001 + '"}', "\x00"]
)
def test_files_that_are_no_definition(definition, content):
    with pytest.raises(EngineError) as caught:
        read_definition(definition(content=content))
    assert caught.value.code is ErrorCode.MODEL_INVALID


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_does_not_lead_out_of_the_folder(definition, tmp_path):
    path = definition({"ModelFile": "link.onnx"})
    outside = tmp_path / "outside.onnx"
    outside.write_bytes(network())
    (path.parent / "link.onnx").symlink_to(outside)
    with pytest.raises(EngineError, match="outside its folder"):
        read_definition(path)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"second.emd": b"{}"}, "2 definitions"),
        ({"Modell/roofs.emd": json.dumps(WHOLE | {"ModelFile": "no.onnx"})}, "is not in it"),
        ({"Modell/roofs.emd": json.dumps(WHOLE | {"ModelFile": "../x.onnx"})}, "own folder"),
        ({"Modell/roofs.emd": b"x" * 1_000_001}, "too large"),
    ],
)
def test_packages_that_cannot_be_followed(package, members, says):
    with pytest.raises(EngineError) as caught:
        read_model(package(members))
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert says in caught.value.message


def test_a_damaged_package(package):
    path = package()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(EngineError) as caught:
        read_model(path)
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_scores_that_the_classes_do_not_fit(definition, store):
    path = definition()
    onnx.save_model(onnx.load_from_string(network(5)), path.parent / "net.onnx")
    found = read_model(path)
    known = found.known | Known(bands=("red", "green", "blue"))
    with pytest.raises(EngineError, match="gives 5 scores a pixel, and 2 classes are named"):
        draft_card(found, known, try_out(found.subject, known), store, "roofs")
    assert not store.root.exists()
