"""Model files and cards as they should not be: the same ones on every run.

Files that say what would run code name the path ``canary`` for it; whoever sees it knows.
"""

import copy
import json
import random
import struct
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 20
BIG = 2**62
FIELD_GRAPH = 7


@dataclass(frozen=True)
class Case:
    """One file to try."""

    name: str
    content: bytes
    format: str = "onnx"
    refused: bool = False
    """Whether it may never run; of the others some still are models."""
    beside: dict[str, bytes] = field(default_factory=dict)
    """Other files in its folder."""
    card: bytes | None = None
    """Of its own; None: one that fits, b"": none at all."""
    free: bool = False
    """Whether its card admits tiles of any size, which a process apart tries out first."""


# --- any bytes --------------------------------------------------------------------------------


def damaged(content, kind, flips, cuts, moves):
    """Bits turned, ends cut off, pieces zeroed, doubled, left out and put in."""
    dice = random.Random(SEED)
    for place in (dice.randrange(len(content)) for _ in range(flips)):
        bit = dice.randrange(8)
        broken = bytearray(content)
        broken[place] ^= 1 << bit
        yield Case(f"{kind} bit {bit} of byte {place}", bytes(broken), kind)
    for end in sorted({0, 1, 7, 8, *(dice.randrange(len(content)) for _ in range(cuts - 4))}):
        yield Case(f"{kind} cut at {end}", content[:end], kind)
    for number in range(moves):
        start = dice.randrange(len(content))
        end = min(start + dice.randrange(1, 40), len(content))
        piece = content[start:end]
        new = (bytes(len(piece)), 2 * piece, b"", piece + dice.randbytes(9), b"\xff" * len(piece))
        change = number % len(new)
        broken = content[:start] + new[change] + content[end:]
        yield Case(f"{kind} {start} to {end} changed {change}", broken, kind)


# --- ONNX -------------------------------------------------------------------------------------


def network(nodes=None, *, takes=None, gives=None, constants=None, element=1, opsets=(), **model):
    """A model of one 3 x 3 convolution, but for what is given."""
    weight = np.random.default_rng(SEED).normal(size=(3, 2, 3, 3)).astype(np.float32)
    nodes = nodes or [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, takes or ["n", 2, "h", "w"])],
        [helper.make_tensor_value_info("y", 1, gives or ["n", 3, "h", "w"])],
        constants if constants is not None else [numpy_helper.from_array(weight, "w")],
    )
    imports = [helper.make_opsetid(*pair) for pair in (("", 17), *opsets)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9, **model)


