"""Cards for ONNX files that carry the metadata of the QGIS plugin Deepness.

Its keys and their meaning are those of its documentation for model creators and of its source
(PUTvision, qgis-plugin-deepness): JSON values in the file's metadata; 8-bit pictures divided by
255, then standardised; scores as the network gives them, without activation.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelOutput, Transform, ValueBand
from engine.models.known import (
    BACKGROUND,
    Known,
    id_of,
    input_of,
    named_classes,
    named_values,
)
from engine.models.onnx_facts import OnnxFacts, facts_of

TASKS = {
    "Segmentor": "semantic-segmentation",
    "Regressor": "regression",
    "Superresolution": "super-resolution",
    "Recognition": "similarity-search",
}
"""Kinds of models that run, in the words of the MLM extension."""
BANDS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "nir")}
STRIDE = 32
"""What most networks of free size halve their input to."""
EVEN = 0.5
"""Of two probabilities the larger one is above it, whatever the threshold below."""
LONGEST = 100_000
"""Characters of names that are written as Python does."""
FAILURES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What values of a wrong kind come to."""


def deepness_card(path: Path) -> ModelCard | None:
    """The card that a file's own metadata make; None when it carries none.

    Args:
        path: An ONNX file.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` for kinds of models that do not run, ``MODEL_INVALID`` for
            metadata that contradict themselves or the network.
    """
    content = path.read_bytes()
    try:
        facts = facts_of(content)
    except ValueError:  # whoever runs it will say what is wrong with the file
        return None
    known = deepness_known(path.name, facts)
    if known is None:
        return None
    try:
        return _card(path, content, facts, known)
    except FAILURES as error:
        raise _wrong(path.name, str(error)) from error


def deepness_known(name: str, facts: OnnxFacts) -> Known | None:
    """What a file's metadata tell of its model; None when they are not Deepness'.

    Args:
        name: The file's.
        facts: Its description.

    Raises:
        EngineError: as ``deepness_card``.
    """
    if "model_type" not in facts.metadata:
        return None
    try:
        return _known(name, _told(facts), facts)
    except FAILURES as error:
        raise _wrong(name, str(error)) from error


def _told(facts: OnnxFacts) -> dict[str, Any]:
    return {key: _value(text) for key, text in facts.metadata.items()}


