"""Networks as exporters write them: orders of axes, types of numbers, operators of all kinds."""

import dataclasses
import hashlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models import onnx_model
from engine.models.network import NetworkError
from engine.models.onnx_file import needs_of
from engine.models.onnx_model import open_onnx
from engine.models.onnx_providers import Way, ways

OPSETS = [helper.make_opsetid("", 17)]
FREE = TileRule(64, 4, 4, fixed=False)


def network(nodes, takes, gives, *, kind=TensorProto.FLOAT, constants=(), functions=(), opsets=()):
    """The bytes of a model of one input and one output."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, takes)],
        [helper.make_tensor_value_info("y", kind, gives)],
        initializer=[numpy_helper.from_array(array, name) for name, array in constants],
    )
    opset_imports = [*OPSETS, *(helper.make_opsetid(name, 1) for name in opsets)]
    model = helper.make_model(graph, opset_imports=opset_imports, functions=functions, ir_version=9)
    return model.SerializeToString()


def per_pixel(weight, *, takes="NCHW", gives="NCHW", size=None, batch=None, half=False):
    """A 1 x 1 convolution ``[K, C]`` with the axes in any order."""
    dtype = np.float16 if half else np.float32
    lengths = {"N": batch, "C": weight.shape[1], "H": size, "W": size}
    inside = helper.make_node("Transpose", ["x"], ["a"], perm=[takes.index(a) for a in "NCHW"])
    conv = helper.make_node("Conv", ["a", "w"], ["b"])
    outside = helper.make_node("Transpose", ["b"], ["y"], perm=["NCHW".index(a) for a in gives])
    return network(
        [inside, conv, outside],
        [lengths[a] for a in takes],
        [{**lengths, "C": weight.shape[0]}[a] for a in gives],
        kind=TensorProto.FLOAT16 if half else TensorProto.FLOAT,
        constants=[("w", weight[..., None, None].astype(dtype))],
    )


@pytest.fixture
def opened(make_card, tmp_path):
    """Open the bytes of a model on the CPU."""

    def go(content, *, rule=None, device="cpu", takes="NCHW", gives="NCHW", **options):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        card = make_card(content)
        card = dataclasses.replace(
            card,
            tiling=rule or card.tiling,
            inputs=(dataclasses.replace(card.input, axes=takes),),
            output=dataclasses.replace(card.output, axes=gives),
        )
        return open_onnx(card, path, device, 1, **options)

    return go


@pytest.fixture
def batch():
    return np.random.default_rng(2).normal(size=(3, 2, 32, 32)).astype(np.float32)


@pytest.fixture
def matrix():
    return np.random.default_rng(3).normal(size=(3, 2)).astype(np.float32)


def refused(action, *args, **options):
    with pytest.raises(EngineError) as caught:
        action(*args, **options)
    return caught.value


@pytest.mark.parametrize("order", [(a, b) for a in ("NCHW", "NHWC") for b in ("NCHW", "NHWC")])
@pytest.mark.parametrize("sizes", [(32, 1), (32, 2), (None, None)])
def test_axes_in_any_order(opened, batch, matrix, order, sizes):
    (takes, gives), (edge, count) = order, sizes
    content = per_pixel(matrix, takes=takes, gives=gives, size=edge, batch=count)
    rule = FREE if edge is None else None
    scores = opened(content, rule=rule, takes=takes, gives=gives).predict(batch)
    np.testing.assert_allclose(scores, np.einsum("kc,nchw->nkhw", matrix, batch), atol=1e-5)
    assert scores.flags.c_contiguous


@pytest.mark.parametrize(("takes", "gives"), [("NHWC", "NCHW"), ("NCHW", "NHWC")])
def test_axes_in_another_order_than_said(opened, matrix, takes, gives):
    content = per_pixel(matrix, takes=takes, gives=gives, size=32)
    error = refused(opened, content)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "[" in error.message


@pytest.mark.parametrize("shape", [(32, 32), (64, 12), (4, 40)])
def test_a_free_network_takes_tiles_of_many_sizes(opened, matrix, shape):
    tile = np.random.default_rng(4).normal(size=(1, 2, *shape)).astype(np.float32)
    scores = opened(per_pixel(matrix), rule=FREE).predict(tile)
    np.testing.assert_allclose(scores, np.einsum("kc,nchw->nkhw", matrix, tile), atol=1e-5)


def test_float16_goes_in_and_comes_out(opened, batch, matrix):
    model = opened(per_pixel(matrix, half=True, size=32))
    scores = model.predict(batch)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, np.einsum("kc,nchw->nkhw", matrix, batch), atol=0.02)


def test_other_numbers_are_refused(opened):
    node = helper.make_node("Identity", ["x"], ["y"])
    content = network([node], [1, 2, 32, 32], [1, 2, 32, 32], kind=TensorProto.INT64)
    error = refused(opened, content)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "float32 or float16" in error.message


# --- operators --------------------------------------------------------------------------------


def calling(domain, name="Sneak"):
    node = helper.make_node(name, ["x"], ["y"], domain=domain)
    return network([node], [None, 2, 32, 32], [None, 3, 32, 32], opsets=[domain])


def calling_in_a_branch():
    """The operator in a subgraph of a subgraph."""
    out = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    sneak = helper.make_node("Sneak", ["x"], ["z"], domain="evil.example")
    inner = helper.make_graph([sneak], "inner", [], [out])
    nested = helper.make_node("If", ["yes"], ["z"], then_branch=inner, else_branch=inner)
    outer = helper.make_graph([nested], "outer", [], [out])
    node = helper.make_node("If", ["yes"], ["y"], then_branch=outer, else_branch=outer)
    return network(
        [node],
        [None, 2, 32, 32],
        [None, 3, 32, 32],
        constants=[("yes", np.array(True))],  # noqa: FBT003 - a network's constant
        opsets=["evil.example"],
    )


def calling_in_a_function():
    """A function of the file's own that calls the operator."""
    sneak = helper.make_node("Sneak", ["a"], ["b"], domain="evil.example")
    imports = [*OPSETS, helper.make_opsetid("evil.example", 1)]
    own = helper.make_function("own", "F", ["a"], ["b"], [sneak], imports)
    node = helper.make_node("F", ["x"], ["y"], domain="own")
    return network(
        [node], [1, 2, 32, 32], [1, 3, 32, 32], functions=[own], opsets=["own", "evil.example"]
    )


