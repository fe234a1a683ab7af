"""What the pipeline runs, whatever library stands behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.models.card import ModelCard


class Model(Protocol):
    """A network in memory. Safe to call from several threads."""

    @property
    def card(self) -> ModelCard:
        """What the network was made for."""
        ...

    @property
    def device(self) -> str:
        """The device really used: ``cpu`` or ``cuda:`` and a number."""
        ...

    def predict(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores before activation.

        The scores of a tile do not depend on the other tiles of its batch.

        Args:
            batch: Normalised ``[N, C, H, W]``.

        Returns:
            ``[N, K, H, W]``, one channel a class.

        Raises:
            EngineError: ``MODEL_FAILED``, ``MODEL_INVALID``, ``OUT_OF_MEMORY``.
        """
        ...

    def close(self) -> None:
        """Give the memory back; the model cannot be used afterwards."""
        ...


def open_model(card: ModelCard, path: Path, device: str = "auto", threads: int = 1) -> Model:
    """Load the model's file, after checking that it is the one that the card promises.

    Args:
        card: The model's card.
        path: The model's file, as ``ModelStore.path`` gives it.
        device: ``auto`` (a GPU when one can be used, else the CPU), ``cpu``, ``cuda`` or
            ``cuda:N``.
        threads: Threads of one ``predict`` on a CPU. On many tiles it is faster to call
            ``predict`` from several threads, each with one thread: they share the weights.

    Raises:
        EngineError: ``MODEL_HASH_MISMATCH``, ``MODEL_INVALID``, ``MODEL_NOT_INSTALLED``,
            ``DEVICE_UNAVAILABLE``.
    """
    from engine.models.onnx_model import open_onnx  # noqa: PLC0415 - loads onnxruntime

    return open_onnx(card, path, device, threads)