def _value(text: str) -> Any:
    """Values are JSON; those of some exporters are Python's literals, or plain words."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text) if len(text) <= LONGEST else text
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no finite number")
    return number


def _length(value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise ValueError(f"{number:g} is not above 0")
    return number


def _kind(name: str, told: dict[str, Any]) -> str:
    kind = str(told["model_type"]).capitalize()
    if kind not in TASKS:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"{name} is a {kind[:40]}; of Deepness' models Swath runs {', '.join(TASKS)}.",
            "Use another model.",
        )
    return kind


def _known(name: str, told: dict[str, Any], facts: OnnxFacts) -> Known:
    kind = _kind(name, told)
    channels = facts.inputs[0][1]
    bands = BANDS.get(channels or 0)
    mean = tuple(_number(v) for v in told.get("standardization_mean") or (0.0,) * len(bands or ()))
    std = tuple(_number(v) for v in told.get("standardization_std") or (1.0,) * len(bands or ()))
    if not len(mean) == len(std) == (channels or len(mean)) and (bands or mean):
        raise ValueError("its standardisation does not fit its bands")
    if std and not min(std) > 0:
        raise ValueError("its standardisation does not fit its bands")
    size = told.get("tiles_size", told.get("tile_size"))
    names = _names(told.get("class_names", told.get("names")))
    known = Known(
        summary=f"A {kind} with Deepness metadata.{_differences(told, facts)}",
        bands=bands,
        channels=channels,
        quantity="rgb",
        transforms=(Transform("z-score", mean, std),) if mean else (),
        gsd=_length(told["resolution"]) / 100 if "resolution" in told else None,
        tile=None if size is None else int(size),
    )
    return known | _meaning(kind, told, names, facts)


def _differences(told: dict[str, Any], facts: OnnxFacts) -> str:
    """Sentences on what Deepness does after the network, and Swath does not."""
    blur = int(told.get("seg_small_segment") or 0) // 2 * 2 + 1
    sentences = []
    if blur > 1:
        sentences.append(f" Deepness smooths its map with a median of {blur} x {blur} pixels.")
    if len(facts.outputs) > 1:
        sentences.append(f" Of its {len(facts.outputs)} outputs the first one is used.")
    return "".join(sentences)


def _meaning(kind: str, told: dict[str, Any], names: list[str], facts: OnnxFacts) -> Known:
    """The classes or values that a network gives."""
    given = facts.outputs[0]
    count = given[1] if len(given) > 1 else None
    if kind == "Segmentor":
        if len(names) <= 1 == count:
            names = [BACKGROUND, *(names or ["object"])]
        names = names or [f"class {n}" for n in range(count or 2)]
        limit = _limit(_number(told.get("seg_thresh") or 0), count)
        return Known(classes=named_classes(names), activation="none", threshold=limit)
    if kind == "Recognition":
        if len(given) != 2 or not count:  # noqa: PLR2004 - batch, and numbers
            raise ValueError("it does not give one row of numbers for a tile")
        return Known(values=named_values(count, "embedding"), activation="none")
    scale = _length(told.get("reg_output_scaling") or 1) if kind == "Regressor" else 1.0
    labels = names if len(names) == count else [v.name for v in named_values(count or 1)]
    return Known(values=tuple(ValueBand(n, scale=scale) for n in labels), activation="none")


def _limit(threshold: float, count: int | None) -> float | None:
    """Deepness zeroes scores below the threshold, then takes the largest."""
    if count == 1:
        return threshold if threshold > 0 else EVEN
    least = EVEN if count == 2 else 0  # noqa: PLR2004 - probabilities that add up to one
    return threshold if threshold > least else None


def _card(path: Path, content: bytes, facts: OnnxFacts, known: Known) -> ModelCard:
    if known.bands is None:
        raise ValueError(f"it takes {known.channels} bands, and nothing says which")
    if known.gsd is None:
        raise ValueError("nothing says how large its pixels are (resolution)")
    told = _told(facts)
    kind = _kind(path.name, told)
    rule = _rule(told, facts, known)
    output = ModelOutput(
        classes=known.classes or (),
        threshold=known.threshold,
        values=known.values or (),
        zoom=_zoom(facts) if kind == "Superresolution" else 1,
    )
    if kind == "Recognition":
        rule = TileRule(rule.size, 0, rule.size)
        output = replace(output, cell=rule.size)
    return ModelCard(
        id=id_of(path.stem),
        version="1",
        title=path.stem,
        summary=known.summary or "",
        tasks=(TASKS[kind],),
        inputs=(input_of(known, "NCHW"),),
        tiling=rule,
        merge="crop",
        output=output,
        file=ModelFile(
            path.absolute().as_uri(), hashlib.sha256(content).hexdigest(), len(content), "onnx"
        ),
        license="unknown",
        attribution="unknown",
        citation="unknown",
    )


def _rule(told: dict[str, Any], facts: OnnxFacts, known: Known) -> TileRule:
    """Deepness keeps of each tile what lies within half the overlap of its edges."""
    overlap = _number(told.get("tiles_overlap", 0)) / 100
    fixed = facts.inputs[0][2]
    size = known.tile or fixed
    if size is None:
        raise ValueError("nothing says how large its tiles are (tiles_size)")
    if fixed is not None and fixed != size:
        raise ValueError(f"it takes tiles of {fixed} pixels, and its metadata say {size}")
    if fixed is None and size % STRIDE == 0:
        return TileRule(size, round(size * overlap / 2), STRIDE, fixed=False)
    return TileRule(size, round(size * overlap / 2), 1)


def _names(told: Any) -> list[str]:
    """Names of classes by their consecutive ids; of several heads those of the first."""
    first = told[0] if isinstance(told, list) and told and isinstance(told[0], dict) else told
    if isinstance(first, list):
        first = dict(enumerate(first))
    found = {int(key): str(name) for key, name in (first or {}).items()}
    if sorted(found) != list(range(len(found))):
        raise ValueError("its classes are not numbered from 0")
    return [found[key] for key in sorted(found)]


def _zoom(facts: OnnxFacts) -> int:
    taken, given = facts.inputs[0][2], facts.outputs[0][2]
    if not taken or not given or given % taken:
        raise ValueError("its file does not say how much finer its result is")
    return given // taken


def _wrong(name: str, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The Deepness metadata of {name} cannot be followed: {why}.",
        "Make a card for the model with `swath models add`, or write one beside it, after the "
        "pattern of the catalogue's cards.",
    )
