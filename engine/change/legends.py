"""The legends of two class maps as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.models.transition import Transition

Names = Mapping[int, str]


@dataclass(frozen=True)
class United:
    """Two legends as one, and how that was done."""

    transition: Transition
    sentence: str
    """For the user."""


def united(before: Sequence[ModelClass], after: Sequence[ModelClass]) -> United:
    """Find the classes of two legends in each other.

    Where both legends have names, classes of one name are one class, whatever their codes; where
    only one has, or none, codes tell.

    Args:
        before: Classes of the first map; names and colours that are not known are "".
        after: Those of the second.

    Raises:
        EngineError: ``REQUEST_INVALID`` when one code has two names, and neither of them is in
            the other legend: then nobody can tell whether the class was renamed.
    """
    first, second = _names(before), _names(after)
    moves = _moves(first, second) if first and second else {}
    classes = _merged(before, after, moves)
    moved = {code: to for code, to in moves.items() if code != to}
    named = {c.id for c in classes if c.name}
    unclear: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    if moved:
        unclear = (tuple(sorted(named - set(first))), tuple(sorted(named - set(second))))
    transition = Transition(tuple(classes), tuple(sorted(moved.items())), unclear)
    return United(transition, _sentence(first, second, moved))


def _names(classes: Sequence[ModelClass]) -> Names:
    return {c.id: c.name for c in classes if c.name}


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()


def _moves(first: Names, second: Names) -> dict[int, int]:
    """The code in the joint legend of each code that the second legend names."""
    code_of = {_fold(name): code for code, name in sorted(first.items(), reverse=True)}
    there = {_fold(name) for name in second.values()}
    free = max(*first, *second) + 1
    moves: dict[int, int] = {}
    for code, name in sorted(second.items()):
        here = first.get(code)
        if here is not None and _fold(here) == _fold(name):
            moves[code] = code
        elif _fold(name) in code_of:
            moves[code] = code_of[_fold(name)]
        elif here is None:
            moves[code] = code
        elif _fold(here) in there:
            moves[code], free = free, free + 1
        else:
            raise _two_names(code, here, name)
    return moves


def _merged(
    before: Sequence[ModelClass], after: Sequence[ModelClass], moves: Mapping[int, int]
) -> list[ModelClass]:
    """Every class once, by code; what the first legend says counts before the second's."""
    found = {c.id: c for c in before}
    for other in after:
        code = moves.get(other.id, other.id)
        if moves and other.id not in moves and code in found:
            continue  # a colour without a name, of a code that may be another class's
        here = found.get(code, ModelClass(code, "", ""))
        found[code] = ModelClass(code, here.name or other.name, here.color or other.color)
    return [found[code] for code in sorted(found)]


def _sentence(first: Names, second: Names, moved: Mapping[int, int]) -> str:
    if moved:
        listed = ", ".join(f"{code} is taken as {to}" for code, to in sorted(moved.items()))
        return f"The maps number their classes differently and are matched by name: {listed}."
    if first and second:
        return "The classes of both maps are matched by name and code."
    if first or second:
        which = "first" if first else "second"
        return f"Only the {which} map has class names; they are taken for both, code by code."
    return "Neither map has class names; codes stand for them."


def _two_names(code: int, here: str, there: str) -> EngineError:
    return EngineError(
        ErrorCode.REQUEST_INVALID,
        f"The two maps name one code differently: {code} is «{here}» in the first and «{there}» "
        "in the second, and neither name is in the other legend.",
        "Give both maps one legend (the class names in FILE.tif.aux.xml), or take it away from "
        "one of them if the codes mean the same.",
    )
