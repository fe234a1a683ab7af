"""What was typed becomes a request."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, NamedInput, Shard
from engine.jobs.submission import is_remote
from engine.models.catalogue import MODEL_SUFFIXES

_NEXT_BAND = re.compile(r",(?=[\w-]+=)")
_NAMED = re.compile(r"(?P<name>[\w-]+)(@(?P<date>[\d:T+Z-]+))?=(?P<file>.+)")
_SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")
_DURATION = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
CORNERS = 4


def absolute(path: str) -> str:
    """A path that means the same everywhere; ``/vsi…`` and URIs as they are."""
    return path if is_remote(path) else str(Path(path).expanduser().absolute())


def input_uris(names: Sequence[str]) -> tuple[str, ...]:
    """The inputs named; patterns that the shell left alone (Windows does) are filled in."""
    found: list[str] = []
    for name in names:
        is_pattern = glob.has_magic(name) and not is_remote(name) and not Path(name).exists()
        matches = sorted(glob.glob(name)) if is_pattern else []  # noqa: PTH207 - also absolute
        found += matches or [name]
    return tuple(absolute(name) for name in found)


def vector_reference(text: str) -> str:
    """``FILE`` or ``FILE|layername=NAME`` with the file's absolute path."""
    file, bar, rest = text.partition("|")
    return f"{absolute(file)}{bar}{rest}"


def model_reference(text: str) -> str:
    """A model's id, or the absolute path of a model or card file."""
    return absolute(text) if Path(text).suffix.lower() in (*MODEL_SUFFIXES, ".json") else text


def named_inputs(texts: Sequence[str], main: InputSpec) -> tuple[NamedInput, ...]:
    """Further inputs from ``NAME=FILE`` or ``NAME@DATE=FILE``, understood as the main scene is.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    return tuple(_named(text, main) for text in texts)


def _named(text: str, main: InputSpec) -> NamedInput:
    found = _NAMED.fullmatch(text)
    if found is None:
        raise wrong("--with", text, "after=july.tif or image@2024-07-31=july.tif")
    path, colon, profile = found["file"].partition("::")
    spec = InputSpec((absolute(path),), profile if colon else main.profile, date=found["date"])
    return NamedInput(found["name"], spec)


def bands_by_role(texts: Sequence[str]) -> dict[str, str]:
    """Bands from ``role=band,role=band``.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    pairs = [pair for text in texts for pair in _NEXT_BAND.split(text)]
    chosen = {}
    for pair in pairs:
        role, equals, band = pair.partition("=")
        if not (role.strip() and equals and band.strip()):
            raise wrong("--bands", pair, "blue=2,green=3")
        chosen[role.strip()] = band.strip()
    return chosen


def repeated(argv: Sequence[str], option: str = "--predictors") -> list[str]:
    """The arguments with an option of several values as that option several times."""
    taken: list[str] = []
    is_in = False
    for number, word in enumerate(argv):
        if word == "--":
            return [*taken, *argv[number:]]
        if word.startswith("-"):
            is_in = word == option
        elif is_in and taken[-1] != option:
            taken.append(option)
        taken.append(word)
    return taken


def split_bounds(argv: Sequence[str]) -> list[str]:
    """The arguments with ``--bounds W,S,E,N`` taken apart into four values.

    Raises:
        EngineError: ``REQUEST_INVALID`` when there are not four.
    """
    taken: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*taken, word, *rest]
        name, equals, value = word.partition("=")
        if name == "--bounds" and (equals or (rest and "," in rest[0])):
            taken += [name, *_four(value if equals else rest.pop(0))]
        else:
            taken.append(word)
    return taken


def _four(text: str) -> list[str]:
    values = text.replace(",", " ").split()
    if len(values) != CORNERS:
        raise wrong("--bounds", text, "WEST,SOUTH,EAST,NORTH")
    return values


def duration(text: str) -> timedelta:
    """A time such as ``7d``, ``12h`` or ``90m``.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise wrong("--older-than", text, "7d, 12h or 90m")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def shard(text: str | None) -> Shard | None:
    """A part of a run, such as ``1/2``.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    if text is None:
        return None
    match = _SHARD.fullmatch(text.strip())
    if match is None:
        raise wrong("--shard", text, "1/2")
    return Shard(int(match[1]), int(match[2]))


def wrong(option: str, got: str, example: str) -> EngineError:
    """The error of an option that cannot be understood."""
    return EngineError(
        ErrorCode.REQUEST_INVALID,
        f"{option} cannot be «{got}».",
        f"Write it like {example}.",
    )
