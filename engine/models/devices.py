"""The names of devices, as requests and options have them."""

from __future__ import annotations

import re

from engine.contract.errors import EngineError, ErrorCode

AUTO, CPU, CUDA, TENSORRT, MPS = "auto", "cpu", "cuda", "tensorrt", "mps"
COREML, DIRECTML, OPENVINO = "coreml", "directml", "openvino"
NAMES = (AUTO, CPU, CUDA, MPS, TENSORRT, COREML, DIRECTML, OPENVINO)
"""``cuda`` may be followed by a number, as in ``cuda:1``."""
_SAME = {TENSORRT: "cuda:0", CUDA: "cuda:0", OPENVINO: CPU}
"""Names that stand for a way to use a device that has another name too."""


def check_device(name: str) -> None:
    """Refuse a word that is no device's name; whether the device is there shows when it is used.

    Raises:
        EngineError: ``DEVICE_UNAVAILABLE``.
    """
    if name not in NAMES and not re.fullmatch(rf"{CUDA}:\d{{1,3}}", name):
        raise EngineError(
            ErrorCode.DEVICE_UNAVAILABLE,
            f"«{name}» is not a device.",
            f"Devices are {', '.join(NAMES)}, and cuda:1 and so on for more GPUs (--device).",
        )


def number_of(name: str) -> int:
    """Which of several GPUs a name means; the first when it does not say."""
    return int(name.partition(":")[2] or 0)


def plain_device(name: str) -> str:
    """One name for each device, whatever the way in which it is used."""
    return _SAME.get(name, name)
