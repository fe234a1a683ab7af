"""Where a PyTorch model may run."""

from __future__ import annotations

import re

import torch

from engine.models.devices import AUTO, CPU, CUDA, MPS, check_device
from engine.models.torch_errors import unavailable


def devices_for(asked: str) -> tuple[str, ...]:
    """The devices to try in turn; for ``auto`` the first NVIDIA or AMD GPU, Apple's, the CPU.

    Raises:
        EngineError: ``DEVICE_UNAVAILABLE`` when the one asked for is not here.
    """
    if asked == AUTO:
        found = [("cuda:0", torch.cuda.is_available()), (MPS, torch.backends.mps.is_available())]
        return (*(name for name, is_here in found if is_here), CPU)
    if asked == CPU:
        return (CPU,)
    if asked == MPS:
        if not torch.backends.mps.is_available():
            raise unavailable(MPS, "this PyTorch finds no Apple GPU")
        return (MPS,)
    check_device(asked)
    match = re.fullmatch(rf"{CUDA}(?::(\d+))?", asked)
    if match is None:
        raise unavailable(asked, "PyTorch models run on cpu, cuda, cuda:1 … and mps")
    return (_cuda(int(match[1] or 0)),)


def _cuda(number: int) -> str:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        raise unavailable(f"cuda:{number}", f"this PyTorch finds {count} NVIDIA or AMD GPUs")
    return f"cuda:{number}"
