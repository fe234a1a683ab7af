"""Users' models: what is read of a file, found by running it, and written as a card."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.adding import choose_id, draft_card, keep
from engine.models.card import Transform, ValueBand
from engine.models.catalogue import find_card, known_cards
from engine.models.known import Known, classes_for, named_classes, named_values
from engine.models.runtime import open_model
from engine.models.store import ModelStore
from engine.models.told import read_model
from engine.models.trial import try_out

RGB = Known(
    bands=("red", "green", "blue"),
    quantity="rgb",
    transforms=(),
    gsd=0.2,
    classes=named_classes(("ground", "roof", "tree")),
)
CONV = ("Conv", ["x", "w"], {"pads": [1, 1, 1, 1]})


def build(
    path, steps, takes, gives, *, scores=3, element=TensorProto.FLOAT, metadata=None, more=()
):
    """Steps ``(operator, inputs, attributes)``, whose results are s0, s1 … and at last y."""
    weight = np.random.default_rng(0).normal(size=(scores, 3, 3, 3)).astype(np.float32)
    nodes = []
    for number, (kind, inputs, attributes) in enumerate(steps):
        last = number == len(steps) - 1
        name = "y" if last else f"s{number}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
    inputs = [("x", takes), *more]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info("y", element, gives)],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


@pytest.fixture
def network(tmp_path):
    def network(steps=(CONV,), takes=("n", 3, "h", "w"), gives=("n", 3, "h", "w"), **how):
        name = how.pop("name", "Mein Modell 1.onnx")
        return build(tmp_path / name, steps, takes, gives, **how)

    return network


@pytest.fixture
def trial(network):
    def trial(known=RGB, **how):
        found = read_model(network(**how))
        return try_out(found.subject, found.known | known)

    return trial


@pytest.fixture
def draft(network, store):
    def draft(known=RGB, **how):
        found = read_model(network(**how))
        whole = found.known | known
        tried = try_out(found.subject, whole)
        name = choose_id(None, found, whole, store)
        return draft_card(found, whole, tried, store, name), found

    return draft


def test_logits_of_a_free_network(trial):
    tried = trial()
    assert (tried.axes, tried.gives_axes, tried.channels) == ("NCHW", "NCHW", 3)
    assert (tried.is_fixed, tried.tile, tried.cell, tried.zoom) == (False, 512, 1, 1)
    assert tried.activation == "softmax"


def test_probabilities_need_no_activation(trial):
    assert trial(steps=(CONV, ("Softmax", ["s0"], {"axis": 1}))).activation == "none"
    assert trial(steps=(CONV, ("Sigmoid", ["s0"], {}))).activation == "none"


def test_one_score(trial):
    assert trial(scores=1, gives=("n", 1, "h", "w")).activation == "sigmoid"


def test_bands_last(trial):
    first, last = ("Transpose", ["x"], {"perm": [0, 3, 1, 2]}), {"perm": [0, 2, 3, 1]}
    steps = (first, ("Conv", ["s0", "w"], CONV[2]), ("Transpose", ["s1"], last))
    tried = trial(steps=steps, takes=("n", 96, 96, 3), gives=("n", 96, 96, 3))
    assert (tried.axes, tried.gives_axes, tried.channels) == ("NHWC", "NHWC", 3)
    assert (tried.is_fixed, tried.tile) == (True, 96)


def test_a_label_for_a_tile(trial):
    steps = (CONV, ("GlobalAveragePool", ["s0"], {}), ("Flatten", ["s1"], {}))
    tried = trial(steps=steps, takes=(1, 3, 64, 64), gives=(1, 3))
    assert (tried.cell, tried.channels, tried.is_fixed) == (64, 3, True)
    tried = trial(steps=steps[:2], takes=(1, 3, 64, 64), gives=(1, 3, 1, 1))
    assert (tried.cell, tried.channels) == (64, 3)


def test_coarser_and_finer_results(trial):
    pool = ("MaxPool", ["s0"], {"kernel_shape": [4, 4], "strides": [4, 4]})
    assert trial(steps=(CONV, pool)).cell == 4
    resize = ("Resize", ["s0", "", "twice"], {"mode": "nearest"})
    tried = trial(steps=(CONV, resize), gives=("n", 3, "u", "v"))
    assert (tried.zoom, tried.is_fixed) == (2, False)


def test_a_size_that_open_lengths_hide(trial):
    constant = numpy_helper.from_array(np.array([1, 3, 256, 256], np.int64), "shape")
    steps = (CONV, ("Constant", [], {"value": constant}), ("Reshape", ["s0", "s1"], {}))
    tried = trial(steps=steps)
    assert (tried.is_fixed, tried.tile) == (True, 256)


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        (
            {"steps": (CONV, ("ArgMax", ["s0"], {"axis": 1})), "element": TensorProto.INT64},
            ErrorCode.MODEL_UNSUITABLE,
            "int64",
        ),
        (
            {"steps": (("Conv", ["x", "w"], {}),), "gives": ("n", 3, "u", "v")},
            ErrorCode.MODEL_UNSUITABLE,
            "254 x 254",
        ),
        ({"more": (("extra", (1,)),)}, ErrorCode.MODEL_UNSUITABLE, "takes 2 inputs"),
        ({"takes": (1, 3, 99_999, 99_999)}, ErrorCode.MODEL_UNSUITABLE, "too large"),
        ({"takes": ("n", 3, 64, 96)}, ErrorCode.MODEL_UNSUITABLE, "96 x 64"),
        (
            {"steps": (CONV, ("Log", ["s0"], {}))},
            ErrorCode.MODEL_UNSUITABLE,
            "no finite numbers",
        ),
    ],
)
def test_networks_that_make_no_map(trial, how, code, says):
    with pytest.raises(EngineError) as caught:
        trial(**how)
    assert caught.value.code is code
    assert says in caught.value.message


def test_another_number_of_bands_is_named(trial):
    with pytest.raises(EngineError, match="takes 3 bands, and 1 are named"):
        trial(Known(bands=("red",)))


def test_a_card_whose_margin_was_measured(draft, store):
    made, found = draft()
    card = made.card
    assert card.id == "mein-modell-1"
    assert card.tiling == TileRule(512, 1, 32, fixed=False)
    assert (card.merge, card.output.activation, card.license) == ("crop", "softmax", "unknown")
    path = keep(made, found, store, None)
    assert path == store.root / "cards" / "mein-modell-1.json"
    assert find_card("mein-modell-1", store) == card
    assert card in known_cards(store)
    tile = np.random.default_rng(1).random((1, 3, 64, 64), np.float32)
    session = onnxruntime.InferenceSession(found.subject.content)
    model = open_model(card, store.path(card), "cpu")
    np.testing.assert_allclose(model.predict(tile), session.run(None, {"x": tile})[0], atol=1e-6)


def test_a_fixed_tile_keeps_its_size(draft):
    card = draft(takes=(1, 3, 64, 64), gives=(1, 3, 64, 64))[0].card
    assert card.tiling == TileRule(64, 1, 1)


def test_a_network_that_sees_all_of_its_tile_fades(draft):
    mean = ("ReduceMean", ["s0"], {"axes": [2, 3], "keepdims": 1})
    steps = (CONV, mean, ("Add", ["s0", "s1"], {}))
    made = draft(steps=steps, takes=(1, 3, 256, 256), gives=(1, 3, 256, 256))[0]
    assert made.card.merge == "weighted"
    assert made.card.tiling == TileRule(256, 32, 1)


def test_a_margin_that_was_told_is_not_measured(draft):
    made = draft(RGB | Known(margin=40))[0]
    assert (made.card.tiling.margin, made.notes) == (40, ())


def test_values_instead_of_classes(draft):
    known = Known(**{n: getattr(RGB, n) for n in ("bands", "quantity", "transforms", "gsd")})
    height = known | Known(values=(ValueBand("height", "m"),))
    card = draft(height, scores=1, gives=("n", 1, "h", "w"))[0].card
    assert (card.output.values, card.output.activation) == ((ValueBand("height", "m"),), "none")
    with pytest.raises(EngineError, match="gives 1 values a pixel, and 2 are named"):
        draft(known | Known(values=named_values(2)), scores=1, gives=("n", 1, "h", "w"))


def test_classes_that_do_not_fit_the_scores():
    roof, tree = ModelClass(1, "roof", "#ff0000"), ModelClass(5, "tree", "#00ff00")
    found = classes_for(Known(classes=(roof,)), 1, "x")
    assert [(c.id, c.name) for c in found] == [(0, "background"), (1, "roof")]
    short = Known(classes=(roof, tree), leaves_background_out=True)
    assert [c.id for c in classes_for(short, 3, "x")] == [0, 1, 5]
    for count in (2, 3, 4):
        with pytest.raises(EngineError, match=f"gives {count} scores"):
            classes_for(Known(classes=(roof,)), count, "x")


def test_raw_numbers_need_a_range():
    raw = RGB | Known(quantity="raw")
    assert raw.missing == ("valid_range",)
    assert (raw | Known(valid_range=(0, 9000))).missing == ()
    scaled = raw | Known(transforms=(Transform("min-max", (0.0, 10.0), (100.0, 200.0)),))
    assert (scaled.missing, scaled.range) == ((), (-200.0, 400.0))
    assert Known().missing == ("bands", "quantity", "transforms", "gsd", "classes")


def test_ids_are_unique(draft, network, store):
    first, found = draft()
    keep(first, found, store, None)
    assert choose_id(None, found, RGB, store) == "mein-modell-1"  # the same file again
    other = read_model(network(scores=2, gives=("n", 2, "h", "w")))
    assert choose_id(None, other, RGB, store) == "mein-modell-1-2"
    assert choose_id(None, other, RGB | Known(title="Buildings"), store) == "buildings-2"
    assert choose_id("own", other, RGB, store) == "own"
    for taken in ("mein-modell-1", "buildings", "No Id", "../up"):
        with pytest.raises(EngineError) as caught:
            choose_id(taken, other, RGB, store)
        assert caught.value.code is ErrorCode.REQUEST_INVALID


def test_a_card_beside_the_model_may_be_moved_with_it(draft, store, tmp_path):
    made, found = draft()
    place = found.network.with_suffix(".json")
    keep(made, found, store, place)
    assert json.loads(place.read_text("utf-8"))["assets"]["model"]["href"] == found.network.name
    assert not (store.root / "cards").exists()
    elsewhere = tmp_path / "anderswo"
    elsewhere.mkdir()
    for path in (place, found.network):
        path.rename(elsewhere / path.name)
    card = find_card(str(elsewhere / found.network.name), store)
    assert store.verify(card) == elsewhere / found.network.name


def test_nothing_is_replaced(draft, store, tmp_path):
    made, found = draft()
    taken = tmp_path / "taken.json"
    taken.write_text("mine", encoding="utf-8")
    with pytest.raises(EngineError) as caught:
        keep(made, found, store, taken)
    assert caught.value.code is ErrorCode.OUTPUT_EXISTS
    assert taken.read_text(encoding="utf-8") == "mine"
    with pytest.raises(EngineError) as caught:
        keep(made, found, store, tmp_path / "card.txt")
    assert caught.value.code is ErrorCode.REQUEST_INVALID


def test_what_ultralytics_writes(trial, network):
    told = {
        "task": "classify",
        "names": "{0: 'oak', 1: 'beech', 2: 'it\\'s'}",
        "license": "AGPL-3.0",
    }
    known = read_model(network(metadata=told, takes=(1, 3, 64, 64))).known
    assert [c.name for c in known.classes] == ["oak", "beech", "it's"]
    assert (known.quantity, known.channels, known.licence) == ("rgb", 3, "AGPL-3.0")
    with pytest.raises(EngineError) as caught:
        read_model(network(metadata=told | {"task": "detect"}))
    assert caught.value.code is ErrorCode.MODEL_UNSUITABLE
    assert read_model(network(metadata=told | {"names": "__import__('os')"})).known.classes is None


def test_deepness_tells_all_but_the_pixel_size(network, draft):
    told = {"model_type": '"Segmentor"', "class_names": '{"0": "a", "1": "b", "2": "c"}'}
    found = read_model(network(metadata=told))
    assert found.known.missing == ("gsd",)
    card = draft(Known(gsd=0.25), metadata=told)[0].card
    assert [c.name for c in card.output.classes] == ["a", "b", "c"]
    assert card.input.gsd == 0.25


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("weights.pth", b"\x80\x02}q\x00.", ErrorCode.MODEL_UNSUITABLE),
        ("weights.pt", b"\x80\x02}q\x00.", ErrorCode.MODEL_UNSUITABLE),
        ("photo.jpg", b"", ErrorCode.MODEL_UNSUITABLE),
        ("weights.safetensors", b"\xff" * 20, ErrorCode.MODEL_UNSUITABLE),
    ],
)
def test_files_that_are_no_network(tmp_path, name, content, code):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EngineError) as caught:
        read_model(path)
    assert caught.value.code is code


@pytest.mark.parametrize("content", [b"", b"no protocol buffer", b"\x08\x08"])
def test_a_file_that_is_no_onnx(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    found = read_model(path)
    with pytest.raises(EngineError) as caught:
        try_out(found.subject, RGB)
    assert caught.value.code in (ErrorCode.MODEL_INVALID, ErrorCode.MODEL_UNSUITABLE)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(EngineError) as caught:
        read_model(tmp_path / "nothing.onnx")
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("form", ["torchscript", "pt2"])
def test_pytorch_files(tmp_path, form):
    torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.Softmax(dim=1)).eval()
    tile = torch.rand(1, 3, 96, 96)
    path = tmp_path / ("net.pt" if form == "torchscript" else "net.pt2")
    if form == "torchscript":
        torch.jit.save(torch.jit.trace(net, tile), path)
    else:
        torch.export.save(torch.export.export(net, (tile,)), path)
    store = ModelStore(tmp_path / "store")
    found = read_model(path)
    tried = try_out(found.subject, RGB)
    assert (tried.channels, tried.activation) == (3, "none")
    assert (tried.is_fixed, tried.tile) == ((False, 512) if form == "torchscript" else (True, 96))
    card = draft_card(found, RGB, tried, store, "net").card
    assert card.tiling.margin == 1
    with torch.inference_mode():
        wanted = net(tile).numpy()
    model = open_model(card, path, "cpu")
    np.testing.assert_allclose(model.predict(tile.numpy()), wanted, atol=1e-6)