@pytest.mark.parametrize(
    "content",
    [
        calling("evil.example"),
        calling("com.microsoft", "EPContext"),
        calling("com.microsoft", "PythonOp"),
        calling_in_a_branch(),
        calling_in_a_function(),
    ],
    ids=["plain", "compiled", "python", "branch", "function"],
)
def test_foreign_operators_are_refused_before_a_session_is_made(opened, content, monkeypatch):
    monkeypatch.delattr(ort, "InferenceSession")
    error = refused(opened, content)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "::" in error.message
    assert "not ONNX's own" in error.message


def test_a_trusted_file_gets_as_far_as_the_session(opened):
    content = calling("evil.example")
    trusted = {hashlib.sha256(content).hexdigest()}
    error = refused(opened, content, trusted=trusted)
    assert error.code is ErrorCode.MODEL_INVALID  # nobody brought the operator along
    assert "not ONNX's own" not in error.message
    assert "Sneak" in error.message


def test_a_files_own_functions_are_its_own(opened, batch):
    conv = helper.make_node("Relu", ["a"], ["b"])
    own = helper.make_function("own", "F", ["a"], ["b"], [conv], OPSETS)
    nodes = [
        helper.make_node("F", ["x"], ["f"], domain="own"),
        helper.make_node("Conv", ["f", "w"], ["y"]),
    ]
    weight = np.ones((3, 2, 1, 1), np.float32)
    takes, gives = [None, 2, 32, 32], [None, 3, 32, 32]
    content = network(
        nodes, takes, gives, constants=[("w", weight)], functions=[own], opsets=["own"]
    )
    assert needs_of(content).operators == ()
    scores = opened(content).predict(batch)
    np.testing.assert_allclose(scores[:, 0], np.maximum(batch, 0).sum(1), atol=1e-5)


