"""Checks on what a network gave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode


def check_numbers(
    model: str, scores: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_] | None = None
) -> None:
    """Refuse scores ``[K, H, W]`` or ``[H, W]`` that are no numbers where there is data.

    Raises:
        EngineError: ``MODEL_FAILED``.
    """
    if np.isfinite(scores.min(initial=0)) and np.isfinite(scores.max(initial=0)):
        return
    if valid is not None and np.isfinite(scores[..., valid]).all():
        return
    raise EngineError(
        ErrorCode.MODEL_FAILED,
        f"The model {model} gave values that are not numbers.",
        "Check the input's scaling, or use another model or device.",
    )
