"""Networks whose field is known by hand, seen through nothing but their scores."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models import receptive
from engine.models.advice import advise
from engine.models.card import ModelInput, ModelOutput, Transform
from engine.models.receptive import ReceptiveField, explore, receptive_field
from engine.models.runtime import open_model

CHANNELS = 4
FREE = TileRule(1024, 4, 4, fixed=False)
FIXED = TileRule(128, 4, 4)


class Network:
    """Layers one after the other, with random weights; two bands in, three classes out."""

    def __init__(self, edge):
        self.edge, self.nodes, self.weights, self.bands = edge, [], [], 2
        self.rng = np.random.default_rng(0)

    def add(self, kind, *extra, bands=None, **attributes):
        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [name, *extra], [self.last], **attributes))
        self.bands = bands or self.bands
        return self

    @property
    def last(self):
        return f"x{len(self.nodes) + 1}"

    def constant(self, array):
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def conv(self, kernel=3, dilation=1, stride=1, bands=CHANNELS, pads=None):
        weight = self.rng.normal(size=(bands, self.bands, kernel, kernel)) / kernel
        edge = dilation * (kernel - 1) // 2
        return self.add(
            "Conv",
            self.constant(weight.astype(np.float32)),
            bands=bands,
            dilations=[dilation] * 2,
            strides=[stride] * 2,
            pads=pads or [edge] * 4,
        )

    def up(self, factor):
        scales = self.constant(np.float32([1, 1, factor, factor]))
        ways = {"mode": "nearest", "nearest_mode": "floor"}
        return self.add("Resize", "", scales, coordinate_transformation_mode="asymmetric", **ways)

    def minus_mean(self):
        """The mean of the whole tile, taken from every pixel."""
        name = self.nodes[-1].output[0]
        mean = helper.make_node("GlobalAveragePool", [name], ["mean"])
        self.nodes.append(mean)
        self.nodes.append(helper.make_node("Sub", [name, "mean"], [self.last]))
        return self

    def content(self):
        ends = [("x0", 2), (self.nodes[-1].output[0], self.bands)]
        start, end = (
            helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", b, self.edge, self.edge])
            for n, b in ends
        )
        graph = helper.make_graph(self.nodes, "net", [start], [end], self.weights)
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


@pytest.fixture
def explored(make_card, tmp_path):
    """Measure a network that is built by a function of an empty one."""

    def go(build, rule=FIXED, **changes):
        content = build(Network(rule.size if rule.fixed else "edge")).content()
        path = tmp_path / "network.onnx"
        path.write_bytes(content)
        return explore(open_model(make_card(content, tiling=rule, **changes), path, "cpu", 1))

    return go


def encoder_decoder(net):
    """Two halvings, a convolution down there, and back.

    At a tile's left edge, pixel 0 of each halving reads the padding; the next convolution spoils
    pixel 1 of the quarter grid too, which are 8 pixels, and the last one the ninth.
    """
    net.conv(stride=2).add("Relu").conv(stride=2).add("Relu").conv().add("Relu")
    return net.up(4).conv(bands=3)


@pytest.mark.parametrize("rule", [FIXED, FREE], ids=["fixed", "free"])
@pytest.mark.parametrize(
    ("build", "margin", "stride"),
    [
        (lambda net: net.conv(kernel=1, bands=3), 0, 1),
        (lambda net: net.conv().add("Relu").conv(bands=3), 2, 1),
        (lambda net: net.conv(dilation=2).conv(dilation=4).conv(dilation=8, bands=3), 14, 1),
        (lambda net: net.conv(kernel=5, bands=3, pads=[4, 4, 0, 0]), 4, 1),
        (lambda net: net.conv(stride=2).up(2).conv(bands=3, kernel=1), 2, 2),
        (encoder_decoder, 9, 4),
    ],
    ids=["pixel", "plain", "dilated", "one-sided", "halved", "encoder-decoder"],
)
def test_margin_and_stride_are_those_known_by_hand(explored, rule, build, margin, stride):
    found = explored(build, rule)
    assert (found.margin, found.stride) == (margin, stride)
    assert found.class_margin <= margin
    assert found.size == (rule.size if rule.fixed else 256)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(layers=st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.integers(1, 4)), max_size=4))
def test_each_layer_adds_its_reach(explored, layers):
    def build(net):
        for kernel, dilation in layers:
            net.conv(kernel, dilation)
        return net.conv(kernel=1, bands=3)

    found = explored(build)
    assert found.margin == sum(dilation * (kernel - 1) // 2 for kernel, dilation in layers)
    assert found.stride == 1


def test_a_wide_field_is_measured_on_larger_tiles(explored):
    found = explored(lambda net: net.conv(dilation=40).conv(dilation=60, bands=3), FREE)
    assert (found.size, found.margin, found.stride) == (512, 100, 1)


def test_no_tile_is_larger_than_the_card_allows(explored):
    rule = TileRule(128, 4, 4, fixed=False)
    found = explored(lambda net: net.conv(dilation=40).conv(dilation=60, bands=3), rule)
    assert (found.size, found.margin, found.stride) == (128, None, None)


@pytest.mark.parametrize("rule", [FIXED, FREE], ids=["fixed", "free"])
def test_a_network_that_pools_the_whole_tile_has_no_margin(explored, rule):
    found = explored(lambda net: net.conv().minus_mean().conv(kernel=1, bands=3), rule)
    assert (found.margin, found.stride) == (None, None)
    assert found.size == min(rule.size, 1024)


def test_a_network_that_knows_where_in_the_tile_it_is_has_no_margin(explored):
    def build(net):
        ramp = np.linspace(0, 1, FIXED.size, dtype=np.float32)
        return net.conv().add("Add", net.constant(ramp)).conv(kernel=1, bands=3)

    assert explored(build).margin is None


def test_a_stride_that_is_no_power_of_two(explored):
    rule = TileRule(126, 6, 6)
    found = explored(lambda net: net.conv(stride=3).up(3).conv(kernel=1, bands=3), rule)
    assert (found.margin, found.stride) == (3, 3)


def test_units_that_saturate_do_not_hide_the_margin(explored):
    found = explored(lambda net: net.conv().add("Sigmoid").conv(bands=3).add("Softmax", axis=1))
    assert found.margin == 2


@pytest.mark.parametrize(
    ("given_range", "mean", "std"),
    [((0, 1), 0, 1), ((-50, 10), -15, 6), ((0, 10_000), 1500, 1200), ((0, 255), 0, 255)],
)
def test_the_landscape_stays_within_the_cards_range(given_range, mean, std):
    bands = ModelInput(
        ("a", "b"), "raw", given_range, (Transform("z-score", (mean,) * 2, (std,) * 2),), 1, (1, 1)
    )
    pixels = receptive._landscape(bands, 100, 120, 0) * std + mean
    assert pixels.min() >= given_range[0] - 1e-3 * std
    assert pixels.max() <= given_range[1] + 1e-3 * std
    inside = pixels[:, :100, :100]
    assert inside.std() > 0.1 * min(std, given_range[1] - given_range[0])
    assert pixels[:, 100:].mean() > inside.mean() + 0.5 * inside.std()


def test_decisions_differ_in_the_share_that_is_told(explored):
    """Beyond a margin of nothing, the edge of a wide box filter shows in a known way."""
    wide = explored(lambda net: net.conv(dilation=16, bands=3), replace(FIXED, margin=0))
    same = explored(lambda net: net.conv(dilation=16, bands=3), replace(FIXED, margin=16))
    assert wide.differing > 1e-3
    assert same.differing == 0
    assert 0 < wide.class_margin <= wide.margin == 16


def test_one_channel_decides_between_two_classes(explored):
    classes = ModelOutput((ModelClass(1, "house", "#ff0000"),), "sigmoid")
    found = explored(lambda net: net.conv(bands=1), replace(FIXED, margin=0), output=classes)
    assert found.class_margin == 1


def test_a_tile_of_one_pixel_has_no_edge(explored):
    found = explored(lambda net: net.conv(kernel=1, bands=3), TileRule(1, 0))
    assert (found.margin, found.stride) == (0, 1)


@pytest.mark.parametrize("fault", ["same", "no numbers"])
def test_a_network_that_says_nothing_is_refused(explored, fault):
    def build(net):
        factor = 0 if fault == "same" else np.nan
        return net.conv(bands=3).add("Mul", net.constant(np.float32(factor)))

    with pytest.raises(EngineError) as caught:
        explored(build)
    assert caught.value.code is ErrorCode.MODEL_FAILED
    assert fault in caught.value.message


def test_it_is_measured_once_for_a_card(make_card, tmp_path, monkeypatch):
    content = Network(128).conv(bands=3).content()
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    card = make_card(content, tiling=FIXED)
    found = receptive_field(card, path, tmp_path / "kept")
    monkeypatch.setattr(receptive, "open_model", None)
    assert receptive_field(replace(card, title="Another"), path, tmp_path / "kept") == found
    with pytest.raises(TypeError):
        receptive_field(replace(card, tiling=replace(FIXED, margin=8)), path, tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_text("{", encoding="utf-8")
    with pytest.raises(TypeError):
        receptive_field(card, path, tmp_path / "kept")


@pytest.mark.shared
@pytest.mark.parametrize(("name", "stride"), [("tiny", 1), ("unet", 32)])
def test_real_networks(make_card, name, stride):
    beside = Path(__file__).resolve().parents[3] / "shared"
    path = Path(os.environ.get("SWATH_SHARED") or beside) / "models" / "bench" / f"{name}.onnx"
    content = path.read_bytes()
    bands = ("red", "green", "blue")
    rgb = ModelInput(
        bands, "rgb", (0, 1), (Transform("z-score", (0,) * 3, (1,) * 3),), 0.1, (0.1, 0.1)
    )
    card = make_card(content, tiling=TileRule(1024, 32, 32, fixed=False), inputs=(rgb,))
    field = explore(open_model(card, path, "cpu", 2))
    assert field.stride == stride
    if name == "tiny":
        assert (field.margin, field.size) == (2, 256)  # 3 x 3, 3 x 3 and 1 x 1
        assert advise(card, field).warnings == ()
    else:
        assert 160 < field.margin <= 319  # what its layers can see at most
        assert 32 < field.class_margin < field.margin
        assert "Seams will show" in advise(card, field).warnings[0]


KNOWN = ReceptiveField("0" * 64, 256, 41, 20, 8, 0.002)


@pytest.mark.parametrize(
    ("rule", "merge", "kind", "says"),
    [
        (TileRule(256, 41, 8), "crop", "", ""),
        (TileRule(256, 20, 8), "crop", "notes", "equal scores need 48"),
        (TileRule(256, 19, 8), "crop", "warnings", "0.2 %"),
        (TileRule(256, 48, 4), "crop", "warnings", "no multiple of the network's, 8"),
        (TileRule(256, 10, 16), "weighted", "notes", '"crop" and a margin of 48'),
    ],
)
def test_advice_for_a_field_with_an_end(make_card, rule, merge, kind, says):
    advice = advise(make_card(b"", tiling=rule, merge=merge), KNOWN)
    assert (advice.merge, advice.margin, advice.stride) == ("crop", 48, 8)
    found = {name: getattr(advice, name) for name in ("warnings", "notes") if getattr(advice, name)}
    assert list(found) == ([kind] if kind else [])
    assert says in "".join(found.get(kind, ""))


@pytest.mark.parametrize(("merge", "kind"), [("crop", "warnings"), ("weighted", "notes")])
def test_advice_for_a_field_without_end(make_card, merge, kind):
    field = replace(KNOWN, margin=None, class_margin=None, stride=None)
    advice = advise(make_card(b"", merge=merge), field)
    assert (advice.merge, advice.margin, advice.stride) == ("weighted", None, None)
    assert len(advice.warnings + advice.notes) == len(getattr(advice, kind)) == 1
