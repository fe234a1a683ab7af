"""PyTorch models: TorchScript, exported programs, and networks of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array, in_memory
from engine.models.card import OURS, ModelCard, OutputIndex
from engine.models.content import read_checked
from engine.models.devices import CPU, CUDA
from engine.models.network import NetworkError, Port, axes, chosen
from engine.models.network_model import NetworkModel, check_ports, in_place, run_failed
from engine.models.shapes import noise
from engine.models.torch_errors import FAILURES, broken, missing, plain, unavailable

KEPT_ON = (CUDA,)
"""Kinds of devices where all stays from the stored numbers to the decision."""
MOVED = ("uint8", "int16", "uint16", "int32", "float32")
"""Types of numbers that are uploaded as they are stored."""
LARGEST_UINT16 = 0xFFFF
RANK = 4


class TorchNetwork:
    """A module on a device; see ``network.Network``."""

    arithmetic = "float32"

    def __init__(self, module: Any, device: str, threads: int) -> None:
        import torch  # noqa: PLC0415 - optional, and slow to load

        self.device = device
        self.takes = tuple(Port(shape, "float32") for shape in getattr(module, "shapes", ()))
        self.gives: tuple[Port, ...] = ()
        self._threads = max(threads, 1)
        self._place = torch.device(device)
        self._module = module.to(self._place)
        self._order = torch.channels_last

    def run(self, arrays: Sequence[Array], index: OutputIndex = 0) -> Array:
        """See ``network.Network.run``."""
        import torch  # noqa: PLC0415 - loaded already

        from engine.models.torch_settings import set_threads  # noqa: PLC0415 - loads torch

        set_threads(self._threads)
        try:
            with torch.inference_mode():
                found = self._module(*(self._taken(a) for a in arrays))
                scores = _one_of(found, index)
                if not isinstance(scores, torch.Tensor):
                    raise NetworkError(f"it gives a {type(found).__name__}, not an array of scores")
                scores = scores.to(torch.float32)
                stay = all(isinstance(a, torch.Tensor) for a in arrays)
                return scores if stay else in_memory(scores.contiguous())
        except (*FAILURES, torch.jit.Error) as error:  # the last is what a network itself raises
            raise NetworkError(f"{_kind(error)}{plain(error)}") from error

    @property
    def kind(self) -> str:
        """The device without its number."""
        return str(self._place.type)

    def settle(self, arrays: Sequence[Array], index: OutputIndex) -> Array:
        """A pass that settles the order of numbers in memory.

        Channels last is what convolutions run fastest on; some networks cannot take it.

        Raises:
            NetworkError: when the network takes neither.
        """
        import torch  # noqa: PLC0415 - loaded already

        try:
            return self.run(arrays, index)
        except NetworkError:
            self._order = torch.contiguous_format
            return self.run(arrays, index)

    def upload(self, stored: npt.NDArray[Any]) -> Array:
        """A copy on the device, through memory that it reads by itself.

        Numbers keep their size on the way: most rasters are smaller than their float32.
        """
        import torch  # noqa: PLC0415 - loaded already

        kind = stored.dtype if stored.dtype.name in MOVED else np.dtype(np.float32)
        numbers = np.array(stored, kind, order="C")
        is_unsigned = kind == np.uint16  # which devices can hold, but not compute with
        copy = torch.from_numpy(numbers.view(np.int16) if is_unsigned else numbers)
        if self.kind == CUDA:
            copy = copy.pin_memory()
        there = copy.to(self._place, non_blocking=True)
        return there.to(torch.int32) & LARGEST_UINT16 if is_unsigned else there

    def _taken(self, array: Array) -> Any:
        """In the order that the network likes; a copy, since networks may change what they take."""
        import torch  # noqa: PLC0415 - loaded already

        order = self._order if array.ndim == RANK else torch.contiguous_format
        if isinstance(array, torch.Tensor):
            return array.clone(memory_format=order)
        copy = torch.from_numpy(np.array(array)).contiguous(memory_format=order)
        return copy.to(self._place)


def open_torch(card: ModelCard, path: Path, device: str, threads: int) -> NetworkModel:
    """See ``runtime.open_model``."""
    content = read_checked(card, path)
    try:
        from engine.models.torch_devices import devices_for  # noqa: PLC0415 - loads torch
        from engine.models.torch_settings import settle  # noqa: PLC0415 - loads torch
    except ImportError as error:
        raise missing(card, "PyTorch", "scripts/environment --torch") from error
    names = devices_for(device)
    settle()
    module = load_module(card, content)
    notes: list[str] = []
    for name in names[:-1]:
        try:
            return _opened(card, module, name, threads, ())
        except EngineError as error:
            notes.append(f"{name} could not be used: {error.message}")
    try:
        return _opened(card, module, names[-1], threads, tuple(notes))
    except EngineError as error:
        if names[-1] == CPU or error.code is ErrorCode.MODEL_INVALID:
            raise
        raise unavailable(names[-1], error.message.rstrip(".")) from error


def _opened(
    card: ModelCard, module: Any, device: str, threads: int, notes: tuple[str, ...]
) -> NetworkModel:
    """The model on one device, after a trial."""
    try:
        network = TorchNetwork(module, device, threads)
    except FAILURES as error:
        raise run_failed(card, f"{_kind(error)}{plain(error)}") from error
    check_ports(card, network)
    rule = card.tiling
    edge = -(-(2 * rule.margin + rule.stride) // rule.stride) * rule.stride
    edge = rule.size if rule.fixed else min(edge, rule.size)
    tile = noise(card, edge)
    order = axes(OURS, card.input.axes)
    try:
        turned = [a.transpose(order) if a.ndim == RANK else a for a in tile]
        network.settle(turned, card.output.index)
        stays = network.kind in KEPT_ON
        model = NetworkModel(card, network, notes, network.upload if stays else in_place)
        scores = in_memory(model.predict(*(model.upload(array) for array in tile)))
    except NetworkError as error:
        failure = run_failed(card, str(error))
        if device != CPU or failure.code is ErrorCode.OUT_OF_MEMORY:
            raise failure from error
        raise broken(card, f"on a tile as its card has them, {error}") from error
    if device != CPU and not np.isfinite(scores).all():
        raise run_failed(card, "it gives scores that are no finite numbers there")
    return model


def _one_of(found: Any, index: OutputIndex) -> Any:
    """One of a network's outputs, or several joined."""
    several = found if isinstance(found, (tuple, list)) else (found,)
    for number in (index,) if isinstance(index, int) else index:
        if not -len(several) <= number < len(several):
            raise NetworkError(f"it gives {len(several)} outputs, not one of number {number}")
    return chosen(several, index)


def _kind(error: Exception) -> str:
    """Memory errors of their own class have no text that tells them."""
    return "MemoryError " if isinstance(error, MemoryError) else ""


def load_module(card: ModelCard, content: bytes) -> Any:
    """The network of a file's content, on the CPU.

    Raises:
        EngineError: ``MODEL_INVALID``, ``MODEL_UNSUITABLE``.
    """
    from engine.models.torch_graph import load_program  # noqa: PLC0415 - loads torch
    from engine.models.torch_script import load_script  # noqa: PLC0415 - loads torch
    from engine.models.torch_smp import load_smp  # noqa: PLC0415 - optional

    try:
        if card.file.format == "torchscript":
            return load_script(content)
        if card.file.format == "pt2":
            return load_program(content)
        return load_smp(content, card.file.network)
    except ImportError as error:
        what = f"segmentation-models-pytorch ({error})"
        raise missing(card, what, "pip install segmentation-models-pytorch") from error
    except FAILURES as error:
        raise broken(card, plain(error)) from error
