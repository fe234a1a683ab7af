"""What a user says of a model: options, and answers to questions, as facts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import typer

from engine.cli.asking import wrong
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.models.card import Activation, Quantity, Transform, ValueBand
from engine.models.known import Known, classes_for, colour_of

if TYPE_CHECKING:
    from engine.models.told import Found
    from engine.models.trial import Trial

IMAGENET = Transform("z-score", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Means and deviations of ImageNet's pictures, red, green, blue from 0 to 1."""
WAYS = {
    "none": (),
    "0-1": (),
    "imagenet": (IMAGENET,),
    "0-255": (Transform("scale", (255.0,)),),
    "-1-1": (Transform("z-score", (0.5,), (0.5,)),),
}
"""Normalisations that have a name."""
COLOUR = re.compile(r"(.+?)(#[0-9A-Fa-f]{6})")
USUAL_BANDS = {1: "pan", 3: "red,green,blue", 4: "red,green,blue,nir"}


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to know of a model."""

    option: str
    example: str
    words: str
    read: Callable[[str], Any]
    more: str = ""
    """What a terminal says besides."""


def understood(texts: Mapping[str, Any]) -> Known:
    """The options that were given, as facts.

    Raises:
        EngineError: ``REQUEST_INVALID`` for what cannot be understood.
    """
    facts: dict[str, Any] = {}
    for name, text in texts.items():
        if text is not None:
            facts[name] = QUESTIONS[name].read(text) if name in QUESTIONS else text
    known = Known(**facts)
    _check_columns(known)
    return known


def only(known: Known, name: str) -> Known:
    """The same without values where classes were named, and the other way round."""
    return replace(known, **{"values" if name == "classes" else "classes": None})


def check_complete(found: Found, known: Known) -> None:
    """Refuse to go on without facts that only a user knows.

    Raises:
        EngineError: ``REQUEST_INVALID``, naming all of them.
    """
    if not known.missing:
        return
    asked = [QUESTIONS[name] for name in known.missing]
    options = " ".join(f"{q.option} {q.example}" for q in asked)
    if "classes" in known.missing:
        options += " (or --values height:m)"
    raise EngineError(
        ErrorCode.REQUEST_INVALID,
        f"{found.subject.name} does not tell {_listed([q.words for q in asked])}.",
        f"Say it with {options}, or answer questions on a terminal.",
    )


def asked(name: str, known: Known, trial: Trial | None) -> Known:
    """Ask for one fact until the answer can be understood."""
    question = QUESTIONS[name]
    default = _default(name, known, trial)
    while True:
        words = f"{question.words[0].upper()}{question.words[1:]}{question.more}"
        text = typer.prompt(words, default=default, err=True)
        try:
            answer = _answered(name, str(text))
            _check_columns(known | answer)
            if answer.classes is not None and trial is not None:
                classes_for(answer, trial.channels, "The network")
        except EngineError as error:
            typer.echo(error, err=True)
            continue
        return answer


def _answered(name: str, text: str) -> Known:
    """A fact; in place of classes, values too."""
    word, colon, rest = text.partition(":")
    if name == "classes" and colon and word.strip() == VALUES:
        name, text = VALUES, rest
    return Known(**{name: QUESTIONS[name].read(text)})


def _default(name: str, known: Known, trial: Trial | None) -> str | None:
    """What most models of this shape would have."""
    count = known.channels or 0
    usual = {
        "bands": USUAL_BANDS.get(count),
        "quantity": "rgb" if known.bands and known.bands[:1] == ("red",) else None,
        "transforms": "none",
        "classes": ",".join(f"class {n}" for n in range(max(trial.channels, 2))) if trial else None,
        "licence": "unknown",
    }
    return usual.get(name)


def _check_columns(known: Known) -> None:
    """One number for all bands, or one for each."""
    count = len(known.bands) if known.bands else None
    for step in known.transforms or ():
        if count is not None and len(step.first) not in (1, count):
            raise EngineError(
                ErrorCode.REQUEST_INVALID,
                f"The normalisation has {len(step.first)} numbers, and there are {count} bands.",
                "Give one number for all bands, or one for each.",
            )


def _bands(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise wrong("--bands", text, "red,green,blue")
    return names


def _word(option: str, allowed: tuple[str, ...]) -> Callable[[str], Any]:
    def read(text: str) -> str:
        if text.strip() not in allowed:
            raise wrong(option, text, " or ".join(allowed))
        return text.strip()

    return read


def _transforms(text: str) -> tuple[Transform, ...]:
    word = text.strip().lower()
    if word in WAYS:
        return WAYS[word]
    kind, colon, rest = word.partition(":")
    if kind == "times" and colon:
        return (Transform("scale", _numbers(rest, text)),)
    numbers = rest if kind == "minmax" and colon else word
    first, slash, second = numbers.partition("/")
    pair = _numbers(first, text), _numbers(second, text)
    is_span = kind == "minmax"
    fits = all(low < high if is_span else high > 0 for low, high in zip(*pair, strict=False))
    if not slash or len(pair[0]) != len(pair[1]) or not fits:
        raise _no_normalisation(text)
    return (Transform("min-max" if is_span else "z-score", *pair),)


def _numbers(text: str, whole: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise _no_normalisation(whole) from None
    if not all(map(math.isfinite, numbers)):
        raise _no_normalisation(whole)
    return numbers


def _no_normalisation(text: str) -> EngineError:
    return wrong("--normalise", text, "imagenet, none or 0.4,0.4,0.3/0.2,0.2,0.2")


def _range(text: str) -> tuple[float, float]:
    numbers = re.fullmatch(r"\s*(-?[\d.]+(?:e\d+)?)\s*,\s*(-?[\d.]+(?:e\d+)?)\s*", text)
    try:
        low, high = (float(n) for n in numbers.groups()) if numbers else (0.0, 0.0)
    except ValueError:
        low = high = 0.0
    if not low < high < float("inf"):
        raise wrong("--range", text, "0,10000")
    return low, high


def _gsd(text: object) -> float:
    try:
        edge = float(str(text))
    except ValueError:
        edge = 0.0
    if not 0 < edge < float("inf"):
        raise wrong("--gsd", str(text), "0.2")
    return edge


def _classes(text: str) -> tuple[ModelClass, ...]:
    found = []
    for number, part in enumerate(text.split(",")):
        coloured = COLOUR.fullmatch(part.strip())
        name, colour = coloured.groups() if coloured else (part.strip(), colour_of(number))
        found.append(ModelClass(number, name.strip(), colour.lower()))
    if not all(member.name for member in found) or len(found) > LARGEST_LEGEND:
        raise wrong("--classes", text, "background,building")
    return tuple(found)


def _values(text: str) -> tuple[ValueBand, ...]:
    pairs = [part.partition(":") for part in text.split(",")]
    bands = tuple(ValueBand(name.strip(), unit.strip()) for name, _, unit in pairs)
    if not all(band.name for band in bands):
        raise wrong("--values", text, "height:m")
    return bands


def _plain(text: str) -> str:
    if not text.strip():
        raise wrong("--licence", text, "CC-BY-4.0")
    return text.strip()


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


VALUES = "values"
LARGEST_LEGEND = 255
"""Class rasters are bytes, and one value is nodata."""
QUESTIONS = {
    "bands": Question("--bands", "red,green,blue", "its bands", _bands, ", in their order"),
    "quantity": Question(
        "--quantity",
        "rgb",
        "what its numbers are",
        _word("--quantity", get_args(Quantity)),
        f" ({', '.join(get_args(Quantity))})",
    ),
    "transforms": Question(
        "--normalise", "imagenet", "their normalisation", _transforms, " (none, imagenet, 0-255, …)"
    ),
    "valid_range": Question("--range", "0,10000", "the range of its numbers", _range),
    "gsd": Question("--gsd", "0.2", "its pixel size", _gsd, " in metres"),
    "classes": Question(
        "--classes", "background,building", "its classes", _classes, " (or values: NAME:UNIT,…)"
    ),
    VALUES: Question("--values", "height:m", "its values", _values),
    "activation": Question(
        "--activation", "softmax", "its activation", _word("--activation", get_args(Activation))
    ),
    "licence": Question("--licence", "CC-BY-4.0", "the licence of its weights", _plain),
}
"""By the fact that they ask for."""
