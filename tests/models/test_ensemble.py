"""Several networks as one that gives their mean and spread."""

import dataclasses
import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from engine.cli.app import app
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, ValueBand
from engine.models.cardfile import card_to_json, read_card
from engine.models.channels import KEY
from engine.models.ensemble import check_members
from engine.models.onnx_facts import facts_of
from engine.models.runtime import open_model


def save(folder, name, opset=17, **changes):
    """A small network with a branch, and its card."""
    rng = np.random.default_rng(list(name.encode()))
    weight = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    last = rng.normal(size=(1, 4, 1, 1)).astype(np.float32)
    then, other = (
        helper.make_graph(
            [helper.make_node(kind, ["a"], [kind])],
            kind,
            [],
            [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)],
        )
        for kind in ("Relu", "Abs")
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("If", ["yes"], ["b"], then_branch=then, else_branch=other),
        helper.make_node("Conv", ["b", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "member",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(last, "v"),
            numpy_helper.from_array(np.ones((), bool), "yes"),
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    content = model.SerializeToString()
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    card = ModelCard(
        id=name,
        version="1",
        title="Biomass",
        summary="Tells biomass.",
        tasks=("regression",),
        inputs=(ModelInput(("red", "nir", "swir16"), "reflectance", (-0.2, 2), (), 10, (8, 12)),),
        tiling=TileRule(64, 1, 1, fixed=False),
        merge="crop",
        output=ModelOutput(values=(ValueBand("biomass", "Mg/ha", (0, 500), scale=2.0),)),
        file=ModelFile(path.name, hashlib.sha256(content).hexdigest(), len(content), "onnx"),
        license=changes.pop("license", "CC-BY-NC-4.0"),
        attribution=f"maker of {name}",
        citation="A paper",
        not_for=("Not for towns.",),
        metrics=("RMSE 60 Mg/ha",),
    )
    card = dataclasses.replace(card, **changes)
    path.with_suffix(".json").write_text(json.dumps(card_to_json(card)), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_STATE", str(tmp_path / "state"))


def ensemble(*words):
    return CliRunner().invoke(app, ["models", "ensemble", *map(str, words)])


def test_mean_and_spread_are_those_of_the_members(tmp_path):
    members = [save(tmp_path, name) for name in ("one", "two", "three")]
    out = tmp_path / "all.onnx"
    result = ensemble(*members, "--output", out)
    assert result.exit_code == 0, result.output
    given = np.random.default_rng(1).random((2, 3, 21, 34), np.float32)
    alone = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
            None, {"x": given}
        )[0]
        for path in members
    ]
    card = read_card(out.with_suffix(".json"))
    found = open_model(card, out, "cpu", 1).predict(given)
    np.testing.assert_allclose(found[:, :1], np.mean(alone, axis=0), atol=1e-5)
    np.testing.assert_allclose(found[:, 1:], np.std(alone, axis=0), atol=1e-5)
    assert found[:, 1].min() > 0
    assert json.loads(facts_of(out.read_bytes()).metadata[KEY])[0] == "image:red"


def test_the_card_is_carried_along(tmp_path):
    members = [save(tmp_path, "one"), save(tmp_path, "two", license="MIT")]
    ensemble(*members, "--output", tmp_path / "All of them.onnx")
    card = read_card(tmp_path / "All of them.json")
    assert card.id == "all-of-them"
    assert card.license == "CC-BY-NC-4.0 AND MIT"
    assert card.attribution == "maker of one; maker of two"
    assert card.citation == "A paper"
    assert card.not_for == ("Not for towns.",)
    assert card.metrics == ("one: RMSE 60 Mg/ha", "two: RMSE 60 Mg/ha")
    value, spread = card.output.values
    assert value == ValueBand("biomass", "Mg/ha", (0, 500), scale=2.0)
    assert spread == ValueBand(
        "standard deviation", "Mg/ha", scale=2.0, measure="standard-deviation"
    )


def test_what_is_there_is_kept(tmp_path):
    members = [save(tmp_path, name) for name in ("one", "two")]
    out = tmp_path / "all.onnx"
    out.with_suffix(".json").write_text("mine")
    refused = ensemble(*members, "--output", out)
    assert refused.exception.code is ErrorCode.OUTPUT_EXISTS
    assert not out.exists()
    assert ensemble(*members, "--output", out, "--overwrite").exit_code == 0
    onnx.checker.check_model(onnx.load(out), full_check=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"opset": 16}, "other versions of ONNX' operators"),
        ({"tiling": TileRule(64, 2, 1, fixed=False)}, "another tiling than one"),
        ({"output": ModelOutput(values=(ValueBand("volume", "m3/ha"),))}, "another output"),
        ({"output": ModelOutput(values=(ValueBand("a"), ValueBand("b")))}, "no ONNX model of one"),
        (
            {"output": ModelOutput(values=(ValueBand("biomass"),), activation="sigmoid")},
            "no ONNX model of one value",
        ),
    ],
)
def test_networks_of_other_signatures_are_refused(tmp_path, changes, says):
    members = [save(tmp_path, "one"), save(tmp_path, "two", **changes)]
    result = ensemble(*members, "--output", tmp_path / "all.onnx")
    assert isinstance(result.exception, EngineError)
    assert result.exception.code is ErrorCode.MODEL_UNSUITABLE
    assert says in result.exception.message
    assert result.exception.message.startswith("two ")


def test_one_is_no_ensemble(tmp_path):
    one = read_card(save(tmp_path, "one").with_suffix(".json"))
    for cards in ([one], [one, one]):
        with pytest.raises(EngineError, match="2 to 100 different networks"):
            check_members(cards)
