"""``swath models add`` as a user types it, and what comes of the model."""

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rasterio.transform import from_origin

from engine.cli.__main__ import main

FACTS = ("--bands", "red,green,blue", "--quantity", "rgb", "--normalise", "imagenet")
WHOLE = (*FACTS, "--gsd", "0.1", "--classes", "ground,roof#ff0000,tree")
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def bare(tmp_path):
    """Three convolutions without a word on what they are for."""
    rng = np.random.default_rng(2)
    shapes = {"a": (8, 3, 3, 3), "b": (8, 8, 3, 3), "c": (3, 8, 3, 3)}
    weights = {n: 0.4 * rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    nodes, last = [], "x"
    for name in weights:
        nodes.append(helper.make_node("Conv", [last, name], [f"{name}1"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Tanh", [f"{name}1"], [f"{name}2"]))
        last = f"{name}2"
    nodes[-1] = helper.make_node("Identity", ["c1"], ["y"])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [numpy_helper.from_array(v, n) for n, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "bares Netz.onnx"
    onnx.save(model, path)
    return path


def save_scene(path, pixels):
    where = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 0.1, 0.1)}
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB"}
    height, width = pixels.shape[1:]
    with rasterio.open(path, "w", height=height, width=width, **layout, **where) as target:
        target.write(pixels)


def alone(network, pixels):
    """The class of each pixel, from one pass of ONNX Runtime over the whole picture."""
    tile = (pixels / 255 - MEAN[:, None, None]) / DEVIATION[:, None, None]
    session = onnxruntime.InferenceSession(network.read_bytes())
    return session.run(None, {"x": tile[None].astype(np.float32)})[0][0].argmax(0)


def test_all_that_is_missing_is_named_at_once(swath, bare, state):
    said = swath("models", "add", bare)
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    for option in ("--bands", "--quantity", "--normalise", "--gsd", "--classes"):
        assert option in said.err
    said = swath("models", "add", bare, *FACTS)
    assert "--bands" not in said.err
    assert "its pixel size and its classes" in said.err
    assert not (state / "models" / "cards").exists()


@pytest.mark.shared
def test_an_added_network_gives_the_classes_that_it_gives_alone(swath, bare, tmp_path):
    data = Path(os.environ.get("SWATH_SHARED") or Path(__file__).parents[3] / "shared") / "data"
    picture = next((data / "dubai_mbrsc" / "tile_6" / "images").glob("*.jpg"))
    pixels = np.asarray(Image.open(picture).convert("RGB"))[:576, :640].transpose(2, 0, 1)
    save_scene(tmp_path / "scene.tif", pixels)
    said = swath("models", "add", bare, *WHOLE, "--licence", "CC-BY-4.0")
    assert said.code == 0, said.err
    assert "with a margin of 3 pixels tiles agree" in said.err
    listed = {m["id"]: m for m in swath("models", "list", "--json").json["models"]}
    assert listed["bares-netz"]["license"] == "CC-BY-4.0"
    assert listed["bares-netz"]["classes"][1] == {"id": 1, "name": "roof", "color": "#ff0000"}
    out = tmp_path / "map.tif"
    how = ("--model", "bares-netz", "--input-profile", "rgb8", "-q")
    said = swath("apply", tmp_path / "scene.tif", out, *how)
    assert said.code == 0, said.err
    with rasterio.open(out) as raster:
        assert (raster.read(1) == alone(bare, pixels)).all()
    assert swath("jobs", "list", "--json").json["jobs"][0]["task"] == "apply"


def test_a_small_scene_with_a_card_beside_the_model(swath, bare, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 96)).astype(np.uint8)
    save_scene(tmp_path / "scene.tif", pixels)
    said = swath("models", "add", bare, *WHOLE, "--output", bare.with_suffix(".json"))
    assert said.code == 0, said.err
    out = tmp_path / "map.tif"
    said = swath(
        "segment", tmp_path / "scene.tif", out, "--model", bare, "--input-profile", "rgb8", "-q"
    )
    assert said.code == 0, said.err
    with rasterio.open(out) as raster:
        assert (raster.read(1) == alone(bare, pixels)).all()
    assert swath("jobs", "list", "--json").json["jobs"][0]["task"] == "segment"
    said = swath("models", "add", bare, *WHOLE, "--output", bare.with_suffix(".json"))
    assert (said.code, said.error) == (2, "OUTPUT_EXISTS")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--bands", "red,,blue"),
        ("--bands", "red,red,blue"),
        ("--quantity", "colour"),
        ("--normalise", "1,2/0,1"),
        ("--normalise", "nan/1"),
        ("--normalise", "1e999/1"),
        ("--normalise", "0.1,0.2/0.1,0.2"),
        ("--normalise", "minmax:9/3"),
        ("--normalise", "times:many"),
        ("--range", "5,1"),
        ("--range", "1e999,2e999"),
        ("--gsd", "0"),
        ("--gsd", "nan"),
        ("--classes", "ground,,tree"),
        ("--values", ":m"),
        ("--activation", "tanh"),
        ("--licence", " "),
        ("--id", "Not An Id"),
        ("--id", "buildings"),
        ("--output", "card.txt"),
    ],
)
def test_answers_that_cannot_be(bare, state, monkeypatch, capsys, wrong):
    monkeypatch.setenv("SWATH_STATE", str(state))
    words = {**dict(zip(WHOLE[::2], WHOLE[1::2], strict=True)), **dict([wrong])}
    code = main(["models", "add", str(bare), *(w for pair in words.items() for w in pair)])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert "error REQUEST_INVALID: " in said.err
    assert not (state / "models" / "cards").exists()


