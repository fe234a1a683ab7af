"""Models so small that they stand in their cards: ``data:`` URIs (RFC 2397)."""

from __future__ import annotations

import base64
import binascii

PREFIX = "data:application/octet-stream;base64,"


def inline_uri(content: bytes) -> str:
    """A URI that holds a model's bytes."""
    return PREFIX + base64.b64encode(content).decode("ascii")


def is_inline(uri: str) -> bool:
    """Whether a URI holds a model's bytes itself."""
    return uri.startswith(PREFIX)


def inline_content(uri: str) -> bytes | None:
    """The bytes that a URI holds; None when it is one of another kind, or none."""
    if not is_inline(uri):
        return None
    try:
        return base64.b64decode(uri[len(PREFIX) :], validate=True)
    except binascii.Error:
        return None
