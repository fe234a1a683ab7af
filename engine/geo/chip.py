"""The only array that travels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.geo.window import Window


@dataclass(frozen=True, slots=True)
class Chip:
    """Pixels of one window."""

    data: npt.NDArray[Any]
    """``[C, H, W]``; what stands at invalid pixels has no meaning."""
    valid: npt.NDArray[np.bool_]
    """``[H, W]``, True where every band has data."""
    window: Window
    """Where the chip lies on its source's grid."""
