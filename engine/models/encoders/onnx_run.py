"""Encoders as ONNX files, as ``scripts/convert`` writes them: for engines without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from engine.contract.errors import EngineError, ErrorCode
from engine.models.encoders.series import F32, Inputs
from engine.models.onnx_providers import FATAL_ONLY, ORT_FAILURES, START_FAILURES


class OnnxRun:
    """Forward passes of a file on a CPU; an ``embedding.Run``.

    Raises:
        EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_INVALID``.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = FATAL_ONLY
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # spinning threads would take the processor from the reading and writing ones
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CPUExecutionProvider"]
        try:
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=providers)
        except OSError as error:
            raise _failed(ErrorCode.MODEL_NOT_INSTALLED, path, error) from error
        except START_FAILURES as error:
            raise _failed(ErrorCode.MODEL_INVALID, path, error) from error
        self._path = path
        self._takes = {port.name for port in self._session.get_inputs()}

    def __call__(self, inputs: Inputs) -> F32:
        """The file's answer.

        Raises:
            EngineError: ``MODEL_FAILED``.
        """
        given = {n: np.ascontiguousarray(a) for n, a in inputs.items() if n in self._takes}
        try:
            return np.asarray(self._session.run(None, given)[0], np.float32)
        except ORT_FAILURES as error:
            raise _failed(ErrorCode.MODEL_FAILED, self._path, error) from error


def _failed(code: ErrorCode, path: Path, error: Exception) -> EngineError:
    why = str(error).strip().splitlines()[0][:300]
    return EngineError(
        code,
        f"The encoder {path.name} cannot be run: {why}.",
        "Install the model again, or use another one.",
    )
