"""What the codes of two class maps mean together, and how a pixel's pair of them is kept."""

from __future__ import annotations

import colorsys
import functools
import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from engine.contract.codec import from_plain
from engine.contract.messages import ModelClass

Pairs = npt.NDArray[np.uint32]
"""The codes of both dates in one number, see ``paired``."""
I64 = npt.NDArray[np.int64]

LARGEST = 65_534
"""Codes go from 0 to this."""
NO_PAIR = 0xFFFF_FFFF
_SHIFT = 1 << 16
_GOLDEN = 0.618033988749895
"""Of a turn: hues so far apart from each other stay different however many there are."""
ARROW = "→"


@dataclass(frozen=True)
class Transition:
    """One legend for both dates, and how the codes of the second are found in it."""

    classes: tuple[ModelClass, ...] = ()
    """By code; a name or colour that nobody knows is ""."""
    renumber: tuple[tuple[int, int], ...] = ()
    """Codes of the second map and their codes in this legend, where these differ."""
    unclear: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """Codes of the first and of the second map that only the other map's legend names, and that
    may not be taken for the same since the maps number their classes differently."""

    def name(self, code: int) -> str:
        """The class, or its number where it has no name."""
        return (self._known.get(code) or ModelClass(code, "", "")).name or str(code)

    def color(self, code: int) -> str:
        """The colour of the legend, or one of this code's own."""
        known = self._known.get(code)
        return known.color if known and known.color else _own_color(code)

    def pair_name(self, before: int, after: int) -> str:
        """What a transition is called."""
        return f"{self.name(before)} {ARROW} {self.name(after)}"

    @property
    def largest(self) -> int:
        """The largest code that has a name."""
        return max((c.id for c in self.classes if c.name), default=0)

    def renumbered(self, after: I64) -> I64:
        """Codes of the second map, as this legend has them."""
        found = after.copy()
        for have, want in self.renumber:
            found[after == have] = want
        return found

    @functools.cached_property
    def _known(self) -> dict[int, ModelClass]:
        return {c.id: c for c in self.classes}


def paired(before: npt.NDArray[np.integer], after: npt.NDArray[np.integer]) -> Pairs:
    """One number for both codes."""
    found: Pairs = before.astype(np.uint32) * np.uint32(_SHIFT) + after.astype(np.uint32)
    return found


def split(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """The codes before and those after that ``paired`` joined."""
    before, after = np.divmod(pairs, np.uint32(_SHIFT))
    return before, after


def codes_of(pair: int) -> tuple[int, int]:
    """The codes before and after that ``paired`` joined."""
    return divmod(pair, _SHIFT)


def transition_to_json(transition: Transition) -> str:
    """As text, from which ``transition_from_json`` makes the same again."""
    return json.dumps(asdict(transition))


def transition_from_json(text: str) -> Transition:
    """What ``transition_to_json`` wrote.

    Raises:
        EngineError: ``REQUEST_INVALID`` when it was not written by it.
        ValueError: when it is no JSON.
    """
    return from_plain(Transition, json.loads(text))


def _own_color(code: int) -> str:
    red, green, blue = colorsys.hls_to_rgb((code * _GOLDEN) % 1, 0.5, 0.6)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
