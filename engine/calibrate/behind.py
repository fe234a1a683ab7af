"""A fitted model behind an encoder, as one network."""

from __future__ import annotations

from typing import Any

from engine.calibrate.network import SOURCE

HEAD = "head_"
"""Before all names of the fitted model, so that none is the encoder's too."""


def opset_of(encoder: bytes) -> int:
    """Which version of ONNX' operators an encoder was written with."""
    import onnx  # noqa: PLC0415 - heavy

    model = onnx.load_from_string(encoder)
    return next(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def behind(encoder: bytes, index: int, head: Any) -> Any:
    """The network that hands an encoder's output to a fitted model.

    Args:
        encoder: An ONNX file.
        index: Which of its outputs the embedding is; below 0 counted from the last.
        head: Of ``network``, drawn in the encoder's opset.

    Returns:
        A model with the encoder's inputs and the outputs of ``head``.
    """
    import onnx  # noqa: PLC0415 - heavy
    from onnx import compose  # noqa: PLC0415

    first = onnx.load_from_string(encoder)
    second = compose.add_prefix(head, HEAD)
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    embedding = first.graph.output[index].name
    outputs = [output.name for output in second.graph.output]
    joint = [(embedding, HEAD + SOURCE)]
    return compose.merge_models(first, second, io_map=joint, outputs=outputs)
