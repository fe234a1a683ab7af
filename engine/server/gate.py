"""Who may talk to the engine: programs of this machine that have read the connection file."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.contract.errors import ErrorCode, ErrorInfo
from engine.contract.places import PROTOCOL_HEADER, TOKEN_HEADER
from engine.contract.version import PROTOCOL, is_compatible
from engine.server.wire import refuse


class Gate:
    """Middleware that turns away web pages, foreign names of this machine, and strangers."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return
        error = self._objection(Headers(scope=scope))
        answer = self._app if error is None else refuse(error)
        await answer(scope, receive, send)

    def _objection(self, headers: Headers) -> ErrorInfo | None:
        if "origin" in headers:
            return _forbidden("Web pages may not talk to the engine.")
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return _forbidden("The engine answers to its own address only.")
        token = headers.get(TOKEN_HEADER, "").encode("utf-8", "surrogateescape")
        if not secrets.compare_digest(token, self._token):
            return ErrorInfo(
                ErrorCode.UNAUTHORIZED,
                "The request does not carry this engine's token.",
                "Read the token from the connection file in the state folder.",
            )
        theirs = headers.get(PROTOCOL_HEADER, PROTOCOL)
        return None if is_compatible(theirs) else _mismatch(theirs)


def _forbidden(message: str) -> ErrorInfo:
    return ErrorInfo(
        ErrorCode.FORBIDDEN, message, "Use the address in the connection file, without Origin."
    )


def _mismatch(theirs: str) -> ErrorInfo:
    return ErrorInfo(
        ErrorCode.PROTOCOL_MISMATCH,
        f"The engine speaks protocol {PROTOCOL}, the request protocol {theirs[:20]}.",
        "Install the plugin and the engine of the same release.",
    )
