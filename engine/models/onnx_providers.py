"""The devices that ONNX Runtime can use, and its sessions on them.

``auto`` takes a GPU through CUDA when one works, else the CPU. Everything else has to be asked for:
TensorRT times its kernels when it starts, so that two runs may differ in their last digits; Core ML
and DirectML decide by themselves which processor computes what. Scores that depend on none of this
are worth more than a processor that may be faster.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from engine.contract.messages import Precision
from engine.models.card import OutputIndex
from engine.models.devices import AUTO, COREML, CPU, CUDA, DIRECTML, OPENVINO, TENSORRT, number_of
from engine.models.network import Network, NetworkError, Port, chosen

PROVIDERS = {
    CUDA: "CUDAExecutionProvider",
    TENSORRT: "TensorrtExecutionProvider",
    COREML: "CoreMLExecutionProvider",
    DIRECTML: "DmlExecutionProvider",
    CPU: "CPUExecutionProvider",
}
"""ONNX Runtime's names."""
FAST_ARITHMETIC = {CUDA: "TF32", TENSORRT: "float16"}
"""What GPUs compute faster than float32; the others have no choice to offer."""
FATAL_ONLY = 4
"""ONNX Runtime's severity: errors come as exceptions, and warnings tell users nothing."""
ORT_FAILURES: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""They have no common root."""
START_FAILURES: tuple[type[Exception], ...] = (*ORT_FAILURES, RuntimeError)
"""A plain one where TensorRT's libraries are missing."""
IN_SOURCES = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"|\S*/\S+\.(?:cc|h):\d+ [^()]*\((?:[^()]|\([^()]*\))*\)(?: const)?(?: \[with [^\]]*\])? "
    r"|\w+\.(?:cc|h):\d+ \w+ "
)
"""Codes, and functions with their files, which tell users nothing."""
_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}


@dataclass(frozen=True)
class Way:
    """One way to run a network."""

    name: str
    """The device, for people."""
    start: Callable[[bytes, int], Network]
    """Takes the file's bytes and the threads of a pass; raises ``NetworkError``."""
    is_sure: bool = False
    """Whether it needs no trial: ONNX Runtime on the CPU."""


def ways(device: str, precision: Precision) -> Iterator[Way]:
    """How a network may be run on the device asked for, the best way first."""
    name = device.partition(":")[0]
    if name in (AUTO, CUDA) and (name == CUDA or has_provider(CUDA)):
        yield _session_way(CUDA, number_of(device), precision)
    if name in (TENSORRT, COREML, DIRECTML):
        yield _session_way(name, 0, precision)
    if name == OPENVINO or (name in (AUTO, CPU) and precision == "fast"):
        yield Way(OPENVINO, functools.partial(_start_openvino, precision=precision))
    elif name in (AUTO, CPU):
        yield Way(CPU, functools.partial(_start_on, _Target(CPU)), is_sure=True)


def has_provider(name: str) -> bool:
    """Whether the ONNX Runtime that is installed knows a kind of device."""
    return PROVIDERS[name] in ort.get_available_providers()


class OrtNetwork:
    """A session; see ``network.Network``."""

    def __init__(self, session: Any, device: str, arithmetic: str) -> None:
        self.device = device
        self.arithmetic = arithmetic
        self.takes = tuple(_port(p) for p in session.get_inputs())
        self.gives = tuple(_port(p) for p in session.get_outputs())
        self._session = session
        self._inputs = [port.name for port in session.get_inputs()]
        self._outputs = [port.name for port in session.get_outputs()]
        # DirectML's sessions admit one caller at a time
        self._turn = threading.Lock() if device == DIRECTML else contextlib.nullcontext()

    def run(self, arrays: Sequence[npt.NDArray[Any]], index: OutputIndex = 0) -> npt.NDArray[Any]:
        """See ``network.Network.run``."""
        try:
            with self._turn:
                given = dict(zip(self._inputs, arrays, strict=True))
                result = self._session.run(self._wanted(index), given)
        except ORT_FAILURES as error:
            raise NetworkError(_plain(error)) from error
        several = tuple(range(len(result)))
        return np.asarray(chosen(result, 0 if len(several) == 1 else several))

    def _wanted(self, index: OutputIndex) -> list[str]:
        """Names of the outputs."""
        numbers = (index,) if isinstance(index, int) else index
        return [self._outputs[number] for number in numbers]


@dataclass(frozen=True)
class _Target:
    """A kind of device, which one of several, and how it is to compute."""

    name: str
    number: int = 0
    arithmetic: str = "float32"

    @property
    def device(self) -> str:
        return f"{self.name}:{self.number}" if self.name == CUDA else self.name

    @property
    def chain(self) -> list[Any]:
        """The provider with its options, and who does what it cannot."""
        fast = "0" if self.arithmetic == "float32" else "1"
        number = str(self.number)
        cuda = {"device_id": number, "use_tf32": fast, "cudnn_conv_algo_search": "HEURISTIC"}
        options = {
            CUDA: cuda,
            TENSORRT: {"device_id": number, "trt_fp16_enable": fast},
            COREML: {"ModelFormat": "MLProgram"},  # the older format computes in float16 at will
            DIRECTML: {"device_id": number},
            CPU: {},
        }
        first = (PROVIDERS[self.name], options[self.name])
        second = [(PROVIDERS[CUDA], cuda)] if self.name == TENSORRT and has_provider(CUDA) else []
        return [first, *second, *([] if self.name == CPU else [PROVIDERS[CPU]])]


def _session_way(name: str, number: int, precision: Precision) -> Way:
    arithmetic = FAST_ARITHMETIC.get(name, "float32") if precision == "fast" else "float32"
    target = _Target(name, number, arithmetic)
    return Way(target.device, functools.partial(_start_on, target))


def _start_openvino(content: bytes, threads: int, precision: Precision) -> Network:
    from engine.models.openvino_network import open_openvino  # noqa: PLC0415 - may be missing

    return open_openvino(content, threads, precision)


def _start_on(target: _Target, content: bytes, threads: int) -> Network:
    """A session on one kind of device, and never quietly on another."""
    wanted = PROVIDERS[target.name]
    if not has_provider(target.name):
        raise NetworkError(f"the ONNX Runtime that is installed here has no {wanted}")
    if target.name == TENSORRT and target.arithmetic == "float32":
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # its provider has no option of its own for this
    try:
        session = ort.InferenceSession(
            content, _options(threads), providers=target.chain, enable_fallback=0
        )
    except START_FAILURES as error:
        raise NetworkError(_plain(error)) from error
    if session.get_providers()[0] != wanted:
        raise NetworkError("the device, its driver or its libraries are missing")
    if not session.get_outputs():
        raise NetworkError("it gives no result")
    return OrtNetwork(session, target.device, target.arithmetic)


def _options(threads: int) -> Any:
    _quiet()
    options = ort.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.intra_op_num_threads = max(threads, 1)
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # a plan of memory for every shape of tile that comes along is kept for ever; without them the
    # largest tile's is all that there is, at the same speed; and DirectML cannot do with them
    options.enable_mem_pattern = False
    # spinning threads would take the processor from the reading and writing ones
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


@functools.cache
def _quiet() -> None:
    ort.set_default_logger_severity(FATAL_ONLY)


def _port(port: Any) -> Port:
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in port.shape)
    return Port(shape, _TYPES.get(port.type, port.type))


def _plain(error: Exception) -> str:
    """What ONNX Runtime says, in one line without its codes and the places in its sources."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return IN_SOURCES.sub("", text).rstrip(".")[:300]
