"""What an ONNX file says of itself, read without running it: metadata, inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.models.onnx_file import fields_of

GRAPH, METADATA = 7, 14
"""Fields of ``ModelProto`` in onnx.proto."""
INITIALIZER, INPUT, OUTPUT = 5, 11, 12
"""Of ``GraphProto``."""
TENSOR_NAME = 8


@dataclass(frozen=True)
class OnnxFacts:
    """An ONNX file's description."""

    metadata: dict[str, str]
    inputs: tuple[tuple[int | None, ...], ...]
    """Shapes; None for lengths that are open."""
    outputs: tuple[tuple[int | None, ...], ...]


def facts_of(content: bytes) -> OnnxFacts:
    """The description in a file's bytes.

    Raises:
        ValueError: when they are no protocol buffer.
    """
    model = memoryview(content)
    graph = next(_children(model, GRAPH), memoryview(b""))
    weights = {_text(w, TENSOR_NAME) for w in _children(graph, INITIALIZER)}
    return OnnxFacts(
        metadata={_text(p, 1): _text(p, 2) for p in _children(model, METADATA)},
        inputs=tuple(_shape(p) for p in _children(graph, INPUT) if _text(p, 1) not in weights),
        outputs=tuple(_shape(p) for p in _children(graph, OUTPUT)),
    )


def _shape(port: memoryview) -> tuple[int | None, ...]:
    """Of a ``ValueInfoProto``: type (2), tensor type (1), shape (2), its dimensions (1)."""
    place = port
    for field in (2, 1, 2):
        place = next(_children(place, field), memoryview(b""))
    return tuple(_length(d) for d in _children(place, 1))


def _length(dimension: memoryview) -> int | None:
    found = [v for n, v in fields_of(dimension) if n == 1 and isinstance(v, int)]
    return found[0] if found and found[0] > 0 else None


def _children(view: memoryview, field: int) -> Iterator[memoryview]:
    return (v for n, v in fields_of(view) if n == field and isinstance(v, memoryview))


def _text(view: memoryview, field: int) -> str:
    return next((v.tobytes().decode() for v in _children(view, field)), "")
