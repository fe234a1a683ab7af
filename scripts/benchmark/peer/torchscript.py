"""The benchmark's ONNX networks as TorchScript, for programs that take nothing else.

Knows the few operations that the two networks have. Takes 0 to 255, as geo-inference gives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

TILE = 512


class Network(nn.Module):
    """The nodes that the result depends on, in the order of the file."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        super().__init__()
        self.given, self.result = graph.input[0].name, graph.output[0].name
        self.fixed = _constants(graph)
        makers = {name: node for node in graph.node for name in node.output}
        needed = _needed(self.result, makers)
        self.nodes = [n for n in graph.node if n.output[0] in needed]
        self.layers = nn.ModuleList()
        self.steps = [self._step(node) for node in self.nodes]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Probabilities of ``[N, 3, H, W]``."""
        values = {self.given: pixels.float() / 255}
        for node, step in zip(self.nodes, self.steps, strict=True):
            values[node.output[0]] = step(*(values[n] for n in node.input if n in values))
        return values[self.result]

    def _step(self, node: onnx.NodeProto) -> Callable[..., torch.Tensor]:
        simple = {
            "Relu": functional.relu,
            "Add": torch.add,
            "Concat": lambda *parts: torch.cat(parts, 1),
            "Softmax": lambda scores: torch.softmax(scores, 1),
            "Resize": lambda small: functional.interpolate(small, scale_factor=2.0),
        }
        if node.op_type == "Conv":
            self.layers.append(self._convolution(node))
            return self.layers[-1]
        if node.op_type == "Clip":
            low, high = (float(self.fixed[name]) for name in node.input[1:])
            return lambda value: functional.hardtanh(value, low, high)
        return simple[node.op_type]

    def _convolution(self, node: onnx.NodeProto) -> nn.Conv2d:
        weight, *bias = (
            torch.from_numpy(self.fixed[name].astype(np.float32)) for name in node.input[1:]
        )
        said = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        groups, strides = said.get("group", 1), said.get("strides", [1, 1])
        layer = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            tuple(strides),
            tuple(said.get("pads", [0, 0, 0, 0])[:2]),
            groups=groups,
            bias=bool(bias),
        )
        layer.weight.data = weight
        if bias:
            layer.bias.data = bias[0]
        return layer


def converted(network: Path, folder: Path) -> Path:
    """The network as TorchScript in ``folder``; made there unless it is there."""
    made = folder / f"{network.stem}.ts"
    if not made.is_file():
        model = Network(onnx.load(network).graph).eval()
        with torch.no_grad():
            traced = torch.jit.trace(model, torch.rand(1, 3, TILE, TILE) * 255)
        torch.jit.save(traced, made)
    return made


def mend_torchvision() -> None:
    """Let torchvision load beside a PyTorch of another build, whose operators it cannot find."""
    try:
        import torchvision  # noqa: F401, PLC0415
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        sys.torchvision_operators = library  # goes away with the last reference


def _needed(result: str, makers: dict[str, onnx.NodeProto]) -> set[str]:
    """Names of all values that lead to the result; sizes of a resize do not count."""
    found, open_ends = set(), [result]
    while open_ends:
        name = open_ends.pop()
        node = makers.get(name)
        if node is None or name in found or node.op_type in ("Constant", "Cast"):
            continue
        found.add(name)
        data_only = node.op_type in ("Resize", "Conv", "Clip")
        open_ends += node.input[:1] if data_only else node.input
    return found


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Weights and other fixed numbers, also those that are kept in fewer bits and cast."""
    fixed = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            fixed[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Cast" and node.input[0] in fixed:
            fixed[node.output[0]] = fixed[node.input[0]]
    return fixed
