"""A network run once before anything is known of its meaning: what it takes and what it gives."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import Activation, Layout
from engine.models.known import Known
from engine.models.network import FLOATS, Network, NetworkError, Port
from engine.models.subject import Subject

F32 = npt.NDArray[np.float32]
RANK = 4
FLAT = 2
TILE = 512
"""Edge of the tiles of a network that takes any, pixels."""
TRIED = 256
"""Of those that such a network is tried with."""
STRIDE = 32
"""What most networks of free size halve their input to."""
LOUDNESS = (1.0, 8.0)
"""Standard deviations of the noise that a network is tried with: scores that stay between 0 and 1
under both are no logits."""
NEAR_ONE = 1e-3
MOST_NUMBERS = 2**28
"""Of a tile: 1 GiB."""
MOST_BANDS = 64
"""Lengths up to this one, and beside larger ones, are an axis of bands."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a network showed."""

    axes: Layout
    gives_axes: Layout
    channels: int
    """That it gives for each pixel, or each tile."""
    tile: int
    is_fixed: bool
    cell: int
    zoom: int
    activation: Activation
    """That its numbers need to become probabilities, if they are scores of classes."""


def try_out(subject: Subject, known: Known) -> Trial:
    """Run a network on noise of the sizes that it takes.

    Args:
        subject: The model.
        known: Its bands or their number, where the file does not tell it; and its tile.

    Raises:
        EngineError: ``MODEL_INVALID`` or ``MODEL_UNSUITABLE`` for what cannot be run, or not as
            a map of tiles.
    """
    with _running(subject) as network:
        port = network.takes[0] if network.takes else Port((None,) * RANK, "float32")
        _check_ports(subject, network, port)
        axes = known.axes or _layout(port.shape)
        bands = _bands(subject, known, port, axes)
        fixed = _edge(subject, port, axes)
        edge = fixed or known.tile or TRIED
        if bands * edge**2 > MOST_NUMBERS:
            raise refused(subject, f"tiles of {bands} x {edge} x {edge} numbers are too large")
        found = _passed(subject, network, _tile(port, axes, bands, edge))
        is_flat = _is_flat(found)
        is_fixed = bool(fixed or known.is_fixed or is_flat)
        if not is_fixed:
            larger = _tile(port, axes, bands, edge + STRIDE)
            is_fixed = not _takes_also(network, larger, edge, found)
        gives = _layout_given(found, axes, known)
        cell, zoom = _scale(subject, found, gives, edge)
        tile = edge if is_fixed or known.tile else TILE
        channels = 1 if found.ndim == RANK - 1 else found.shape[gives.index("C")]
        return Trial(axes, gives, channels, tile, is_fixed, cell, zoom, _activation(found, gives))


def refused(subject: Subject, why: str, hint: str = "") -> EngineError:
    """A model that cannot be run as a map."""
    return EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"{subject.name} cannot be run: {why}.",
        hint or "Export the network again, or use another model.",
    )


@contextlib.contextmanager
def _running(subject: Subject) -> Iterator[Network]:
    """The network on the CPU; what could bring foreign code along is refused before."""
    threads = os.cpu_count() or 1
    try:
        yield _started(subject, threads)
    except NetworkError as error:
        hint = "Say how many bands and which tiles it takes, or export it again."
        raise refused(subject, str(error), hint) from error


def _started(subject: Subject, threads: int) -> Network:
    if subject.format == "onnx":
        from engine.models.onnx_model import check_needs  # noqa: PLC0415 - loads onnxruntime
        from engine.models.onnx_providers import ways  # noqa: PLC0415 - loads onnxruntime

        check_needs(subject.card, subject.content, is_trusted=False)
        return next(way for way in ways("cpu", "exact")).start(subject.content, threads)
    try:
        from engine.models.torch_model import TorchNetwork, load_module  # noqa: PLC0415 - torch
        from engine.models.torch_settings import settle  # noqa: PLC0415 - loads torch
    except ImportError:
        what = f"{subject.format} files need PyTorch, which this engine has not"
        raise refused(subject, what, "Add it with scripts/environment --torch.") from None
    settle()
    module = load_module(subject.card, subject.content)
    return TorchNetwork(module, "cpu", threads)


def _check_ports(subject: Subject, network: Network, port: Port) -> None:
    if len(network.takes) > 1:
        why = f"it takes {len(network.takes)} inputs, and nothing says what they are"
        raise refused(subject, why, "Write a card for it, after the pattern of the catalogue's.")
    if port.kind not in FLOATS or len(port.shape) != RANK:
        shape = [n or "any" for n in port.shape]
        raise refused(subject, f"it takes {port.kind} {shape}, not a batch of pictures in float32")
    for given in network.gives[:1]:
        if given.kind not in FLOATS:
            hint = "Export it without its last step (ArgMax), so that it gives scores."
            raise refused(subject, f"it gives {given.kind}, not scores in float32", hint)


