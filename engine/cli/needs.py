"""What a model takes and gives, in lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.models.card import ModelCard, ModelInput

Line = tuple[str, str]
NAMED_VALUES = 8
"""More of them are not listed one by one."""


def taken(card: ModelCard) -> list[Line]:
    """The rasters that a model takes."""
    if len(card.inputs) == 1 and not card.input.dates:
        return [("bands", ", ".join(card.input.bands)), ("numbers", _numbers(card.input))]
    return [(f"as {given.name}", _described(card, given)) for given in card.inputs]


def given(card: ModelCard) -> list[Line]:
    """The classes or values that come out."""
    output = card.output
    if output.classes:
        dates = "; of each date" if output.semantic_change else ""
        return [("classes", ", ".join(f"{c.id} {c.name}" for c in output.classes) + dates)]
    names = [f"{v.name} ({v.unit})" if v.unit else v.name for v in output.values]
    shown = ", ".join(names) if len(names) <= NAMED_VALUES else f"{names[0]} to {names[-1]}"
    edge = output.cell
    return [("values", f"{shown}, one for {edge} x {edge} pixels" if edge > 1 else shown)]


def _described(card: ModelCard, wanted: ModelInput) -> str:
    parts = [", ".join(wanted.bands), _numbers(wanted)]
    if wanted.dates:
        fewest, most = wanted.dates
        parts.append(f"{fewest} to {most} {card.timeline}")
    if wanted.is_optional:
        parts.append("may be left out")
    return "; ".join(parts)


def _numbers(wanted: ModelInput) -> str:
    return wanted.quantity.replace("_", " ")