def test_onnx_runtimes_own_operators_run(opened, batch):
    nodes = [
        helper.make_node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Relu")
    ]
    weight = np.ones((3, 2, 1, 1), np.float32)
    content = network(
        nodes,
        [None, 2, 32, 32],
        [None, 3, 32, 32],
        constants=[("w", weight)],
        opsets=["com.microsoft"],
    )
    np.testing.assert_allclose(
        opened(content).predict(batch)[:, 1], np.maximum(batch.sum(1), 0), atol=1e-5
    )


def test_a_graph_without_measure(monkeypatch):
    monkeypatch.setattr("engine.models.onnx_file.MOST_MESSAGES", 50)
    nodes = [helper.make_node("Identity", ["x"], ["y"]) for _ in range(60)]
    content = network(nodes, [1], [1])
    with pytest.raises(ValueError, match="more nodes"):
        needs_of(content)


def test_external_data_of_a_real_export(tmp_path):
    model = onnx.load_from_string(per_pixel(np.ones((300, 200), np.float32)))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    assert needs_of((tmp_path / "m.onnx").read_bytes()).other_files


def test_a_file_too_large_for_onnx_is_not_read(make_card, tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # a hole, not bytes
    error = refused(open_onnx, make_card(b""), path, "cpu", 1)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "2 GiB" in error.message


# --- devices that do not work -----------------------------------------------------------------


def broken(reason):
    def start(_content, _threads):
        raise NetworkError(reason)

    return Way("cuda:0", start)


class Dreaming:
    """A network as a GPU with a broken driver has it: it runs, and gives no numbers."""

    device, arithmetic = "cuda:0", "float32"

    def __init__(self, network):
        self._network = network
        self.takes, self.gives = network.takes, network.gives

    def run(self, tiles, index=0):
        return self._network.run(tiles, index) * np.nan


class Failing(Dreaming):
    def run(self, _tiles, _index=0):
        raise NetworkError("CUDA error 999")


def broken_in_use(kind):
    cpu = next(iter(ways("cpu", "exact")))
    return Way("cuda:0", lambda content, threads: kind(cpu.start(content, threads)))


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (broken("the driver is too old"), "the driver is too old"),
        (broken_in_use(Dreaming), "no finite numbers"),
        (broken_in_use(Failing), "CUDA error 999"),
    ],
    ids=["start", "nan", "run"],
)
def test_what_does_not_work_is_told_and_left(opened, matrix, monkeypatch, first, says):
    both = (first, *ways("cpu", "exact"))
    monkeypatch.setattr(onnx_model, "ways", lambda _device, _precision: iter(both))
    content = per_pixel(matrix, size=32)
    model = opened(content, device="auto")
    assert model.device == "cpu"
    (note,) = model.notes
    assert says in note
    assert note.endswith("It runs on cpu instead.")
    assert model.predict(np.ones((1, 2, 32, 32), np.float32)).shape == (1, 3, 32, 32)
    error = refused(opened, content, device="cuda")
    assert error.code is ErrorCode.DEVICE_UNAVAILABLE
    assert says in error.message


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "coreml", "directml", "mps"])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_device_that_was_named_is_used_or_refused(opened, matrix, device, precision):
    content = per_pixel(matrix, size=32)
    try:
        used = opened(content, device=device, precision=precision).device
    except EngineError as error:
        used = error.message if error.code is ErrorCode.DEVICE_UNAVAILABLE else ""
    assert device in used


def test_the_order_of_devices():
    def names(device, precision="exact"):
        return [way.name for way in ways(device, precision)]

    gpu = ["cuda:0"] if "CUDAExecutionProvider" in ort.get_available_providers() else []
    assert names("auto") == [*gpu, "cpu"]
    assert names("auto", "fast") == [*gpu, "openvino"]
    assert names("cpu") == ["cpu"]
    assert names("cuda:2") == ["cuda:2"]
    assert names("tensorrt") == ["tensorrt"]
    assert names("openvino") == names("openvino", "fast") == ["openvino"]
