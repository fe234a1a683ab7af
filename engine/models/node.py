"""One value inside a JSON document, with the path that leads to it: for exact refusals."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from engine.contract.errors import EngineError, ErrorCode

SHOWN = 60
"""Characters of a wrong value that an error shows."""
LARGEST = sys.float_info.max
UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""What no file name, no JSON and no terminal can be given; line breaks and tabs are no harm."""


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value and where it stands; every reader below refuses what is not its type."""

    value: Any
    path: str
    """``$`` for the document, then ``.key`` and ``[index]``."""
    origin: str
    """What the document is, for people: a card's file name."""
    kind: str = "model card"

    def __getitem__(self, key: str) -> Node:
        """The member ``key`` of an object; its absence is an error only when it is read."""
        members = self._typed(dict, "an object")
        return replace(self, value=members.get(key), path=f"{self.path}.{key}")

    def __contains__(self, key: str) -> bool:
        return key in self._typed(dict, "an object")

    def items(self) -> tuple[Node, ...]:
        """The elements of a list."""
        values = self._typed(list, "a list")
        named = ((f"{self.path}[{i}]", value) for i, value in enumerate(values))
        return tuple(replace(self, value=value, path=path) for path, value in named)

    def text(self) -> str:
        """A string that is not blank."""
        value: str = self._typed(str, "a text")
        if UNFIT.search(value):
            self.refuse("a text without control characters and halves of characters")
        return value if value.strip() else self.refuse("a text that is not empty")

    def matching(self, pattern: str, wanted: str) -> str:
        """A string that ``pattern`` matches in full."""
        value = self.text()
        return value if re.fullmatch(pattern, value) else self.refuse(wanted)

    def one_of(self, allowed: Sequence[str]) -> str:
        """One of a closed set of strings."""
        value = self.text()
        return value if value in allowed else self.refuse(f"one of {', '.join(allowed)}")

    def number(self) -> float:
        """A finite number."""
        ok = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        if not ok or not abs(self.value) <= LARGEST:  # as NaN is not, nor what no float can hold
            self.refuse("a number")
        return float(self.value)

    def positive(self) -> float:
        """A number above zero."""
        value = self.number()
        return value if value > 0 else self.refuse("a number above 0")

    def integer(self, least: int, most: int | None = None) -> int:
        """A whole number between two bounds, both allowed."""
        value = self.value
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            bounds = f"from {least}" if most is None else f"from {least} to {most}"
            self.refuse(f"a whole number {bounds}")
        return int(value)

    def flag(self) -> bool:
        """True or false."""
        return bool(self._typed(bool, "true or false"))

    def texts(self) -> tuple[str, ...]:
        """A list of strings; an absent one is empty."""
        return () if self.value is None else tuple(n.text() for n in self.items())

    def span(self) -> tuple[float, float]:
        """Two numbers, the first below the second."""
        numbers = [n.number() for n in self.items()]
        if len(numbers) != len(("low", "high")) or not numbers[0] < numbers[1]:
            self.refuse("two numbers, the smaller one first")
        return numbers[0], numbers[1]

    def refuse(self, wanted: str) -> NoReturn:
        """Say what should stand here instead.

        Raises:
            EngineError: ``MODEL_INVALID``, always.
        """
        shown = "nothing" if self.value is None else repr(self.value)
        shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
        raise EngineError(
            ErrorCode.MODEL_INVALID,
            f"The {self.kind} {self.origin} is wrong: {self.path} should be {wanted}, not {shown}.",
            f"Correct the {self.kind.split()[-1]}, or use a model of the catalogue.",
        )

    def _typed(self, kind: type, wanted: str) -> Any:
        if not isinstance(self.value, kind):
            self.refuse(wanted)
        return self.value
