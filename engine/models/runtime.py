"""What the pipeline runs, whatever library stands behind it."""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from engine.contract.messages import Precision
from engine.geo.arrays import Array
from engine.models.card import ModelCard

WITHOUT_NETWORK = ("difference", "transition", "response")
"""Formats of what the engine computes by itself."""


class Model(Protocol):
    """A network in memory. Safe to call from several threads."""

    @property
    def card(self) -> ModelCard:
        """What the network was made for."""
        ...

    @property
    def device(self) -> str:
        """The device really used: ``cpu``, ``cuda:0`` …, or another of ``devices.NAMES``."""
        ...

    @property
    def arithmetic(self) -> str:
        """What the device computes in: ``float32``, or what ``fast`` made of it."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: why another device was not used."""
        ...

    def upload(self, stored: npt.NDArray[Any]) -> Array:
        """Numbers of any type where the network computes: the same array, or a device's copy.

        Raises:
            EngineError: ``OUT_OF_MEMORY``.
        """
        ...

    def predict(self, *arrays: Array) -> Array:
        """Scores before activation.

        The scores of a tile do not depend on the other tiles of its batch.

        Args:
            arrays: What ``shapes.input_shapes`` says: for most models one, normalised float32
                ``[N, C, H, W]``, in memory or where ``upload`` brings them.

        Returns:
            float32 ``[N, K, H, W]`` where the arrays are, one channel a class or value; of two
            classes maybe just the second.

        Raises:
            EngineError: ``MODEL_FAILED``, ``MODEL_INVALID``, ``OUT_OF_MEMORY``.
        """
        ...

    def close(self) -> None:
        """Give the memory back; the model cannot be used afterwards."""
        ...


def open_model(
    card: ModelCard,
    path: Path,
    device: str = "auto",
    threads: int = 1,
    precision: Precision = "exact",
) -> Model:
    """Load the model's file, after checking that it is the one that the card promises.

    The format that the card states chooses the library.

    Args:
        card: The model's card.
        path: The model's file, as ``ModelStore.path`` gives it.
        device: One of ``devices.NAMES``; ``auto`` is a GPU when one can be used, else the CPU,
            and any other device is used or refused.
        threads: Threads of one ``predict`` on a CPU. On many tiles it is faster to call
            ``predict`` from several threads, each with one thread: they share the weights.
        precision: As ``precision.settle_precision`` has settled it; ``fast`` is refused where the
            device cannot.

    Raises:
        EngineError: ``MODEL_HASH_MISMATCH``, ``MODEL_INVALID``, ``MODEL_NOT_INSTALLED``,
            ``DEVICE_UNAVAILABLE``, ``MODEL_UNSUITABLE`` when the library is not installed.
    """
    if card.joining == "each":
        from engine.models.each_date import open_each  # noqa: PLC0415 - it knows this module

        return open_each(card, path, device, threads, precision)
    if card.file.format == "pair":
        from engine.models.pair_model import open_pair  # noqa: PLC0415 - as above

        return open_pair(card, path, device, threads, precision)
    if card.file.format in WITHOUT_NETWORK:
        return _without_network(card, path, device)
    if card.file.format != "onnx":
        from engine.models.torch_model import open_torch  # noqa: PLC0415 - loads PyTorch

        return open_torch(card, path, device, threads)
    from engine.models.onnx_model import open_onnx  # noqa: PLC0415 - loads onnxruntime

    return open_onnx(card, path, device, threads, precision)


def _without_network(card: ModelCard, path: Path, device: str) -> Model:
    """Arithmetic of our own."""
    if card.file.format == "difference":
        from engine.models.difference_model import open_difference  # noqa: PLC0415 - loads scipy

        return open_difference(card, path, device)
    if card.file.format == "transition":
        from engine.models.transition_model import open_transition  # noqa: PLC0415 - as above

        return open_transition(card, path, device)
    from engine.models.response_model import open_response  # noqa: PLC0415 - as above

    return open_response(card, path, device)


def runtime_version(card: ModelCard) -> str:
    """The library that runs a model, and which one: what was measured with another says nothing."""
    if card.file.format == "pair":
        from engine.models.pair import pair_of  # noqa: PLC0415 - for these alone

        return f"pair-{runtime_version(pair_of(card).network)}"
    if card.file.format == "onnx":
        import onnxruntime  # noqa: PLC0415 - its packages have several names

        with contextlib.suppress(PackageNotFoundError):  # it may be asked to run ONNX models too
            return f"ort{onnxruntime.__version__}-ov{version('openvino')}"
        return f"ort{onnxruntime.__version__}"
    try:
        return f"torch{version('torch')}"
    except PackageNotFoundError:
        return "none"


def used_device(model: Model) -> str:
    """The device and, where it is not float32, the arithmetic, for people and provenance."""
    plain = model.arithmetic == "float32"
    return model.device if plain else f"{model.device} ({model.arithmetic})"
