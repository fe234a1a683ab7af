"""The closed set of things that can go wrong, and the one error that carries them."""

import enum
from dataclasses import dataclass


@enum.unique
class ErrorCode(str, enum.Enum):
    """Stable names: scripts and help pages rely on them; add, never rename."""

    # inputs
    INPUT_NOT_FOUND = "INPUT_NOT_FOUND"
    INPUT_UNREADABLE = "INPUT_UNREADABLE"
    INPUT_ROTATED = "INPUT_ROTATED"
    INPUT_GRID_MISMATCH = "INPUT_GRID_MISMATCH"
    BAND_MISSING = "BAND_MISSING"
    BAND_COUNT = "BAND_COUNT"
    BAND_UNKNOWN = "BAND_UNKNOWN"
    PROFILE_UNKNOWN = "PROFILE_UNKNOWN"
    PROFILE_PARAMETER = "PROFILE_PARAMETER"
    SCALE_UNKNOWN = "SCALE_UNKNOWN"
    SCALE_IMPLAUSIBLE = "SCALE_IMPLAUSIBLE"
    # regions
    EXTENT_INVALID = "EXTENT_INVALID"
    EXTENT_OUTSIDE = "EXTENT_OUTSIDE"
    MASK_EMPTY = "MASK_EMPTY"
    MASK_UNREADABLE = "MASK_UNREADABLE"
    CRS_MISSING = "CRS_MISSING"
    # layers of polygons
    LAYER_EMPTY = "LAYER_EMPTY"
    FIELD_MISSING = "FIELD_MISSING"
    CLASS_UNKNOWN = "CLASS_UNKNOWN"
    # plots
    FIELD_INVALID = "FIELD_INVALID"
    PLOTS_TOO_FEW = "PLOTS_TOO_FEW"
    # models
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    MODEL_NOT_INSTALLED = "MODEL_NOT_INSTALLED"
    MODEL_HASH_MISMATCH = "MODEL_HASH_MISMATCH"
    MODEL_INVALID = "MODEL_INVALID"
    MODEL_UNSUITABLE = "MODEL_UNSUITABLE"
    MODEL_DOWNLOAD_FAILED = "MODEL_DOWNLOAD_FAILED"
    MODEL_FAILED = "MODEL_FAILED"
    LICENCE_NOT_ACCEPTED = "LICENCE_NOT_ACCEPTED"
    DEVICE_UNAVAILABLE = "DEVICE_UNAVAILABLE"
    # outputs
    OUTPUT_EXISTS = "OUTPUT_EXISTS"
    OUTPUT_UNWRITABLE = "OUTPUT_UNWRITABLE"
    DISK_FULL = "DISK_FULL"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    # conversation
    REQUEST_INVALID = "REQUEST_INVALID"
    PROTOCOL_MISMATCH = "PROTOCOL_MISMATCH"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    # jobs and the engine itself
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_STATE = "JOB_STATE"
    STATE_LOCKED = "STATE_LOCKED"
    STATE_UNUSABLE = "STATE_UNUSABLE"
    CANCELLED = "CANCELLED"
    WORKER_DIED = "WORKER_DIED"
    ENGINE_NOT_FOUND = "ENGINE_NOT_FOUND"
    ENGINE_START_FAILED = "ENGINE_START_FAILED"
    ENGINE_UNREACHABLE = "ENGINE_UNREACHABLE"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True)
class ErrorInfo:
    """An error as it crosses the wire."""

    code: ErrorCode
    message: str
    """What happened and where, one sentence."""
    hint: str = ""
    """What to do about it, one sentence."""


class EngineError(Exception):
    """The root of everything that the engine raises on purpose; its text is fit for a user."""

    def __init__(self, code: ErrorCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> "tuple[type, tuple[ErrorCode, str, str]]":
        return type(self), (self.code, self.message, self.hint)

    @property
    def info(self) -> ErrorInfo:
        """The same as a message."""
        return ErrorInfo(self.code, self.message, self.hint)


class CancelledError(EngineError):
    """The user asked for the work to stop."""

    def __init__(
        self,
        code: ErrorCode = ErrorCode.CANCELLED,
        message: str = "The job was cancelled.",
        hint: str = "",
    ) -> None:
        super().__init__(code, message, hint)