def _layout(shape: tuple[int | None, ...]) -> Layout:
    """Bands come last where only the last length can be a number of bands."""
    second, last = shape[1], shape[-1]
    is_last = last is not None and last <= MOST_BANDS and (second is None or second > MOST_BANDS)
    return "NHWC" if is_last else "NCHW"


def _edge(subject: Subject, port: Port, axes: Layout) -> int | None:
    """Of tiles that have to have one size."""
    height, width = (port.shape[axes.index(axis)] for axis in "HW")
    if height != width:
        raise refused(subject, f"it takes tiles of {width or 'any'} x {height or 'any'} pixels")
    return height


def _bands(subject: Subject, known: Known, port: Port, axes: Layout) -> int:
    told = port.shape[axes.index("C")]
    count = len(known.bands) if known.bands is not None else known.channels
    if told is not None and count is not None and told != count:
        raise EngineError(
            ErrorCode.MODEL_INVALID,
            f"{subject.name} takes {told} bands, and {count} are named.",
            "Name the bands in the order in which it takes them.",
        )
    if told is None and count is None:
        raise refused(subject, "nothing says how many bands it takes", "Name its bands.")
    return cast("int", told or count)


def _tile(port: Port, axes: Layout, bands: int, edge: int) -> F32:
    """Noise of two loudnesses side by side, ``[1, …]``."""
    rng = np.random.default_rng(0)
    lengths = {"N": port.shape[0] or 1, "C": bands, "H": edge, "W": edge}
    noise = rng.standard_normal([lengths[a] for a in "NCHW"], np.float32)
    noise[..., : edge // 2] *= LOUDNESS[0]
    noise[..., edge // 2 :] *= LOUDNESS[1]
    return noise.transpose(["NCHW".index(a) for a in axes]).astype(FLOATS[port.kind])


def _passed(subject: Subject, network: Network, tile: F32) -> F32:
    found = network.run([np.ascontiguousarray(tile)])[:1]
    if found.dtype.kind != "f":
        hint = "Export it without its last step (ArgMax), so that it gives scores."
        raise refused(subject, f"it gives {found.dtype}, not scores in float32", hint)
    if found.ndim not in (FLAT, RANK - 1, RANK) or not np.isfinite(found).all():
        what = f"an array of {found.ndim} axes" if np.isfinite(found).all() else "no finite numbers"
        raise refused(subject, f"it gives {what} for a picture")
    scores: F32 = found.astype(np.float32)
    return scores


def _is_flat(found: F32) -> bool:
    """Whether a tile gives one row of numbers."""
    is_point = found.ndim == RANK and (1, 1) in (found.shape[1:3], found.shape[2:])
    return found.ndim == FLAT or is_point


def _takes_also(network: Network, larger: F32, edge: int, found: F32) -> bool:
    """Whether the network takes a larger size too, and gives as much for every pixel of it."""
    try:
        again = network.run([np.ascontiguousarray(larger)])[:1]
    except NetworkError:
        return False
    other = edge + STRIDE
    pairs = zip(again.shape[1:], found.shape[1:], strict=False)
    return again.ndim == found.ndim and all(a * edge in (b * other, b * edge) for a, b in pairs)


def _layout_given(found: F32, axes: Layout, known: Known) -> Layout:
    """Height and width are the two lengths that are equal; else as the classes are many."""
    if found.ndim != RANK:
        return "NCHW"
    _, one, two, three = found.shape
    if (one == two) != (two == three):
        return "NHWC" if one == two else "NCHW"
    count = len(known.classes or known.values or ())
    is_last = one != two and three == count
    return "NHWC" if is_last or (one == two and axes == "NHWC") else "NCHW"


def _scale(subject: Subject, found: F32, gives: Layout, edge: int) -> tuple[int, int]:
    """Pixels of the input along one of the output, and the other way round."""
    if found.ndim == FLAT:
        return edge, 1
    along = found.shape[-1] if found.ndim == RANK - 1 else found.shape[gives.index("H")]
    across = found.shape[-1] if found.ndim == RANK - 1 else found.shape[gives.index("W")]
    if along == across and edge % along == 0:
        return edge // along, 1
    if along == across and along % edge == 0:
        return 1, along // edge
    raise refused(
        subject,
        f"for {edge} x {edge} pixels it gives {along} x {across}, no part or multiple of them",
        "Export it with padded convolutions, so that its result covers the whole tile.",
    )


def _activation(found: F32, gives: Layout) -> Activation:
    """What is left to do to make probabilities of scores."""
    axis = gives.index("C") if found.ndim == RANK else 1
    count = 1 if found.ndim == RANK - 1 else found.shape[axis]
    if found.min() >= -NEAR_ONE and found.max() <= 1 + NEAR_ONE:
        return "none"
    return "softmax" if count > 1 else "sigmoid"
