"""What the pipeline asks of a task: what becomes of a network's numbers."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from engine.models.card import ModelCard

F32 = npt.NDArray[np.float32]
Bands = npt.NDArray[Any]

Detail = Literal["class", "confidence", "every"]
"""What is wanted beside the class: nothing, its probability, or that of every class too."""


class Task(Protocol):
    """Decides on merged scores. Pure functions of arrays."""

    @property
    def card(self) -> ModelCard:
        """The model."""
        ...

    def bands(self, detail: Detail) -> int:
        """How many bands ``decide`` gives."""
        ...

    def empty(self, detail: Detail, shape: tuple[int, int]) -> Bands:
        """The bands ``[B, H, W]`` of pixels without result."""
        ...

    def activate(self, raw: F32) -> F32:
        """The network's numbers ``[N, C, H, W]`` as ones that may be averaged over tiles."""
        ...

    def decide(self, scores: F32, valid: npt.NDArray[np.bool_], detail: Detail) -> Bands:
        """The bands ``[B, H, W]`` of scores ``[K, H, W]``; those of ``empty`` where not ``valid``.

        Raises:
            EngineError: ``MODEL_FAILED`` when the model gave no numbers.
        """
        ...


def task_for(card: ModelCard) -> Task:
    """The task that a model's output is made for."""
    from engine.tasks.segment import SegmentTask  # noqa: PLC0415 - they know this module
    from engine.tasks.values import ValuesTask  # noqa: PLC0415

    return SegmentTask(card) if card.output.classes else ValuesTask(card)
