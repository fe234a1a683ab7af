"""AGBD's convolutional network and its card, from arrays and numbers; needs no PyTorch.

What the network looks like: github.com/ghjuliasialelli/AGBD, Models/models.py, ``SimpleFCN``.
"""

from __future__ import annotations

import io
import itertools
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.models.card import ModelCard, ModelFile, ModelInput, Transform
from engine.models.cardfile import read_card
from engine.models.channels import KEY, channels_of, channels_text

F32 = npt.NDArray[np.float32]
TEMPLATE = Path(__file__).parents[2] / "resources" / "templates" / "agbd-fcn.json"
WIDTHS = (32, 32, 64, 128, 128, 128)
"""Channels of the 3 x 3 convolutions; a last one of 1 x 1 makes one of them."""
EPSILON = 1e-5
"""Of batch normalisation, as PyTorch has it unless told otherwise."""
OPSET, FORMAT = 17, 9
BRIGHTEST = 5.0
"""Reflectances above it are none: the statistics are then of stored numbers."""
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
STATISTICS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "s2": tuple(("S2_bands", band) for band in BANDS),
    "alos": (("ALOS_bands", "HH"), ("ALOS_bands", "HV")),
    "height": (("CH", "ch"),),
    "height-deviation": (("CH", "std"),),
    "dem": (("DEM",),),
}
"""Where the percentiles of each input's bands stand in the authors' statistics."""
NUMPY = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    )
}
HARMLESS = {
    *NUMPY,
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
}
"""What statistics are pickled with; ``encode`` is how old pickles keep bytes."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution, and the batch normalisation and ReLU behind it, if any."""

    weight: F32
    """``[out, in, k, k]``"""
    bias: F32
    norm: tuple[F32, F32, F32, F32] | None
    """Weight, bias, mean and variance."""


class NoNetworkError(Exception):
    """A file that is not what it should be, in words."""


def layers_of(state: Mapping[str, F32], channels: int) -> tuple[Layer, ...]:
    """The layers of a network whose arrays come in order, under whatever names.

    Raises:
        NoNetworkError: when they are not those of the network.
    """
    modules: dict[str, dict[str, F32]] = {}
    for name, array in state.items():
        module, _, what = name.rpartition(".")
        modules.setdefault(module, {})[what] = np.asarray(array)
    found = list(_layers(modules))
    told = [layer.weight.shape for layer in found]
    edges = (channels, *WIDTHS)
    wanted = [(out, into, 3, 3) for into, out in itertools.pairwise(edges)]
    wanted.append((1, WIDTHS[-1], 1, 1))
    if told != wanted:
        raise NoNetworkError(
            f"the checkpoint has convolutions of {told}, and the card is for {wanted}"
        )
    if any(layer.norm is None for layer in found[:-1]) or found[-1].norm is not None:
        raise NoNetworkError("batch normalisation is not behind each convolution but the last")
    return tuple(found)


def _layers(modules: Mapping[str, Mapping[str, F32]]) -> Iterator[Layer]:
    waiting: Layer | None = None
    for arrays in modules.values():
        weight = arrays.get("weight")
        if weight is not None and weight.ndim == 4:  # noqa: PLR2004 - of a convolution
            if waiting is not None:
                yield waiting
            bias = arrays.get("bias", np.zeros(len(weight)))
            waiting = Layer(weight.astype(np.float32), bias.astype(np.float32), None)
        elif "running_mean" in arrays and waiting is not None:
            named = ("weight", "bias", "running_mean", "running_var")
            norm = tuple(arrays[name].astype(np.float32) for name in named)
            yield replace(waiting, norm=norm)
            waiting = None
    if waiting is not None:
        yield waiting