def onnx_cases(canary, folder):
    content = network().SerializeToString()
    yield from damaged(content, "onnx", 30, 15, 15)
    yield from _wires(content)
    for name, model in _models():
        yield Case(f"onnx {name}", model.SerializeToString())
    for name, model in _deadly():
        yield Case(f"onnx {name}", model.SerializeToString(), free=True)
    for name, model in _foreign():
        yield Case(f"onnx {name}", model.SerializeToString(), refused=True)
    for name, location in _locations(canary, folder).items():
        yield Case(f"onnx numbers in {name}", _external(location), refused=True, beside=_beside())
    yield from _deepness(content)
    yield Case("onnx varint without end", b"\x08" + b"\xff" * 30, refused=True)
    yield Case("onnx length without end", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", refused=True)
    yield Case("onnx text", b"hello, I am a model\n" * 9, refused=True)
    nested = b""
    for _ in range(100):
        nested = _within(nested, b"\x32\x2a\x0a")
    graph = b"\x08\x09" + _within(nested, b"\x3a")
    yield Case("onnx graphs in graphs", graph, refused=True)


def _within(content, tags):
    """The content as a field of a field of a field …"""
    for tag in tags:
        content = bytes([tag]) + _varint(len(content)) + content
    return content


def _varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _wires(content):
    """Every field of the file and of its graph with other types of coding."""
    for place in _tags(content):
        for wire in (3, 5):
            broken = bytearray(content)
            broken[place] = broken[place] & 0xF8 | wire
            yield Case(f"onnx wire type {wire} at {place}", bytes(broken))


def _tags(content, start=0, end=None):
    """Places of the tags of a message, and of the graph within it."""
    at, end = start, len(content) if end is None else end
    while at < end:
        yield at
        tag, at = _read_varint(content, at)
        length, at = _read_varint(content, at)
        if tag & 7 == 2:
            if tag >> 3 == FIELD_GRAPH and start == 0:
                yield from _tags(content, at, at + length)
            at += length


def _read_varint(content, at):
    value = shift = 0
    while True:
        value |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 0x80:
            return value, at


def _models():
    """Models that are no nonsense as messages."""
    node = helper.make_node
    yield from _tensors()
    yield from _ports()
    ints = np.array([1], np.int64)
    yield "an unknown operator", network([node("Sneak", ["x"], ["y"])])
    yield "a missing value", network([node("Relu", ["nobody"], ["y"])])
    yield "a circle", network([node("Relu", ["b"], ["y"]), node("Relu", ["y"], ["b"])])
    yield "an output twice", network([node("Relu", ["x"], ["c"]), node("Relu", ["x"], ["c"])])
    yield "no output", network([node("Relu", ["x"], ["c"])])
    yield (
        "integers divided by zero",
        after(
            node("Div", ["one", "zero"], ["d"]),
            node("Cast", ["d"], ["f"], to=1),
            node("Add", ["c", "f"], ["y"]),
            one=ints,
            zero=0 * ints,
        ),
    )
    yield (
        "the rest of a division by zero",
        after(
            node("Mod", ["one", "zero"], ["d"]),
            node("Cast", ["d"], ["f"], to=1),
            node("Add", ["c", "f"], ["y"]),
            one=ints,
            zero=0 * ints,
        ),
    )
    yield "an index beyond", after(node("Gather", ["c", "far"], ["y"], axis=1), far=9 * ints)
    yield "a negative index", after(node("Gather", ["c", "far"], ["y"], axis=1), far=-9 * ints)
    yield (
        "scattered outside",
        after(
            node("ScatterND", ["c", "far", "u"], ["y"]),
            far=np.array([[0, 0, 10**9, 10**9]]),
            u=np.ones(1, np.float32),
        ),
    )
    for name, shape in {"wide": [1, 3, 2**20, 2**20], "endless": [BIG, 4], "less": [-5]}.items():
        yield (
            f"filled {name}",
            after(
                node("ConstantOfShape", ["s"], ["f"]),
                node("ReduceSum", ["f"], ["g"]),
                node("Add", ["c", "g"], ["y"]),
                s=np.array(shape),
            ),
        )
        yield f"expanded {name}", after(node("Expand", ["c", "s"], ["y"]), s=np.array(shape))
        yield f"reshaped {name}", after(node("Reshape", ["c", "s"], ["y"]), s=np.array(shape))
    yield "tiled", after(node("Tile", ["c", "s"], ["y"]), s=np.array([1, 1, 2**20, 2**20]))
    for factor in (1e6, 0.0, -1.0, np.nan, 0.5):
        scales = np.array([1, 1, factor, factor], np.float32)
        yield f"resized by {factor}", after(node("Resize", ["c", "", "s"], ["y"]), s=scales)
    for pads in ([2**31] * 8, [-9] * 8, [0, 0, -40, -40, 0, 0, -40, -40], [1] * 7):
        yield f"padded {pads[3]}", after(node("Pad", ["c", "p"], ["y"]), p=np.array(pads))
    yield "five axes", after(node("Unsqueeze", ["c", "a"], ["y"]), a=np.array([4]))
    yield "no axes", after(node("ReduceSum", ["c"], ["y"], keepdims=0))
    yield "other numbers", after(node("Cast", ["c"], ["y"], to=TensorProto.INT8))
    yield "texts", after(node("Cast", ["c"], ["y"], to=TensorProto.STRING))
    yield "no numbers", after(node("Mul", ["c", "n"], ["y"]), n=np.array([np.nan], np.float32))
    yield (
        "infinite numbers",
        after(node("Mul", ["c", "n"], ["y"]), n=np.array([np.inf], np.float32)),
    )
    yield "random numbers", after(node("RandomNormalLike", ["c"], ["y"]))
    yield (
        "a sum over the batch",
        after(node("ReduceSum", ["c", "a"], ["s"]), node("Add", ["c", "s"], ["y"]), a=0 * ints),
    )
    yield "other classes", after(node("Concat", ["c", "c"], ["y"], axis=1))
    yield "a sequence", after(node("SequenceConstruct", ["c"], ["y"]))
    attributes = {"pads": [2**40] * 4, "strides": [0, 0], "group": 10**9, "dilations": [2**31] * 2}
    for name, value in attributes.items():
        yield f"Conv {name}", network([node("Conv", ["x", "w"], ["y"], **{name: value})])
    pool = {"kernel_shape": [0, 0], "pads": [9] * 4}
    for name, value in pool.items():
        given = {"kernel_shape": [2, 2], name: value}
        yield f"MaxPool {name}", after(node("MaxPool", ["c"], ["y"], **given))


def after(*nodes, **constants):
    """The usual network, whose result ``c`` other nodes go on with."""
    conv = helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])
    more = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return network([conv, *nodes], constants=[network().graph.initializer[0], *more])


