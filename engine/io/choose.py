"""Which band a user or a model means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from engine.contract.errors import EngineError, ErrorCode
from engine.io.roles import STAND_INS, Clues
from engine.io.sensors import band_token
from engine.io.source import Band

Named = tuple[int, Clues, str]
"""A band's number, its clues and its name in a STAC item."""


def chosen_number(text: str, role: str, bands: Sequence[Named]) -> int:
    """The number of the band that the user calls ``text``.

    Args:
        text: A number from 1, a description, a file name or stem, or a sensor's band name.
        role: The role it is wanted for, for the message.
        bands: All bands.

    Raises:
        EngineError: ``BAND_COUNT`` for a number beyond the last band, ``BAND_UNKNOWN``.
    """
    text = text.strip()
    numbers = [number for number, _, _ in bands]
    if text.isdecimal():
        if int(text) not in numbers:
            raise EngineError(
                ErrorCode.BAND_COUNT,
                f"Band {text} was named as {role}, but the scene has {len(bands)} "
                f"band{'' if len(bands) == 1 else 's'}.",
                f"Name a band between 1 and {max(numbers)}.",
            )
        return int(text)
    exact = [n for n, clues, key in bands if text.lower() in _names(clues, key)]
    token = band_token(text)
    alike = [n for n, clues, _ in bands if token and token == _token(clues)]
    for found in (exact, alike):
        if len(found) == 1:
            return found[0]
    listed = ", ".join(f"{n} ({_shown(clues, key)})" for n, clues, key in bands[:30])
    why = "several bands are called" if exact else "no band is called"
    raise EngineError(
        ErrorCode.BAND_UNKNOWN,
        f"A band «{text}» was named as {role}, but {why} so.",
        f"Name the band by its number: {listed}.",
    )


def pick(roles: tuple[str, ...], bands: Sequence[Band]) -> tuple[int, ...]:
    """Positions of the bands with these roles, in this order.

    Raises:
        EngineError: ``BAND_MISSING``.
    """
    where = {band.role: i for i, band in enumerate(bands) if band.role}
    stand_in = {
        role: where[STAND_INS[role]]
        for role in roles
        if role not in where and STAND_INS.get(role) in where and STAND_INS[role] not in roles
    }
    missing = [role for role in roles if role not in where and role not in stand_in]
    if missing:
        raise _missing(missing, [r for r in where if r], len(bands))
    return tuple(where.get(role, stand_in.get(role, -1)) for role in roles)


def _missing(missing: Sequence[str], found: Sequence[str], count: int) -> EngineError:
    has = ", ".join(found) if found else "none that is known"
    unknown = count - len(found)
    more = ""
    if unknown:
        more = f", and {unknown} of unknown role" if found else f" ({unknown} of unknown role)"
    example = " ".join(f"--bands {role}=NUMBER" for role in missing)
    return EngineError(
        ErrorCode.BAND_MISSING,
        f"The model needs {', '.join(missing)}, which the scene does not have. Found: {has}{more}.",
        f"Name the band if it is there under another name, as in {example}.",
    )


def _names(clues: Clues, key: str) -> set[str]:
    path = PurePath(clues.file_name)
    return {n.lower() for n in (clues.description, clues.file_name, path.stem, key) if n}


def _token(clues: Clues) -> str:
    return band_token(clues.description) or band_token(PurePath(clues.file_name).stem)


def _shown(clues: Clues, key: str) -> str:
    return clues.description or key or clues.file_name or "unnamed"
