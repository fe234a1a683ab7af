"""Networks with several outputs, or several inputs: the card says which output is the result."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

from engine.contract.errors import EngineError, ErrorCode
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.runtime import open_model

FORMATS = ("onnx", "torchscript", "pt2")


def onnx_of(_torch):
    """``x`` and ``x + y`` of two inputs of two bands, at other places of the list."""
    shape = ["n", 2, 32, 32]
    twice = helper.make_node("Concat", ["x", "y"], ["four"], axis=1)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["sum"]), twice],
        "two",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy"],
        [
            helper.make_tensor_value_info("four", TensorProto.FLOAT, ["n", 4, 32, 32]),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, shape),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


def net_of(torch):
    class Two(torch.nn.Module):
        def forward(self, x, y):
            return [torch.cat([x, y], 1), x + y]

    return Two()


def script_of(torch):
    out = io.BytesIO()
    tile = torch.rand(1, 2, 32, 32)
    torch.jit.save(torch.jit.trace(net_of(torch), (tile, tile), strict=False), out)
    return out.getvalue()


def program_of(torch):
    out = io.BytesIO()
    tiles = torch.rand(1, 2, 32, 32), torch.rand(1, 2, 32, 32)  # one twice would be one input
    torch.export.save(torch.export.export(net_of(torch), tiles), out)
    return out.getvalue()


BUILDERS = {"onnx": onnx_of, "torchscript": script_of, "pt2": program_of}


@pytest.fixture(
    params=["onnx", *(pytest.param(k, marks=pytest.mark.torch) for k in FORMATS[1:])],
)
def kind(request):
    return request.param


@pytest.fixture
def opened(kind, make_card, tmp_path):
    """The network with a card that names one of its outputs."""
    torch = None
    if kind != "onnx":
        torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")

    def go(index, classes=2, inputs=("before", "after"), device="cpu", precision="exact"):
        content = BUILDERS[kind](torch)
        path = tmp_path / "network"
        path.write_bytes(content)
        card = make_card(content, path.as_uri())
        output = card.output
        more = (replace(output.classes[0], id=9 + n) for n in range(classes))
        chosen = (*output.classes, *more)[:classes]
        card = replace(
            card,
            inputs=tuple(replace(card.input, name=name) for name in inputs),
            joining="separate" if len(inputs) > 1 else "channels",
            output=replace(output, classes=chosen, index=index),
            file=replace(card.file, format=kind, sha256=hashlib.sha256(content).hexdigest()),
        )
        assert card_from_json(card_to_json(card)) == card
        return open_model(card, path, device, precision=precision)

    return go


@pytest.fixture
def tiles():
    rng = np.random.default_rng(0)
    return [rng.random((3, 2, 32, 32), np.float32) for _ in range(2)]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("index", [1, -1])
def test_a_later_output_is_the_result(index, opened, tiles):
    np.testing.assert_allclose(opened(index).predict(*tiles), sum(tiles), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("index", [0, -2])
def test_the_first_output_is_the_result(index, opened, tiles):
    found = opened(index, classes=4).predict(*tiles)
    np.testing.assert_array_equal(found, np.concatenate(tiles, 1))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("index", [(0, 1), (-2, -1)])
def test_several_outputs_are_the_result_one_after_the_other(index, opened, tiles):
    found = opened(index, classes=6).predict(*tiles)
    np.testing.assert_allclose(found, np.concatenate([*tiles, sum(tiles)], 1), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("index", [2, -3, (0, 2)])
def test_an_output_that_is_not_there_is_refused(index, opened):
    with pytest.raises(EngineError) as caught:
        opened(index)
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert "gives 2 outputs" in caught.value.message


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
def test_another_number_of_inputs_is_refused(opened):
    with pytest.raises(EngineError) as caught:
        opened(1, inputs=("before",))
    assert caught.value.code is ErrorCode.MODEL_INVALID


@pytest.mark.openvino
@pytest.mark.parametrize("kind", ["onnx"], indirect=True)
def test_a_later_output_through_openvino(opened, tiles):
    pytest.importorskip("openvino", reason="needs OpenVINO (scripts/environment --fast)")
    found = opened(-1, device="openvino").predict(*tiles)
    np.testing.assert_allclose(found, sum(tiles), rtol=1e-6)
    both = opened((1, 0), classes=6, device="openvino").predict(*tiles)
    np.testing.assert_allclose(both, np.concatenate([sum(tiles), *tiles], 1), rtol=1e-6)


@pytest.mark.parametrize("wrong", ["last", 1.5, 1000, True, [], [0, "x"]])
def test_what_is_no_number_of_an_output_is_refused(wrong, make_card):
    document = card_to_json(make_card(b"none"))
    assert "swath:output_index" not in document["mlm:output"][0]
    document["mlm:output"][0]["swath:output_index"] = wrong
    with pytest.raises(EngineError) as caught:
        card_from_json(document)
    assert "swath:output_index" in caught.value.message
