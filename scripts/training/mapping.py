"""Maps whole mosaics with a written model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.encoder import MEAN, STD
from training.unet import STRIDE

AXES = {0: "batch", 2: "height", 3: "width"}
FREE = {"input": AXES, "output": AXES}
"""Axes of a written map model that have any length."""


def open_model(path: Path):  # noqa: ANN201 - onnxruntime has no types
    """An onnxruntime session on the CPU."""
    import onnxruntime  # noqa: PLC0415 - only measured with

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def scores_of(session, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:  # noqa: ANN001
    """Raw scores ``[K, H, W]`` of 8-bit pixels ``[3, H, W]``, the whole picture at once."""
    height, width = pixels.shape[1:]
    given = ((pixels / np.float32(255) - MEAN) / STD).astype(np.float32)
    padded = np.pad(given, ((0, 0), (0, -height % STRIDE), (0, -width % STRIDE)))
    scores: npt.NDArray[np.float32] = session.run(None, {"input": padded[None]})[0][0]
    return scores[:, :height, :width]