def network_of(layers: tuple[Layer, ...], card: ModelCard) -> bytes:
    """The ONNX file, which also says in what order it takes its channels."""
    nodes, weights = [], []

    def keep(name: str, array: F32) -> str:
        weights.append(numpy_helper.from_array(array, name))
        return name

    last = "channels"
    for number, layer in enumerate(layers, 1):
        edge = layer.weight.shape[-1] // 2
        own = [keep(f"weight {number}", layer.weight), keep(f"bias {number}", layer.bias)]
        is_end = layer.norm is None
        out = "biomass" if is_end else f"convolved {number}"
        nodes.append(helper.make_node("Conv", [last, *own], [out], pads=[edge] * 4))
        if layer.norm is not None:
            norm = [keep(f"norm {number} {n}", array) for n, array in enumerate(layer.norm)]
            names = f"normal {number}", f"layer {number}"
            normal = helper.make_node(
                "BatchNormalization", [out, *norm], [names[0]], epsilon=EPSILON
            )
            nodes += [normal, helper.make_node("Relu", [names[0]], [names[1]])]
            last = names[1]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, "h", "w"])
        for name, count in (("channels", len(channels_of(card))), ("biomass", 1))
    ]
    graph = helper.make_graph(nodes, "agbd-fcn", ports[:1], ports[1:], weights)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=FORMAT)
    helper.set_model_props(model, {KEY: channels_text(card)})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


class _Unpickler(pickle.Unpickler):
    """Builds dicts, lists, numbers and NumPy arrays, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise NoNetworkError(f"the statistics want to run {module}.{name}")
        return super().find_class(module, name)


def read_statistics(path: Path) -> Mapping[str, Any]:
    """The authors' statistics, from their pickle or from JSON.

    Raises:
        NoNetworkError: when the file holds something else, or wants to run anything.
    """
    content = path.read_bytes()
    try:
        if path.suffix.lower() == ".json":
            found = json.loads(content)
        else:
            found = _Unpickler(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, ValueError, EOFError, IndexError, TypeError, KeyError) as error:
        raise NoNetworkError(f"{path.name} holds no statistics: {error}") from error
    if not isinstance(found, Mapping):
        raise NoNetworkError(f"{path.name} holds no table of statistics")
    return found


def card_with(statistics: Mapping[str, Any]) -> ModelCard:
    """The template with the percentiles between which the network takes its numbers.

    Raises:
        NoNetworkError: naming what is missing.
    """
    card = read_card(TEMPLATE)
    inputs = tuple(_scaled(given, statistics) for given in card.inputs)
    return replace(card, inputs=inputs, export="")


def filed(card: ModelCard, content: bytes, name: str, digest: str) -> ModelCard:
    """The card of a file."""
    return replace(card, file=ModelFile(name, digest, len(content), "onnx"))


def _scaled(given: ModelInput, statistics: Mapping[str, Any]) -> ModelInput:
    if given.name not in STATISTICS:
        return given
    spans = [_span(statistics, way) for way in STATISTICS[given.name]]
    if given.name == "s2" and max(high for _, high in spans) > BRIGHTEST:
        raise NoNetworkError("the statistics of Sentinel-2 are of stored numbers, no reflectances")
    spans += [(0.0, 1.0)] * len(given.derived)
    low, high = (tuple(column) for column in zip(*spans, strict=True))
    steps = (
        Transform("min-max", low, high) if step.kind == "min-max" else step
        for step in given.transforms
    )
    return replace(given, transforms=tuple(steps))


def _span(statistics: Mapping[str, Any], way: tuple[str, ...]) -> tuple[float, float]:
    """First and 99th percentile."""
    place: Any = statistics
    for key in (*way, "p1"):
        if not isinstance(place, Mapping) or key not in place:
            raise NoNetworkError(f"the statistics have no {' / '.join((*way, 'p1'))}")
        above, place = place, place[key]
    try:
        low, high = float(above["p1"]), float(above["p99"])
    except (KeyError, TypeError, ValueError):
        low = high = np.nan
    if not low < high:
        raise NoNetworkError(f"p1 and p99 of {' / '.join(way)} are no numbers that rise")
    return low, high
