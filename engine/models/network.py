"""A network in a runtime's hands, before anything is known of bands and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.geo.arrays import Array, namespace
from engine.models.card import Layout, OutputIndex

FLOATS: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
}
"""Types of numbers that networks may take and give."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a network, as its file has it."""

    shape: tuple[int | None, ...]
    """None where the file leaves a length open."""
    kind: str
    """One of ``FLOATS``, or the runtime's own word for what is none of them."""


class Network(Protocol):
    """A network ready to run. Safe to call from several threads."""

    device: str
    """See ``runtime.Model.device``."""
    arithmetic: str
    """See ``runtime.Model.arithmetic``."""
    takes: tuple[Port, ...]
    """None where the file does not tell."""
    gives: tuple[Port, ...]

    def run(self, arrays: Sequence[Array], index: OutputIndex = 0) -> Array:
        """What the outputs of an index give for all inputs in order, as the ports have them.

        It comes where the inputs are.

        Raises:
            NetworkError: with what the runtime says.
        """
        ...


class NetworkError(Exception):
    """What a runtime says when it cannot load or run a network."""


def chosen(outputs: Sequence[Array], index: OutputIndex) -> Array:
    """One of several arrays ``[N, C, ...]``, or several joined along ``C``."""
    if isinstance(index, int):
        return outputs[index]
    several = [outputs[number] for number in index]
    return namespace(several[0]).concat(several, axis=1)


def chosen_port(ports: Sequence[Port], index: OutputIndex) -> Port:
    """The same of what a file says of its outputs."""
    if isinstance(index, int):
        return ports[index]
    several = [ports[number] for number in index]
    counts = [port.shape[1] if len(port.shape) > 1 else None for port in several]
    known = [count for count in counts if count is not None]
    total = sum(known) if len(known) == len(counts) else None
    first = several[0]
    return Port((*first.shape[:1], total, *first.shape[2:]), first.kind)


def axes(have: Layout, want: Layout) -> list[int]:
    """Where each axis of one layout is found in another; an argument of ``numpy.transpose``."""
    return [have.index(axis) for axis in want]
