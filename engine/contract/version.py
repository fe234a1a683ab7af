"""The version of the protocol; it moves on its own, apart from the product's version."""

PROTOCOL = "1.0"
"""``major.minor``: a client and an engine understand each other when the majors are equal."""


def is_compatible(theirs: str) -> bool:
    """Whether a peer that speaks protocol ``theirs`` can be talked to."""
    return theirs.split(".", 1)[0] == PROTOCOL.split(".", 1)[0]