def _deadly():
    """Models that end the process in which they run."""
    node, ints = helper.make_node, np.array([1], np.int64)
    yield (
        "the least integer divided by -1",
        after(
            node("Div", ["one", "less"], ["d"]),
            node("Cast", ["d"], ["f"], to=1),
            node("Add", ["c", "f"], ["y"]),
            one=ints * np.iinfo(np.int64).min,
            less=-ints,
        ),
    )


def _tensors():
    """Weights that are not what their message says."""

    def weighted(**changes):
        model = network()
        weight = model.graph.initializer[0]
        for name, value in changes.items():
            if isinstance(value, list):
                del getattr(weight, name)[:]
                getattr(weight, name).extend(value)
            else:
                setattr(weight, name, value)
        return model

    yield "huge weights", weighted(dims=[BIG, BIG, 3, 3])
    yield "weights of 16 TiB", weighted(dims=[2**20, 2**20, 2, 2], raw_data=b"")
    yield "sizes that overflow to the right one", weighted(dims=[3 + 2**32, 2**32, 3, 3])
    yield "negative weights", weighted(dims=[-3, 2, 3, 3])
    yield "no weights", weighted(dims=[0, 2, 3, 3], raw_data=b"")
    yield "fewer bytes than numbers", weighted(raw_data=b"1234")
    yield "more bytes than numbers", weighted(raw_data=b"1234" * 999)
    yield "both kinds of numbers", weighted(float_data=[1.0] * 54)
    yield "half of the numbers", weighted(raw_data=b"", float_data=[1.0] * 27)
    yield "no name", weighted(name="")
    yield "another name", weighted(name="v")
    yield "many axes", weighted(dims=[1] * 5000 + [3, 2, 3, 3])
    for kind in (0, 5, 8, 11, 14, 16, 99, -1):
        yield f"weights of type {kind}", weighted(data_type=kind)
    model = weighted(raw_data=b"", data_type=8)
    model.graph.initializer[0].string_data.extend([b"a"] * 54)
    yield "weights as texts", model
    model = network()
    model.graph.initializer.append(model.graph.initializer[0])
    yield "weights twice", model


