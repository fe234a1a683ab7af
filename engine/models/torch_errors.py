"""What PyTorch says when something fails, in words for people."""

from __future__ import annotations

import re

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard

FAILURES = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(AssertionError, MemoryError),
)
"""What loading or running a network raises when it does not fit what it is given."""


def missing(card: ModelCard, what: str, how: str) -> EngineError:
    """The model needs a library that the engine can do without."""
    return EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"The model {card.id} ({card.file.format}) needs {what}, which this engine has not.",
        f"Add it with {how}, or use an ONNX model.",
    )


def broken(card: ModelCard, why: str) -> EngineError:
    """The file is none that may or can be run."""
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The file of the model {card.id} cannot be run: {why}.",
        "Take another file or another model.",
    )


def unavailable(device: str, why: str) -> EngineError:
    """The device asked for cannot be used."""
    return EngineError(
        ErrorCode.DEVICE_UNAVAILABLE,
        f"The device {device} cannot be used for a PyTorch model: {why}.",
        "Use --device cpu, or install what the device needs.",
    )


def plain(error: Exception) -> str:
    """One line of what PyTorch says; TorchScript puts the cause last, the others first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    line = lines[-1] if "TorchScript" in lines[0] else lines[0]
    return re.sub(r"^\w*Error: ", "", line).rstrip(".")[:300]
