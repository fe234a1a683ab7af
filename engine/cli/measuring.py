"""What ``swath models measure`` found, in lines."""

from __future__ import annotations

from engine.cli.printing import columns
from engine.models.advice import Advice
from engine.models.card import ModelCard
from engine.models.measure import Measurement
from engine.models.receptive import ReceptiveField

MIB = 2**20
MEGAPIXEL = 1e6


def speed_lines(speed: Measurement) -> list[str]:
    """Speed and memory by tile size."""
    rows = [("tile", "seconds a megapixel", "memory")]
    for point in speed.points:
        seconds = point.seconds / speed.threads / point.size**2 * MEGAPIXEL
        rows.append((f"{point.size}", f"{seconds:.3g}", f"{point.memory / MIB:,.0f} MiB"))
    table = columns(rows, right=frozenset({0, 1, 2}))
    return [f"On {speed.device}, {speed.threads} tiles at a time:", "", *table, ""]


def field_lines(card: ModelCard, field: ReceptiveField, advice: Advice) -> list[str]:
    """The receptive field beside the card's tiling, and what to think of it."""
    rule = card.tiling
    rows = [
        ("", "measured", "card"),
        ("margin for equal classes", _pixels(field.class_margin), ""),
        ("margin for equal scores", _pixels(field.margin), f"{rule.margin}"),
        ("stride", "unknown" if field.stride is None else f"{field.stride}", f"{rule.stride}"),
        ("merge", advice.merge, card.merge),
    ]
    verdict = [*(f"warning: {text}" for text in advice.warnings), *advice.notes]
    table = columns(rows, right=frozenset({1, 2}))
    return [*table, "", *(verdict or ["The card's tiling is safe."])]


def _pixels(margin: int | None) -> str:
    return "no end" if margin is None else f"{margin}"