def _ports():
    """Inputs, outputs and headers of all kinds."""
    for kind in (0, 7, 8, 9, 11, 16, 99):
        yield f"input of type {kind}", network(element=kind)
    shapes = {
        "huge": [1, 2, BIG, BIG],
        "empty": [0, 2, 0, 0],
        "negative": [-1, 2, -7, -7],
        "flat": [2],
        "none": [],
        "long": [1] * 900,
        "other bands": ["n", 4, "h", "w"],
    }
    for name, shape in shapes.items():
        yield f"input {name}", network(takes=shape)
        yield f"output {name}", network(gives=shape)
    for part in ("input", "output", "node"):
        model = network()
        del getattr(model.graph, part)[:]
        yield f"no {part}s", model
    model = network()
    model.graph.input.append(model.graph.input[0])
    yield "inputs of one name", model
    for kind in ("sequence_type", "optional_type", "map_type"):
        model = network()
        model.graph.input[0].type.Clear()
        getattr(model.graph.input[0].type, kind).SetInParent()
        yield f"input as {kind}", model
    for number in (0, -1, 2**31, 10**12):
        model = network()
        model.opset_import[0].version = number
        yield f"operators of version {number}", model
        model = network()
        model.ir_version = number
        yield f"format of version {number}", model
    model = network()
    del model.opset_import[:]
    yield "no operators", model
    yield "nothing", onnx.ModelProto()


def _foreign():
    """Other people's operators, and functions and graphs without end."""
    for domain, name in (
        ("evil.example", "Sneak"),
        ("com.microsoft", "EPContext"),
        ("com.microsoft", "PythonOp"),
        ("ai.onnx.contrib", "PyOp"),
        ("ai.onnx.contrib", "AzureText"),
        ("com.microsoft.extensions", "PyCustomOp"),
        ("aten", "ATen"),
        ("\u202eevil", "Sneak"),
    ):
        node = helper.make_node(name, ["x"], ["y"], domain=domain)
        yield f"{domain} {name}", network([node], opsets=[(domain, 1)])
    call = helper.make_node("F", ["x"], ["y"], domain="own")
    yield (
        "a function of itself",
        network([call], functions=[_function("F", "F")], opsets=[("own", 1)]),
    )
    both = [_function("F", "G"), _function("G", "F")]
    yield "functions of each other", network([call], functions=both, opsets=[("own", 1)])


def _function(name, calls):
    node = helper.make_node(calls, ["a"], ["b"], domain="own")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], ["b"], [node], imports)


def _beside():
    return {"weights.bin": np.ones(54, "<f4").tobytes(), "->link.bin": b"weights.bin"}


def _locations(canary, folder):
    return {
        "the folder": "weights.bin",
        "a link": "link.bin",
        "the folder above": "../weights.bin",
        "an absolute path": str(folder / "weights.bin"),
        "a share": r"\\server\share\weights.bin",
        "another drive": r"C:\weights.bin",
        "a device": "/dev/zero",
        "an address": "https://127.0.0.1:9/weights.bin",
        "nothing": "",
        "memory": "*/_ORT_MEM_ADDR_/*",
    }


def _external(location):
    model = network()
    weight = model.graph.initializer[0]
    weight.raw_data = b""
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "216"}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    return model.SerializeToString()


