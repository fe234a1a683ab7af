"""Networks as ONNX: one, or three as one file, the second of which runs in a loop."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import onnx
import torch
from onnx import TensorProto, helper

OPSET = 17
FORMAT = 9
"""Of the file: what the oldest runtimes that know ``OPSET`` read."""
Tensors = Mapping[str, torch.Tensor]
Axes = Mapping[str, Mapping[int, str]]
Parts = tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]


def traced(
    network: torch.nn.Module, given: Tensors, gives: Sequence[str], axes: Axes
) -> onnx.ModelProto:
    """A network as it works on an example.

    Args:
        network: Takes tensors by position.
        given: The example, by the names that the file has for it.
        gives: Names of the results.
        axes: Those whose length may differ.
    """
    content = io.BytesIO()
    with torch.inference_mode():
        torch.onnx.export(
            network,
            tuple(given.values()),
            content,
            input_names=list(given),
            output_names=list(gives),
            dynamic_axes={name: dict(lengths) for name, lengths in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(content.getvalue())


def looped(
    parts: Parts, shown: Tensors, axes: Axes, ready: Sequence[str], last: str
) -> onnx.ModelProto:
    """One file of three networks.

    Args:
        parts: The first prepares what the file takes, and also says how often the second runs,
            which gets the number of its run and all that was prepared. The third gets what all
            runs gave, and makes the file's ``embedding`` of it.
        shown: What the file takes: an example.
        axes: Of these, and of ``embedding``, those whose length may differ.
        ready: Names of what the first gives, but for the number of runs.
        last: Which of all these the third gets too.
    """
    *prepared, count = parts[0](*shown.values())
    known = dict(zip(ready, prepared, strict=True))
    runs = {"number": torch.tensor(0), **known}
    pieces = torch.stack(int(count) * [parts[1](*runs.values())])
    ends = {"pieces": pieces, last: {**shown, **known}[last]}
    free = {name: any_length(name, array) for name, array in {**known, **ends}.items()}
    models = (
        traced(parts[0], shown, [*ready, "count"], {**free, **axes}),
        traced(parts[1], runs, ["piece"], free),
        traced(parts[2], ends, ["embedding"], {**free, **axes}),
    )
    shared = {*shown, *runs, *ends, "count", "piece", "embedding"}
    before, body, after = (
        renamed(model.graph, lambda name, n=n: name if name in shared else f"{n}/{name}")
        for n, model in enumerate(models)
    )
    loop = helper.make_node("Loop", ["count", ""], ["pieces"], body=once(body))
    graph = helper.make_graph(
        [*before.node, loop, *after.node],
        "map",
        before.input,
        after.output,
        [weights for part in (before, body, after) for weights in part.initializer],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=FORMAT)


def any_length(name: str, array: torch.Tensor) -> dict[int, str]:
    """Every axis may differ."""
    return {axis: f"{name}_{axis}" for axis in range(array.ndim)}


def once(body: onnx.GraphProto) -> onnx.GraphProto:
    """One run of a loop that never ends early; all but its number comes from outside."""
    go_on = [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("go", "go_on")]
    number = helper.make_tensor_value_info("number", TensorProto.INT64, [])
    node = helper.make_node("Identity", ["go"], ["go_on"])
    piece = [p for p in body.output if p.name == "piece"]
    return helper.make_graph([node, *body.node], "run", [number, go_on[0]], [go_on[1], *piece])


def renamed(graph: onnx.GraphProto, name_of: Callable[[str], str]) -> onnx.GraphProto:
    """The graph with other names, in the graphs of its nodes too."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = name_of(value.name)
    for node in graph.node:
        node.name = name_of(node.name)
        for names in (node.input, node.output):
            names[:] = [name and name_of(name) for name in names]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                renamed(attribute.g, name_of)
    return graph
