"""What the pipeline asks of a task: what becomes of a network's numbers."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array
from engine.models.card import ModelCard

Bands = npt.NDArray[Any]

Detail = Literal["class", "confidence", "every"]
"""What is wanted beside the class: nothing, its probability, or that of every class too."""


class Task(Protocol):
    """Decides on merged scores. Pure functions of arrays, which stay where they lie."""

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

    def activate(self, raw: Array) -> Array:
        """The network's numbers ``[N, C, H, W]`` as ones that may be averaged over tiles."""
        ...

    def decide(self, scores: Array, valid: npt.NDArray[np.bool_], detail: Detail) -> Array:
        """The bands ``[B, H, W]`` of scores ``[K, H, W]``; those of ``empty`` where not ``valid``.

        Raises:
            EngineError: ``MODEL_FAILED`` when the model gave no numbers.
        """
        ...


def task_for(card: ModelCard) -> Task:
    """The task that a model's output is made for."""
    from engine.tasks.comparison import ComparisonTask  # noqa: PLC0415 - they know this module
    from engine.tasks.segment import SegmentTask  # noqa: PLC0415
    from engine.tasks.semantic_change import SemanticChangeTask  # noqa: PLC0415
    from engine.tasks.similarity import SimilarityTask  # noqa: PLC0415
    from engine.tasks.transition import TransitionTask  # noqa: PLC0415
    from engine.tasks.values import ValuesTask  # noqa: PLC0415

    if card.file.format == "transition":
        return TransitionTask(card)
    if card.file.format == "difference":
        return ComparisonTask(card)
    if card.output.semantic_change is not None:
        return SemanticChangeTask(card)
    if card.output.classes:
        return SegmentTask(card)
    return SimilarityTask(card) if card.output.query else ValuesTask(card)
