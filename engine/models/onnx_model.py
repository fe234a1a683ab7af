"""ONNX models, whichever runtime and device they run on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import Precision
from engine.models.card import ModelCard
from engine.models.channels import check_channels
from engine.models.content import read_checked
from engine.models.devices import AUTO, OPENVINO, check_device
from engine.models.independence import check_independent
from engine.models.network import NetworkError
from engine.models.network_model import NetworkModel
from engine.models.onnx_file import needs_of
from engine.models.onnx_providers import Way, ways
from engine.models.shapes import noise

LARGEST = 2**31 - 1
"""Bytes; no protocol buffer is larger."""


def open_onnx(
    card: ModelCard,
    path: Path,
    device: str,
    threads: int,
    precision: Precision = "exact",
    *,
    trusted: Collection[str] = (),
) -> NetworkModel:
    """See ``runtime.open_model``.

    Args:
        card: The model's card.
        path: The model's file.
        device: A name as ``devices.check_device`` allows it.
        threads: Of one pass on a CPU.
        precision: ``fast`` as ``precision.settle_precision`` has allowed it.
        trusted: sha256 of files that may call operators of other libraries.
    """
    check_device(device)
    content = _read(card, path, trusted)
    reasons: list[str] = []
    for way in ways(device, precision):
        notes = tuple(f"{reason} It runs on {way.name} instead." for reason in reasons)
        try:
            return _open(card, content, way, threads, notes)
        except EngineError as error:
            if error.code is not ErrorCode.DEVICE_UNAVAILABLE or device != AUTO:
                raise
            reasons.append(error.message)
    why = " ".join(reasons) or f"The ONNX model {card.id} cannot be run on {device}."
    hint = "Use --precision exact." if reasons else "Use --device auto."
    raise EngineError(ErrorCode.DEVICE_UNAVAILABLE, why, hint)


def _open(
    card: ModelCard,
    content: bytes,
    way: Way,
    threads: int,
    notes: tuple[str, ...],
) -> NetworkModel:
    """The model on one device, after a trial where it may not work."""
    try:
        network = way.start(content, threads)
    except NetworkError as error:
        if way.is_sure:
            raise _broken(card, str(error)) from error
        raise _no_device(card, way, str(error)) from error
    model = NetworkModel(card, network, notes)
    if not way.is_sure:
        _try_out(model, way)
    check_independent(model, model.batch or 2)
    return model


def _try_out(model: NetworkModel, way: Way) -> None:
    """One pass on a small tile of noise.

    Raises:
        EngineError: ``DEVICE_UNAVAILABLE`` when it fails, or gives what is no number.
    """
    card = model.card
    edge = card.tiling.padded(2 * card.tiling.margin + card.tiling.stride)
    try:
        scores = model.predict(*noise(card, edge))
    except EngineError as error:
        if error.code is ErrorCode.MODEL_INVALID:
            raise
        raise _no_device(card, way, error.message.rstrip(".")) from error
    if not np.isfinite(scores).all():
        raise _no_device(card, way, "it gives scores that are no finite numbers there")


def _read(card: ModelCard, path: Path, trusted: Collection[str]) -> bytes:
    """The file's bytes, with nothing in them that may not be loaded."""
    if path.is_file() and path.stat().st_size > LARGEST:
        raise _broken(card, "it is larger than 2 GiB, and so no ONNX file")
    content = read_checked(card, path)
    check_needs(card, content, is_trusted=card.file.sha256 in trusted)
    check_channels(card, content)
    return content


def check_needs(card: ModelCard, content: bytes, *, is_trusted: bool) -> None:
    """Refuse what would bring other files or other people's code along, before it is loaded."""
    try:
        needs = needs_of(content)
    except ValueError as error:
        raise _broken(card, str(error)) from error
    if needs.other_files:
        raise _broken(card, "it keeps numbers in other files, which no checksum covers")
    if needs.operators and not is_trusted:
        shown = ", ".join(repr(name)[1:-1] for name in needs.operators[:3])
        raise _broken(card, f"it calls operators that are not ONNX's own ({shown[:120]})")


def _broken(card: ModelCard, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The file of the model {card.id} cannot be run: {why}.",
        "Take another file or another model.",
    )


def _no_device(card: ModelCard, way: Way, why: str) -> EngineError:
    exact = " with --precision exact" if way.name == OPENVINO else ""
    return EngineError(
        ErrorCode.DEVICE_UNAVAILABLE,
        f"The model {card.id} cannot be run on {way.name}: {why}.",
        f"Use --device cpu{exact}, or install what the device needs.",
    )
