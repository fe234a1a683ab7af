"""Checks on what a network gave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array, in_memory, namespace


def check_numbers(model: str, scores: Array, valid: npt.NDArray[np.bool_] | None = None) -> None:
    """Refuse scores ``[K, H, W]`` or ``[H, W]`` that are no numbers where there is data.

    Raises:
        EngineError: ``MODEL_FAILED``.
    """
    if not scores.shape[-1] * scores.shape[-2]:
        return
    xp = namespace(scores)
    if bool(xp.isfinite(xp.min(scores)) & xp.isfinite(xp.max(scores))):
        return
    if valid is not None and np.isfinite(in_memory(scores)[..., valid]).all():
        return
    raise EngineError(
        ErrorCode.MODEL_FAILED,
        f"The model {model} gave values that are not numbers.",
        "Check the input's scaling, or use another model or device.",
    )