def test_numbers_that_do_not_fit_the_network(swath, bare, state):
    for change in (("--classes", "ground,roof"), ("--bands", "red,green"), ("--values", "a,b")):
        words = {**dict(zip(WHOLE[::2], WHOLE[1::2], strict=True)), change[0]: change[1]}
        words["--normalise"] = "none"
        if change[0] == "--values":
            words.pop("--classes")
        said = swath("models", "add", bare, *(w for pair in words.items() for w in pair))
        assert (said.code, said.error) == (2, "MODEL_INVALID"), said.err
    assert not (state / "models" / "cards").exists()


def test_json_tells_of_the_model(swath, bare):
    said = swath("models", "add", bare, *WHOLE, "--id", "mine", "--title", "Meins", "--json")
    assert (said.json["id"], said.json["title"], said.json["installed"]) == ("mine", "Meins", True)


class Terminal(io.StringIO):
    """Answers, or a screen, of a person."""

    def isatty(self):
        return True


def test_a_person_is_asked_until_the_answer_is_understood(bare, state, monkeypatch, capsys):
    answers = ["red,green,blue", "rgb", "sometimes", "0-1", "-3", "0.1", "a,b", "a,b,c", ""]
    screen = Terminal()
    monkeypatch.setenv("SWATH_STATE", str(state))
    monkeypatch.setattr(sys, "stdin", Terminal("\n".join(answers) + "\n"))
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(["models", "add", str(bare)]) == 0
    card = json.loads((state / "models" / "cards" / "bares-netz.json").read_text("utf-8"))
    assert card["mlm:input"][0]["gsd"] == 0.1
    names = [c["name"] for c in card["mlm:output"][0]["classification:classes"]]
    assert (names, card["license"]) == (["a", "b", "c"], "unknown")
    assert "--normalise cannot be «sometimes»" in screen.getvalue()
    assert "gives 3 scores a pixel, and 2 classes are named" in screen.getvalue()
    assert str(state) in capsys.readouterr().out


def test_a_person_may_leave(bare, state, monkeypatch):
    monkeypatch.setenv("SWATH_STATE", str(state))
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["models", "add", str(bare)]) == 130
    assert not (state / "models" / "cards").exists()
