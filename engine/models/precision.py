"""Which arithmetic a run gets, settled before it begins so that all its blocks have the same."""

from __future__ import annotations

from engine.contract.messages import Precision
from engine.models.card import ModelCard
from engine.models.devices import AUTO, COREML, CPU, CUDA, DIRECTML, OPENVINO

HAS_ONE = (COREML, DIRECTML)
"""Devices with one arithmetic only."""


def settle_precision(
    card: ModelCard, device: str, asked: Precision
) -> tuple[Precision, str | None]:
    """The precision that a model can be run with here, and a sentence when it is not that asked.

    Args:
        card: The model.
        device: As asked for.
        asked: ``exact``, or ``fast`` where that can be had.
    """
    if asked == "exact":
        return "exact", None
    reason = _why_not_fast(card, device)
    if reason is None:
        return "fast", None
    return "exact", f"Computed in float32 although --precision fast was asked for: {reason}."


def _why_not_fast(card: ModelCard, device: str) -> str | None:
    if card.file.format != "onnx":
        return "it is for ONNX models only"
    if device in HAS_ONE:
        return f"{device} has one arithmetic only"
    if device not in (AUTO, CPU, OPENVINO):
        return None
    from engine.models.onnx_providers import has_provider  # noqa: PLC0415 - loads onnxruntime
    from engine.models.openvino_network import why_not_bfloat16  # noqa: PLC0415 - may be missing

    if device == AUTO and has_provider(CUDA):
        return None
    return why_not_bfloat16()