def _deepness(content):
    """Metadata that stand for a card, and contradict themselves."""
    fit = {
        "model_type": '"Segmentor"',
        "resolution": "100",
        "tiles_size": "64",
        "tiles_overlap": "10",
        "class_names": '{"0": "a", "1": "b", "2": "c"}',
        "standardization_mean": "[0, 0, 0]",
    }
    changes = [
        {"model_type": '"Detector"'},
        {"model_type": "[]"},
        {"model_type": "{}"},
        {"resolution": "0"},
        {"resolution": "-5"},
        {"resolution": "NaN"},
        {"resolution": '"?"'},
        {"resolution": "1e999"},
        {"tiles_size": "0"},
        {"tiles_size": "-64"},
        {"tiles_size": "1e18"},
        {"tiles_size": "null"},
        {"tiles_overlap": "1000"},
        {"tiles_overlap": "NaN"},
        {"class_names": "[]"},
        {"class_names": '{"a": 1}'},
        {"class_names": '{"0": "a", "7": "b"}'},
        {"class_names": "7"},
        {"standardization_mean": "[1]"},
        {"standardization_std": "[0, 0, 0]"},
        {"standardization_mean": "[NaN, NaN, NaN]"},
        {"seg_thresh": "many"},
        {"class_names": "[" * 5000},
        {"resolution": "9" * 5000},
        {"class_names": '{"0": "\\ud800"}'},
    ]
    wide = np.ones((3, 3, 1, 1), np.float32)
    for number, change in enumerate(changes):
        model = network(takes=["n", 3, "h", "w"], constants=[numpy_helper.from_array(wide, "w")])
        helper.set_model_props(model, {**fit, **change})
        shown = json.dumps(change)[:50]
        yield Case(f"onnx metadata {number} {shown}", model.SerializeToString(), card=b"")


# --- cards ------------------------------------------------------------------------------------

WRONG = (
    None,
    True,
    -1,
    0,
    1e300,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "a\0b",
    "../" * 9,
    [],
    {},
    [None],
    [[]],
    {"a": {}},
    "9" * 5000,
    2**63,
    [1, 2, 3, 4, 5, 6, 7],
)
"""What is put in place of a card's values."""


def card_cases(canary, folder, card):
    """Cards of a model that would run, with something wrong in them."""
    content = network().SerializeToString()
    dice = random.Random(SEED)
    places = list(_places(card))
    for place in places:
        yield _changed(content, card, place, missing=True)
    for _ in range(140):
        yield _changed(content, card, dice.choice(places), dice.choice(WRONG))
    text = json.dumps(card)
    texts = {
        "empty": b"",
        "no JSON": b"{",
        "a list": b"[]",
        "a number": b"7",
        "nothing": b"null",
        "marked": b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "deep": b"[" * 200_000,
        "deep objects": b'{"a":' * 100_000,
        "wide": b" " * 2_000_000,
        "bytes": bytes(range(256)) * 9,
        "NaN": text.replace('"gsd": 10.0', '"gsd": NaN').encode(),
        "long number": text.replace('"gsd": 10.0', '"gsd": ' + "9" * 6000).encode(),
        "twice": text[:-1].encode() + b', "id": 7}',
        "pickle": b"\x80\x04K\x07.",
    }
    for name, data in texts.items():
        yield Case(f"card {name}", content, card=data)
    for href in (
        "../x.onnx",
        "/etc/passwd",
        "file:///dev/zero",
        "file:///dev/stdin",
        "file://server/share/x",
        "file:///",
        "swath://../cards/flood.json",
        "swath://none",
        "pypi://",
        "pypi://a",
        "gopher://x",
        "https://",
        "x\0y",
        "C:\\x.onnx",
        "file:///%00",
        "..\\x.onnx",
        "data:,x",
        "://",
        "~/x.onnx",
        "file:///proc/self/mem",
        "swath:///etc/passwd",
        "file://[",
        "https://[",
        "pypi://a==1/../../x",
    ):
        changed = copy.deepcopy(card)
        changed["assets"]["model"]["href"] = href
        yield Case(f"card of {href!r}", content, card=json.dumps(changed).encode(), refused=True)


def _places(value, path=()):
    """The path of every value in a document."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inner:
        yield (*path, key)
        yield from _places(item, (*path, key))


def _changed(content, card, place, value=None, *, missing=False):
    changed = copy.deepcopy(card)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    if missing:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    shown = ".".join(map(str, place))
    told = "left out" if missing else repr(value)[:30]
    return Case(f"card {shown} {told}", content, card=json.dumps(changed).encode())


# --- safetensors ------------------------------------------------------------------------------


def safetensors(header, data=bytes(64), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data
