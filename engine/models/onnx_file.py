"""A look into an ONNX file without running it: does it point to other files?

ONNX files are protocol buffers. Only the fields that lead to tensors are followed; what they hold
is skipped, so that a large file costs no more than its number of tensors and nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIRE_LENGTHS = {FIXED64: 8, FIXED32: 4}
EXTERNAL = 1
DATA_LOCATION = 14
"""Field of ``TensorProto``; ``EXTERNAL`` when its numbers are in another file."""
LONGEST_VARINT = 10
DEEPEST = 60
"""Nested subgraphs; more of them are no real model."""

CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""By message and field number, the messages of onnx.proto that can lead to a tensor."""


def has_external_data(content: bytes) -> bool:
    """Whether any tensor's numbers are kept outside the file.

    Raises:
        ValueError: when the content is no protocol buffer.
    """
    return _leads_outside(memoryview(content), "model", 0)


def _leads_outside(view: memoryview, kind: str, depth: int) -> bool:
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    children = CHILDREN[kind]
    for field, value in _fields(view):
        if isinstance(value, int):
            if kind == "tensor" and (field, value) == (DATA_LOCATION, EXTERNAL):
                return True
        elif field in children and _leads_outside(value, children[field], depth + 1):
            return True
    return False


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers with their integers or bytes; numbers of fixed width are skipped."""
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        field, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(view, at)
            yield field, value
            continue
        if wire == BYTES:
            length, at = _varint(view, at)
        elif wire in WIRE_LENGTHS:
            length = WIRE_LENGTHS[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(view):
            raise ValueError("ends too early")
        if wire == BYTES:
            yield field, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and where the next field begins."""
    value = 0
    for shift in range(LONGEST_VARINT):
        if at >= len(view):
            raise ValueError("ends too early")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the top bit says that more follows
            return value, at
    raise ValueError("a number without end")
