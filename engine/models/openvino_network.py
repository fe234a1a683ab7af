"""ONNX networks through OpenVINO on the CPU: in bfloat16 where that is faster, or in float32.

OpenVINO is an optional package (the extra ``fast``). One network of free size is compiled once for
all sizes: compiling for each size is no faster to run, and every compilation holds its own weights.
"""

from __future__ import annotations

import functools
import os
import queue
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.messages import Precision
from engine.models.card import OutputIndex
from engine.models.devices import CPU
from engine.models.network import NetworkError, Port, chosen

TELEMETRY = "openvino_telemetry"
"""Package that tells OpenVINO's makers of every import; OpenVINO does without it."""
WORTH_IT = 1.25
"""Times as fast as float32 that bfloat16 must be. Processors without its instructions imitate it
at a third of the speed, and OpenVINO does not tell them from the others."""
PROBE_SHAPE, PROBE_LAYERS = (1, 64, 64, 64), 3
PROBE_PASSES, PROBE_ROUNDS = 5, 3
"""A pass takes hundredths of a second; Windows tells a process' time in 64ths of one."""
HINTS = {"fast": "bf16", "exact": "f32"}


class OpenVinoNetwork:
    """A compiled network with as many requests as callers; see ``network.Network``.

    Each request computes on threads of its own, ``threads`` of them, whatever the others do.
    """

    device = CPU

    def __init__(self, compiled: Any, arithmetic: str) -> None:
        self.arithmetic = arithmetic
        self.takes = tuple(_port(p) for p in compiled.inputs)
        self.gives = tuple(_port(p) for p in compiled.outputs)
        self._compiled = compiled
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()

    def run(self, arrays: Sequence[npt.NDArray[Any]], index: OutputIndex = 0) -> npt.NDArray[Any]:
        """See ``network.Network.run``."""
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            request.infer(dict(enumerate(arrays)))
            found = [request.get_output_tensor(n).data for n in range(len(self.gives))]
            return np.array(chosen(found, index))  # the request's memory is used again
        except (RuntimeError, TypeError, ValueError) as error:
            raise NetworkError(_plain(error)) from error
        finally:
            self._idle.put(request)


def open_openvino(content: bytes, threads: int, precision: Precision) -> OpenVinoNetwork:
    """Compile an ONNX file's bytes.

    Args:
        content: The file, whole.
        threads: Of one pass.
        precision: ``fast`` computes in bfloat16.

    Raises:
        NetworkError: without OpenVINO or bfloat16, or when it cannot compile the network.
    """
    reason = why_not_openvino()
    if reason is not None:
        raise NetworkError(reason)
    core = _core()
    if precision == "fast" and not _has_bfloat16():
        raise NetworkError("OpenVINO does not compute in bfloat16 on this processor")
    try:
        model = core.read_model(content)
        compiled = core.compile_model(model, "CPU", _settings(HINTS[precision], threads))
    except RuntimeError as error:
        raise NetworkError(_plain(error)) from error
    kind = "bfloat16" if precision == "fast" else "float32"
    return OpenVinoNetwork(compiled, f"{kind} by OpenVINO {openvino_version()}")


def openvino_version() -> str:
    """Of the package that is installed, such as ``2026.4.1``."""
    return str(_openvino().get_version()).partition("-")[0]


@functools.cache
def why_not_openvino() -> str | None:
    """Why OpenVINO cannot be used here; None when it can."""
    try:
        _core()
    except (ImportError, OSError):
        return "the package openvino is not installed in the engine's environment"
    except RuntimeError as error:
        return f"OpenVINO does not start here: {_plain(error)}"
    return None


@functools.cache
def why_not_bfloat16() -> str | None:
    """Why ``fast`` would not be fast here; None when it would. Takes a second, once.

    For plans, which settle the matter: whoever carries one out does as it says.
    """
    reason = why_not_openvino()
    if reason is not None:
        return reason
    slow = "this processor computes no faster in bfloat16 than in float32"
    return None if _has_bfloat16() and _gain() >= WORTH_IT else slow


def _has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 here, be it by imitation."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _openvino() -> Any:
    """The package, kept from telling anyone of its use."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault(TELEMETRY, None)  # makes its import fail
    import openvino  # noqa: PLC0415 - optional, and slow to load

    return openvino


@functools.cache
def _core() -> Any:
    return _openvino().Core()


def _settings(hint: str, threads: int) -> dict[str, Any]:
    """Single passes side by side, each on ``threads`` threads, on whatever processors are free."""
    streams = max((os.cpu_count() or 1) // max(threads, 1), 1)
    return {
        "INFERENCE_PRECISION_HINT": hint,
        "EXECUTION_MODE_HINT": "ACCURACY" if hint == "f32" else "PERFORMANCE",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * max(threads, 1),
        "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same processors
    }


def _gain() -> float:
    """How many times as fast as in float32 a few convolutions are in bfloat16."""
    exact, fast = (_probe(HINTS[name]) for name in ("exact", "fast"))
    rounds = [(_seconds(exact), _seconds(fast)) for _ in range(PROBE_ROUNDS)]
    return min(first for first, _ in rounds) / max(min(second for _, second in rounds), 1e-9)


def _probe(hint: str) -> Any:
    """A request that has been run once; the first time is no measure."""
    one = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
    compiled = _core().compile_model(_convolutions(), "CPU", {**_settings(hint, 1), **one})
    request = compiled.create_infer_request()
    request.infer({0: np.ones(PROBE_SHAPE, np.float32)})
    return request


def _seconds(request: Any) -> float:
    """Of some passes; the process' own time, which a busy machine does not lengthen."""
    start = time.process_time()
    for _ in range(PROBE_PASSES):
        request.infer()
    return time.process_time() - start


def _convolutions() -> Any:
    openvino = _openvino()
    ops = openvino.opset13
    channels = PROBE_SHAPE[1]
    weight = np.full((channels, channels, 3, 3), 1 / (9 * channels), np.float32)
    first = ops.parameter(list(PROBE_SHAPE), np.float32)
    last = first
    for _ in range(PROBE_LAYERS):
        last = ops.relu(ops.convolution(last, ops.constant(weight), [1, 1], [1, 1], [1, 1], [1, 1]))
    return openvino.Model([last], [first], "probe")


def _port(port: Any) -> Port:
    shape = tuple(n.get_length() if n.is_static else None for n in port.get_partial_shape())
    names = {"f32": "float32", "f16": "float16"}
    kind = port.get_element_type().get_type_name()
    return Port(shape, names.get(kind, kind))


def _plain(error: Exception) -> str:
    """The last line of what OpenVINO says; those before it name its own sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")[:300]
