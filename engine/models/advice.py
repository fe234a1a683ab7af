"""Whether a card's tiling suits the network that it describes, and which one would."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.models.card import MergeRule, ModelCard
from engine.models.receptive import ReceptiveField


@dataclass(frozen=True)
class Advice:
    """What a card should say of tiling, and what is wrong with what it says."""

    merge: MergeRule
    margin: int | None
    """Pixels, in whole strides; None: no margin is enough, and scores had better fade."""
    stride: int | None
    """None: it could not be told."""
    warnings: tuple[str, ...]
    """Sentences: what will show in the map; none when the card is safe."""
    notes: tuple[str, ...]
    """Sentences: what is good to know."""


def advise(card: ModelCard, field: ReceptiveField) -> Advice:
    """Compare a card with its network's measured receptive field."""
    if field.margin is None or field.stride is None:
        return _unbounded(card, field)
    margin = math.ceil(field.margin / field.stride) * field.stride
    warnings, notes = [], []
    if card.merge == "weighted":
        notes.append(f'With "merge": "crop" and a margin of {margin}, tiles agree without a fade.')
    elif field.class_margin is None or card.tiling.margin < field.class_margin:
        warnings.append(_seams(card, field, margin))
    elif card.tiling.margin < field.margin:
        notes.append(_only_classes(card, margin))
    if card.tiling.stride % field.stride:
        warnings.append(_askew(card, field.stride))
    return Advice("crop", margin, field.stride, tuple(warnings), tuple(notes))


def _unbounded(card: ModelCard, field: ReceptiveField) -> Advice:
    sight = (
        f"Scores depend on the whole tile, even in the middle of {field.size} x {field.size} "
        "pixels: no margin makes tiles agree"
    )
    if card.merge == "weighted":
        return Advice("weighted", None, None, (), (f"{sight}, and the card lets them fade.",))
    warning = f'{sight}, and seams will show. Let the card say "merge": "weighted".'
    return Advice("weighted", None, None, (warning,), ())


def _seams(card: ModelCard, field: ReceptiveField, margin: int) -> str:
    return (
        f"Seams will show: beyond the card's margin of {card.tiling.margin}, another tile gives "
        f"{100 * field.differing:.2g} % of a made-up landscape another class. Equal classes need "
        f"a margin of {field.class_margin}, equal scores one of {margin}."
    )


def _only_classes(card: ModelCard, margin: int) -> str:
    return (
        f"The card's margin of {card.tiling.margin} makes classes equal, but for one pixel in "
        f"10,000; equal scores need {margin}."
    )


def _askew(card: ModelCard, stride: int) -> str:
    return (
        f"The card's stride of {card.tiling.stride} is no multiple of the network's, {stride}: "
        "tiles see the same pixels differently, and seams will show."
    )
