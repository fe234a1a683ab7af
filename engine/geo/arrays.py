"""One arithmetic for arrays in memory (numpy) and on a device (PyTorch).

The functions are those that both libraries have by the Python array API standard; numpy has them
itself from 2.1 on. What is written with them runs where its arguments lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = Any
"""``numpy.ndarray`` or ``torch.Tensor``."""


def namespace(array: Array) -> Any:
    """The library of an array's functions, under the standard's names."""
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat  # noqa: PLC0415 - comes with PyTorch, and is slow to load

    return array_api_compat.array_namespace(array)


def beside(values: npt.NDArray[Any], array: Array) -> Array:
    """``values`` where ``array`` lies; themselves in memory."""
    if isinstance(array, np.ndarray):
        return values
    return namespace(array).asarray(values, device=array.device)


def in_memory(array: Array) -> npt.NDArray[Any]:
    """The array itself, or its copy from a device."""
    if isinstance(array, np.ndarray):
        return array
    found: npt.NDArray[Any] = array.cpu().numpy()
    return found
