"""Networks to ONNX files: weights kept as float16, computed with as float32."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

SMALLEST = 64
"""Numbers in a constant from which on it is halved; below, bytes are not worth the rounding."""
HALF = np.finfo(np.float16)

Axes = Mapping[str, Mapping[int, str]]


def write_onnx(network: nn.Module, example: torch.Tensor, path: Path, free: Axes) -> str:
    """Write a network with one input ``input`` and one output ``output``, whole or not at all.

    Args:
        network: In evaluation mode.
        example: An input of the shape to trace with.
        path: Where the file goes; its folder is made.
        free: Names of the axes of any length, by ``input`` and ``output``.

    Returns:
        The file's sha256.
    """
    content = io.BytesIO()
    torch.onnx.export(
        network.eval(),
        (example,),
        content,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={name: dict(axes) for name, axes in free.items()},
        opset_version=17,
        dynamo=False,
    )
    model = halved(onnx.load_from_string(content.getvalue()))
    onnx.checker.check_model(model, full_check=True)
    written = model.SerializeToString(deterministic=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_bytes(written)
    unfinished.replace(path)
    return hashlib.sha256(written).hexdigest()


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large float32 constants stored as float16 and cast back on loading.

    onnxruntime folds the casts away when it opens the file, so only the rounding remains.
    """
    graph = model.graph
    casts = []
    for constant in graph.initializer:
        values = numpy_helper.to_array(constant)
        if not _worth_it(values):
            continue
        whole = constant.name
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{whole}_half"))
        casts.append(
            helper.make_node("Cast", [f"{whole}_half"], [whole], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _worth_it(values: np.ndarray) -> bool:
    large = values.dtype == np.float32 and values.size >= SMALLEST
    return bool(large and np.abs(values).max() < HALF.max)
