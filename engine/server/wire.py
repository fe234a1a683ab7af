"""Messages on the wire: JSON in, checked against the contract; JSON or an error out."""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable
from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.requests import Request
from starlette.responses import Response

from engine.contract.codec import to_plain
from engine.contract.errors import EngineError, ErrorCode, ErrorInfo
from engine.contract.messages import REQUESTS, SegmentRequest, Submission, TaskName

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
BODY_LIMIT = 1 << 20
"""Bytes of a request's body; a submission has a few thousand."""
DRAIN_LIMIT = 64 * BODY_LIMIT
"""Bytes that are read and dropped so that the sender gets to read the refusal."""

STATUS = {
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.JOB_NOT_FOUND: 404,
    ErrorCode.MODEL_NOT_FOUND: 404,
    ErrorCode.JOB_STATE: 409,
    ErrorCode.ENGINE_UNREACHABLE: 503,
    ErrorCode.PROTOCOL_MISMATCH: 409,
    ErrorCode.INTERNAL: 500,
    ErrorCode.STATE_UNUSABLE: 500,
    ErrorCode.MODEL_DOWNLOAD_FAILED: 502,
    ErrorCode.DISK_FULL: 507,
}
"""Everything else is the request's fault: 400."""


class TooLargeError(EngineError):
    """A body beyond the limit."""


def reply(message: Any, status: int = 200) -> Response:
    """A message as a response."""
    body = json.dumps(to_plain(message), ensure_ascii=False, separators=(",", ":"))
    return Response(body.encode(), status, media_type="application/json")


def refuse(error: ErrorInfo, status: int | None = None) -> Response:
    """An error as a response."""
    return reply({"error": error}, status or STATUS.get(error.code, 400))


async def read_message(request: Request, kind: type[T], default: T | None = None) -> T:
    """The message of class ``kind`` in the request's body; ``default`` when there is no body.

    Raises:
        EngineError: ``REQUEST_INVALID`` with the path of the first wrong value.
    """
    body = await _read_body(request)
    if not body and default is not None:
        return default
    return _validated(kind, body)


def _validated(kind: type[T], body: bytes) -> T:
    from pydantic import ValidationError  # noqa: PLC0415 - not before the first answer

    try:
        message: T = _adapter(cast("Hashable", kind)).validate_json(body, strict=True)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False)[0]) from None
    return message


async def read_submission(request: Request) -> Submission:
    """The submission in the request's body, whose task selects its request's shape.

    Raises:
        EngineError: ``REQUEST_INVALID`` with the path of the first wrong value.
    """
    return submission_in(await _read_body(request))


def submission_in(body: bytes) -> Submission:
    """The submission that JSON text describes.

    Raises:
        EngineError: ``REQUEST_INVALID`` with the path of the first wrong value.
    """
    kind = REQUESTS.get(_validated(_Head, body).task, SegmentRequest)
    whole = _validated(_shape(kind), body)
    return Submission(whole.task, whole.request, whole.label)


@dataclass(frozen=True)
class _Head:
    task: TaskName


@functools.cache
def _shape(kind: type) -> type[Any]:
    """A submission of one kind of request, for pydantic."""
    fields: list[Any] = [("task", TaskName), ("request", kind), ("label", str, field(default=""))]
    return make_dataclass("Submission", fields, frozen=True)


async def _read_body(request: Request) -> bytes:
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > DRAIN_LIMIT:
            break
        if size <= BODY_LIMIT:
            body += chunk
    if size > BODY_LIMIT:
        raise TooLargeError(
            ErrorCode.REQUEST_INVALID,
            f"The request's body is larger than {BODY_LIMIT} bytes.",
            "Send paths and settings; pixels stay in files.",
        )
    return bytes(body)


@functools.cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - not before the first answer

    return TypeAdapter(cast("type[Any]", kind))


def _invalid(error: Any) -> EngineError:
    path = "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error["loc"])
    return EngineError(
        ErrorCode.REQUEST_INVALID,
        f"{path}: {error['msg']}.",
        "Check the request against the contract of this engine's protocol version.",
    )
