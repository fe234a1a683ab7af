"""Networks drawn operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

OPSET = 17
"""Of ONNX itself, unless another network settles it."""
ML_OPSET = 3
"""Of its operators of trees."""
IR = 8
"""Of the file format: what every onnxruntime that Swath takes can read."""
REDUCE_BY_INPUT = 18
"""From this opset on ``ReduceMin`` and the like take their axes as an input."""


class Sketch:
    """A graph in the making; every method returns the name of what it adds."""

    def __init__(self, opset: int = OPSET) -> None:
        self.opset = opset
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, value: npt.ArrayLike, kind: type[Any] = np.float32) -> str:
        """Numbers that are always the same."""
        from onnx import numpy_helper  # noqa: PLC0415 - heavy

        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """An operator of one output."""
        from onnx import helper  # noqa: PLC0415 - heavy

        name = f"n{len(self._nodes)}"
        node = helper.make_node(operator, inputs, [name], name, domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def least(self, numbers: str, axis: int) -> str:
        """The smallest along an axis, which is left out."""
        if self.opset < REDUCE_BY_INPUT:
            return self.add("ReduceMin", numbers, axes=[axis], keepdims=0)
        return self.add("ReduceMin", numbers, self.constant([axis], np.int64), keepdims=0)

    def whole(self, source: str, channels: int, results: dict[str, str], depths: list[int]) -> Any:
        """The network from ``[N, channels, H, W]`` to one such array for each result.

        Args:
            source: Name of the input.
            channels: It has.
            results: Names of outputs, with what they are.
            depths: Channels of each.
        """
        from onnx import TensorProto, helper  # noqa: PLC0415 - heavy

        def port(name: str, depth: int) -> Any:
            shape: list[str | int | None] = ["n", depth, "h", "w"]
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        for name, made in results.items():
            self._nodes.append(helper.make_node("Identity", [made], [name]))
        outputs = [port(name, depth) for name, depth in zip(results, depths, strict=True)]
        graph = helper.make_graph(
            self._nodes, "calibrated", [port(source, channels)], outputs, self._constants
        )
        opsets = [
            helper.make_opsetid("", self.opset),
            helper.make_opsetid("ai.onnx.ml", ML_OPSET),
        ]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR)
