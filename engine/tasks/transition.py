"""Transitions: which class each pixel had at the first date, and which at the second."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.arrays import Array, in_memory
from engine.models.card import ModelCard
from engine.models.inline import inline_content
from engine.models.transition import (
    LARGEST,
    NO_PAIR,
    Pairs,
    Transition,
    paired,
    transition_from_json,
)
from engine.tasks.task import Detail

DATES = ("first", "second")
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def transition_of(card: ModelCard) -> Transition:
    """The legend of both dates: a network's classes, or what was found in two class maps."""
    if card.output.semantic_change is not None:
        return Transition(card.output.classes)
    content = inline_content(card.file.uri) or b"{}"
    return transition_from_json(content.decode())


@dataclass(frozen=True)
class TransitionTask:
    """See ``task.Task``: one band of both dates' codes, ``transition.paired``."""

    card: ModelCard

    def bands(self, detail: Detail) -> int:  # noqa: ARG002 - a transition has no detail
        """One."""
        return 1

    def empty(self, detail: Detail, shape: tuple[int, int]) -> Pairs:
        """No pair anywhere."""
        return np.full((self.bands(detail), *shape), NO_PAIR, np.uint32)

    def activate(self, raw: Array) -> Array:
        """The codes as they are."""
        return raw

    def decide(self, scores: Array, valid: Mask, detail: Detail) -> Array:
        """Pairs of the codes ``[2, H, W]``.

        Raises:
            EngineError: ``MODEL_UNSUITABLE`` for numbers that are no codes, or codes that only
                the other date's legend names where the two number their classes differently.
        """
        codes = in_memory(scores)[:, valid]
        for which, found in enumerate(codes):
            self._check(which, found)
        before, after = codes.astype(np.int64)
        pairs = self.empty(detail, valid.shape)
        pairs[0, valid] = paired(before, self.transition.renumbered(after))
        return pairs

    @functools.cached_property
    def transition(self) -> Transition:
        """What the card says of the codes."""
        return transition_of(self.card)

    def _check(self, which: int, codes: npt.NDArray[np.floating]) -> None:
        if not codes.size:
            return
        worst = codes.min() if codes.min() < 0 else codes.max()
        if not 0 <= worst <= LARGEST:
            raise EngineError(
                ErrorCode.MODEL_UNSUITABLE,
                f"The {DATES[which]} class map holds the number {worst:g}: codes of classes go "
                f"from 0 to {LARGEST}.",
                "Say which number stands for no data with --nodata, or give the classes other "
                "codes.",
            )
        unclear = np.isin(self.transition.unclear[which], codes)
        if unclear.any():
            code = self.transition.unclear[which][int(np.argmax(unclear))]
            raise EngineError(
                ErrorCode.MODEL_UNSUITABLE,
                f"The {DATES[which]} class map holds the code {code}, which its legend lacks, and "
                f"which in the other one's is «{self.transition.name(code)}»; the two number "
                "their classes differently, so it may mean anything.",
                "Give each map a legend that names all of its codes.",
            )
