"""A look into an ONNX file without running it: does it need other files, or foreign code?

ONNX files are protocol buffers. Only the fields that lead to tensors and operators are followed;
what tensors hold is skipped, so that a large file costs no more than its number of tensors and
nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIRE_LENGTHS = {FIXED64: 8, FIXED32: 4}
EXTERNAL = 1
DATA_LOCATION = 14
"""Field of ``TensorProto``; ``EXTERNAL`` when its numbers are in another file."""
NAME_AND_DOMAIN = {"node": (4, 7), "function": (1, 10)}
"""Fields that say which operator a node calls, and which one a function defines."""
LONGEST_VARINT = 10
DEEPEST = 60
"""Nested subgraphs; more of them are no real model."""
MOST_MESSAGES = 2_000_000
"""Nodes, attributes and tensors; large language models have some ten thousand."""
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Where ONNX Runtime itself brings the operators along."""
REFUSED = {("com.microsoft", "EPContext"), ("com.microsoft", "PythonOp")}
"""Of these, the ones that load compiled networks from files, or call Python."""

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
"""By message and field number, the messages of onnx.proto that can lead to a tensor or a node."""

_Fields = list[tuple[int, int | memoryview]]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a file needs besides itself and ONNX Runtime."""

    other_files: bool
    """Whether any tensor's numbers are kept outside."""
    operators: tuple[str, ...]
    """Operators that somebody else's library must bring along, as ``DOMAIN::NAME``."""


def needs_of(content: bytes) -> Needs:
    """What an ONNX file needs; functions that it defines itself are its own.

    Raises:
        ValueError: when the content is no protocol buffer, or one without measure.
    """
    outside = False
    called: dict[str, set[tuple[str, str]]] = {"node": set(), "function": set()}
    for count, (kind, fields) in enumerate(_messages(memoryview(content), "model", 0)):
        if count > MOST_MESSAGES:
            raise ValueError("it has more nodes than any network")
        if kind in NAME_AND_DOMAIN:
            called[kind].add(_operator(kind, fields))
        outside = outside or (kind == "tensor" and (DATA_LOCATION, EXTERNAL) in fields)
    used = called["node"] - called["function"]
    foreign = {pair for pair in used if pair[0] not in DOMAINS or pair in REFUSED}
    return Needs(outside, tuple(f"{domain}::{name}" for domain, name in sorted(foreign)))


def _messages(view: memoryview, kind: str, depth: int) -> Iterator[tuple[str, _Fields]]:
    """Every message with its fields, those within others included."""
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    fields = list(fields_of(view))
    yield kind, fields
    children = CHILDREN[kind]
    inner = ((children[n], v) for n, v in fields if n in children and isinstance(v, memoryview))
    yield from itertools.chain.from_iterable(_messages(v, name, depth + 1) for name, v in inner)


def _operator(kind: str, fields: _Fields) -> tuple[str, str]:
    """Domain and name; the last one counts where a file says it twice, as in protocol buffers."""
    keys = NAME_AND_DOMAIN[kind]
    own = ((n, v) for n, v in fields if n in keys and isinstance(v, memoryview))
    texts = {n: v.tobytes().decode() for n, v in own}
    name, domain = (texts.get(field, "") for field in keys)
    return domain, name


def fields_of(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
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
