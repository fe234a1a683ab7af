"""A network with its card: what the pipeline runs, whichever runtime stands behind it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array, namespace
from engine.models.card import OURS, Layout, ModelCard
from engine.models.devices import CPU
from engine.models.network import FLOATS, Network, NetworkError, Port, axes, chosen_port
from engine.models.shapes import Shape, input_shapes, output_shape

Upload = Callable[[npt.NDArray[Any]], Array]
RANK = 4
FLAT = 2
"""Axes of an array without height and width: one score a class, or the months of a series."""


def in_place(stored: npt.NDArray[Any]) -> Array:
    """Networks that take their arrays from memory."""
    return stored


class NetworkModel:
    """See ``runtime.Model``."""

    def __init__(
        self,
        card: ModelCard,
        network: Network,
        notes: tuple[str, ...] = (),
        upload: Upload = in_place,
    ) -> None:
        check_ports(card, network)
        self.card = card
        self.upload = upload
        self.device = network.device
        self.arithmetic = network.arithmetic
        self.notes = notes
        self.batch = _fixed_batch(network) or (1 if network.device == CPU else 0)
        """Tiles of one pass; 0: as many as there are."""
        self._network: Network | None = network
        kinds = [FLOATS[port.kind] for port in network.takes]
        self._kinds = kinds or [FLOATS["float32"]] * len(input_shapes(card, -1, -1))

    def predict(self, *arrays: Array) -> Array:
        """See ``runtime.Model.predict``.

        On a CPU tiles go through one by one: that is no slower there, and a tile's scores are
        then the same to the bit whatever stands beside it.
        """
        self._check(arrays)
        count, xp = arrays[0].shape[0], namespace(arrays[0])
        step = self.batch or count
        starts = range(0, count, step or 1)
        scores = [self._run([a[i : i + step] for a in arrays], step) for i in starts]
        if not scores:
            return xp.zeros((0, *output_shape(self.card, *arrays[0].shape[-2:])[1:]), xp.float32)
        return scores[0] if len(scores) == 1 else xp.concat(scores)

    def close(self) -> None:
        """Give the memory back."""
        self._network = None

    def _run(self, arrays: Sequence[Array], step: int) -> Array:
        """One forward pass of ``step`` tiles; missing ones are filled up with zeros."""
        count = arrays[0].shape[0]
        if count < step:
            arrays = [_filled(a, step) for a in arrays]
        scores = self._forward(arrays)
        wanted = (step, *output_shape(self.card, *arrays[0].shape[-2:])[1:])
        shape = tuple(scores.shape)
        if shape != wanted and not self._is_one_score_for_two(shape, wanted):
            raise unlike(self.card, f"gives scores of shape {shape}", f"{wanted}")
        return scores[:count]

    def _forward(self, arrays: Sequence[Array]) -> Array:
        """Through the network, in its own order of axes and type of numbers."""
        if self._network is None:
            raise run_failed(self.card, "it was closed")
        order = axes(OURS, self.card.input.axes)
        pairs = zip(arrays, self._kinds, strict=True)
        given = [_laid_out(a, order if a.ndim == RANK else None, kind) for a, kind in pairs]
        try:
            found = self._network.run(given, self.card.output.index)
        except NetworkError as error:
            raise run_failed(self.card, str(error)) from error
        if found.ndim == FLAT:
            found = found[:, :, None, None]
        elif found.ndim == RANK - 1:
            found = found[:, None]
        else:
            found = namespace(found).permute_dims(found, tuple(axes(self.card.output.axes, OURS)))
        return _laid_out(found, None, FLOATS["float32"])

    def _is_one_score_for_two(self, found: Shape, wanted: Shape) -> bool:
        is_binary = len(self.card.output.classes) == 2  # noqa: PLR2004 - one class, and the rest
        return is_binary and found == (wanted[0], 1, *wanted[2:])

    def _check(self, arrays: Sequence[Array]) -> None:
        wanted = input_shapes(self.card, -1, -1)
        have = [tuple(a.shape) for a in arrays]
        fits = len(have) == len(wanted) and all(
            len(h) == len(w) and (len(w) == FLAT or h[-3] == w[-3])
            for h, w in zip(have, wanted, strict=True)
        )
        if not fits or any(a.dtype != namespace(a).float32 for a in arrays):
            shown = " and ".join(_shown(("N", *w[1:])) for w in wanted)
            raise EngineError(
                ErrorCode.MODEL_FAILED,
                f"The model {self.card.id} takes float32 {shown}, "
                f"not {arrays[0].dtype} {list(arrays[0].shape)}.",
                "Choose the bands that the model was made for.",
            )


@contextlib.contextmanager
def telling_memory(card: ModelCard) -> Iterator[None]:
    """What a device says when it is full, in our words; for arithmetic around the network.

    Raises:
        EngineError: ``OUT_OF_MEMORY``.
    """
    try:
        yield
    except RuntimeError as error:  # PyTorch's class for it is one, and may not be here to name
        failure = run_failed(card, str(error))
        if failure.code is not ErrorCode.OUT_OF_MEMORY:
            raise
        raise failure from error


def check_ports(card: ModelCard, network: Network) -> None:
    """Compare what the file says of itself with the card; what it leaves open fits any.

    Raises:
        EngineError: ``MODEL_INVALID``.
    """
    edge = card.tiling.size if card.tiling.fixed else -1
    wanted = input_shapes(card, edge, edge)
    if network.takes and len(network.takes) != len(wanted):
        raise unlike(card, f"takes {len(network.takes)} inputs", f"{len(wanted)}")
    for port, shape in zip(network.takes, wanted, strict=False):
        _check_port(card, "takes", port, shape, card.input.axes)
    index, count = card.output.index, len(network.gives)
    for number in (index,) if isinstance(index, int) else index:
        if count and not -count <= number < count:
            raise unlike(card, f"gives {count} outputs", f"number {number}, counted from 0")
    if count:
        port = chosen_port(network.gives, index)
        _check_port(card, "gives", port, output_shape(card, edge, edge), card.output.axes)


def unlike(card: ModelCard, does: str, wanted: str) -> EngineError:
    """The file and its card say different things."""
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The file of the model {card.id} {does}; its card says {wanted}.",
        "Correct the model's card, or take the file that it was written for.",
    )


def run_failed(card: ModelCard, why: str) -> EngineError:
    """A pass went wrong."""
    if re.search(r"allocate memory|out.?of.?memory|bad_alloc|MemoryError", why, re.IGNORECASE):
        return EngineError(
            ErrorCode.OUT_OF_MEMORY,
            f"There was not enough memory to run the model {card.id}.",
            "Close other programs, use smaller tiles or fewer threads, or use --device cpu.",
        )
    return EngineError(
        ErrorCode.MODEL_FAILED,
        f"The model {card.id} failed: {why}.",
        "Check that the model's card belongs to its file, or use another model.",
    )


def _check_port(card: ModelCard, verb: str, port: Port, wanted: Shape, order: Layout) -> None:
    if port.kind not in FLOATS:
        raise unlike(card, f"{verb} {port.kind}", " or ".join(FLOATS))
    if verb == "gives" and len(port.shape) < RANK:
        fits = port.shape[1:2] in ((None,), wanted[1:2]) or len(port.shape) == RANK - 1
    else:
        ours = wanted if len(wanted) != RANK else tuple(wanted[a] for a in axes(OURS, order))
        pairs = zip(port.shape[1:], ours[1:], strict=False)
        fits = len(port.shape) == len(ours) and all(_agrees(h, w) for h, w in pairs)
        fits = fits or (verb == "gives" and _is_single(card, port, ours, order))
    if not fits:
        shown = _shown(("N", *wanted[1:]))
        raise unlike(card, f"{verb} {[n or 'any' for n in port.shape]}", shown)


def _is_single(card: ModelCard, port: Port, wanted: Shape, order: Layout) -> bool:
    """Whether one score stands for two classes."""
    one = tuple(1 if axis == "C" else n for axis, n in zip(order, wanted, strict=True))
    pairs = zip(port.shape[1:], one[1:], strict=False)
    same = len(port.shape) == RANK and all(_agrees(h, w) for h, w in pairs)
    return same and len(card.output.classes) == 2  # noqa: PLR2004 - one class, and the rest


def _agrees(has: int | None, wanted: int) -> bool:
    """A length that the file leaves open fits any; one that it fixes must be the card's."""
    return has in (None, wanted)


def _shown(shape: Sequence[Any]) -> str:
    return str([*("any" if n == -1 else n for n in shape)]).replace("'", "")


def _laid_out(array: Array, order: list[int] | None, kind: np.dtype[Any]) -> Array:
    """With its axes in another order; in memory also one after the other, and of a type."""
    if order is not None and order != sorted(order):
        array = namespace(array).permute_dims(array, tuple(order))
    return np.ascontiguousarray(array, kind) if isinstance(array, np.ndarray) else array


def _filled(array: Array, count: int) -> Array:
    missing = count - array.shape[0]
    return namespace(array).concat([array, *([namespace(array).zeros_like(array[:1])] * missing)])


def _fixed_batch(network: Network) -> int:
    return (network.takes[0].shape[0] or 0) if network.takes else 0
