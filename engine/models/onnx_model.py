"""ONNX models through ONNX Runtime."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard
from engine.models.checksum import mismatch
from engine.models.onnx_file import has_external_data

F32 = npt.NDArray[np.float32]
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
ERRORS_ONLY = 3
"""ONNX Runtime's severity; warnings tell users nothing."""
RANK = 4
BATCH, CHANNELS = 0, 1
ORT_FAILURES = tuple(
    kind
    for kind in vars(ort_errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""They have no common root."""


class OnnxModel:
    """A session with its card; see ``runtime.Model``."""

    def __init__(self, card: ModelCard, session: Any, device: str) -> None:
        self.card = card
        self.device = device
        self._session: Any = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self._step = _batch_step(session, device)

    def predict(self, batch: F32) -> F32:
        """See ``runtime.Model.predict``.

        On a CPU tiles go through one by one: that is no slower there, and a tile's scores are
        then the same to the bit whatever stands beside it.
        """
        self._check_batch(batch)
        step = self._step or len(batch)
        starts = range(0, len(batch), step or 1)
        scores = [self._run(batch[i : i + step], step) for i in starts]
        if not scores:
            return np.empty((0, len(self.card.output.classes), *batch.shape[2:]), np.float32)
        return scores[0] if len(scores) == 1 else np.concatenate(scores)

    def close(self) -> None:
        """Give the memory back."""
        self._session = None

    def _run(self, tiles: F32, step: int) -> F32:
        """One forward pass of ``step`` tiles; missing ones are filled up with zeros."""
        count = len(tiles)
        if count < step:
            tiles = np.concatenate([tiles, np.zeros((step - count, *tiles.shape[1:]), np.float32)])
        try:
            result = self._session.run([self._output], {self._input: np.ascontiguousarray(tiles)})
        except ORT_FAILURES as error:
            raise _run_failed(self.card, error) from error
        scores = np.asarray(result[0], np.float32)
        wanted = (step, len(self.card.output.classes), *tiles.shape[2:])
        if scores.shape != wanted:
            raise _unlike(self.card, f"gives scores of shape {scores.shape}", f"{wanted}")
        return scores[:count]

    def _check_batch(self, batch: F32) -> None:
        channels = len(self.card.input.bands)
        if batch.ndim != RANK or batch.shape[CHANNELS] != channels or batch.dtype != np.float32:
            raise EngineError(
                ErrorCode.MODEL_FAILED,
                f"The model {self.card.id} takes float32 [N, {channels}, H, W], "
                f"not {batch.dtype} {list(batch.shape)}.",
                "Choose the bands that the model was made for.",
            )


def open_onnx(card: ModelCard, path: Path, device: str, threads: int) -> OnnxModel:
    """See ``runtime.open_model``."""
    content = _read(card, path)
    session, used = _start(card, content, device, threads)
    _check_session(card, session)
    return OnnxModel(card, session, used)


def _read(card: ModelCard, path: Path) -> bytes:
    """The file's bytes: those that are checked here are those that run."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(
            ErrorCode.MODEL_NOT_INSTALLED,
            f"The file of the model {card.id}, {path}, cannot be read: {error.strerror or error}.",
            f"Install it again with `swath models install {card.id}`.",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != card.file.sha256:
        hint = f"Install it again with `swath models install {card.id}`, or correct its card."
        raise mismatch(str(path), card.file.sha256, found, hint)
    try:
        outside = has_external_data(content)
    except ValueError as error:
        raise _broken(card, str(error)) from error
    if outside:
        raise _broken(card, "it keeps numbers in other files, which no checksum covers")
    return content


def _start(card: ModelCard, content: bytes, device: str, threads: int) -> tuple[Any, str]:
    """A session on the device asked for, and the device that it got."""
    number = _cuda_number(device)
    if number is not None and CUDA in ort.get_available_providers():
        session = _try_cuda(content, number, threads)
        if session is not None:
            return session, f"cuda:{number}"
    if device not in ("auto", "cpu"):
        raise EngineError(
            ErrorCode.DEVICE_UNAVAILABLE,
            f"The device {device} cannot be used by this engine.",
            "Use --device cpu, or install an engine with GPU support and a driver for the GPU.",
        )
    try:
        session = _session(content, [CPU], threads)
    except ORT_FAILURES as error:
        raise _broken(card, _first_line(error)) from error
    return session, "cpu"


def _cuda_number(device: str) -> int | None:
    """Which GPU may be tried; None: none."""
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", device)
    if match is None and device != "cpu":
        raise EngineError(
            ErrorCode.DEVICE_UNAVAILABLE,
            f"«{device}» is not a device.",
            "Devices are auto, cpu, cuda, cuda:1 and so on.",
        )
    return None if match is None else int(match[1] or 0)


def _try_cuda(content: bytes, number: int, threads: int) -> Any | None:
    """A session on a GPU; None when its libraries, its driver or the GPU itself are not there."""
    options = {"device_id": str(number), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    try:
        session = _session(content, [(CUDA, options), CPU], threads)
    except ORT_FAILURES:
        return None
    return session if CUDA in session.get_providers() else None


def _session(content: bytes, providers: Sequence[Any], threads: int) -> Any:
    _quiet()
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = max(threads, 1)
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # spinning threads would take the processor from the reading and writing ones
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(content, options, providers=providers)


@functools.cache
def _quiet() -> None:
    ort.set_default_logger_severity(ERRORS_ONLY)


def _check_session(card: ModelCard, session: Any) -> None:
    """Compare what the file says of itself with the card.

    Raises:
        EngineError: ``MODEL_INVALID``.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        raise _unlike(card, f"takes {len(inputs)} inputs", "one")
    edges = [card.tiling.size] * 2 if card.tiling.fixed else [None, None]
    _check_port(card, "takes", inputs[0], [len(card.input.bands), *edges])
    _check_port(card, "gives", outputs[0], [len(card.output.classes), *edges])


def _check_port(card: ModelCard, verb: str, port: Any, wanted: list[int | None]) -> None:
    """Compare one input or output; a length that the file leaves open fits any."""
    if port.type != "tensor(float)":
        raise _unlike(card, f"{verb} {port.type}", "tensor(float)")
    lengths = port.shape[CHANNELS:]
    pairs = zip(lengths, wanted, strict=False)
    fits = all(not isinstance(a, int) or a == b for a, b in pairs)
    if len(port.shape) != RANK or not fits:
        shown = ["N", *("any" if w is None else w for w in wanted)]
        raise _unlike(card, f"{verb} {port.shape}", str(shown))


def _batch_step(session: Any, device: str) -> int:
    """Tiles a forward pass: as many as the file fixes, one on a CPU, else 0 for all at once."""
    fixed = session.get_inputs()[0].shape[BATCH]
    if isinstance(fixed, int) and fixed > 0:
        return fixed
    return 1 if device == "cpu" else 0


def _unlike(card: ModelCard, does: str, wanted: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The file of the model {card.id} {does}; its card says {wanted}.",
        "Correct the model's card, or take the file that it was written for.",
    )


def _broken(card: ModelCard, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The file of the model {card.id} cannot be run: {why}.",
        "Take another file or another model.",
    )


def _run_failed(card: ModelCard, error: Exception) -> EngineError:
    text = str(error)
    if re.search(r"allocate memory|out.of.memory|bad_alloc", text, re.IGNORECASE):
        return EngineError(
            ErrorCode.OUT_OF_MEMORY,
            f"There was not enough memory to run the model {card.id}.",
            "Close other programs, use fewer threads, or use --device cpu.",
        )
    return EngineError(
        ErrorCode.MODEL_FAILED,
        f"The model {card.id} failed: {_first_line(error)}.",
        "Check that the model's card belongs to its file, or use another model.",
    )


def _first_line(error: Exception) -> str:
    """What ONNX Runtime says, without its codes and without paths of its sources."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return text.replace(os.sep + "onnxruntime_src", "").rstrip(".")[:300]
