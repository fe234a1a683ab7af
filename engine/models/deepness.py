"""Cards for ONNX files that carry the metadata of the QGIS plugin Deepness.

Its keys and their meaning are those of its documentation for model creators (PUTvision,
qgis-plugin-deepness): JSON values in the file's metadata; 8-bit pictures divided by 255, then
standardised; scores as the network gives them, without activation.
"""

from __future__ import annotations

import colorsys
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import (
    ModelCard,
    ModelFile,
    ModelInput,
    ModelOutput,
    Transform,
    ValueBand,
)
from engine.models.onnx_facts import OnnxFacts, facts_of

TASKS = {
    "Segmentor": "semantic-segmentation",
    "Regressor": "regression",
    "Superresolution": "super-resolution",
}
"""Kinds of models that run, in the words of the MLM extension."""
BANDS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "nir")}
STRIDE = 32
"""What most networks of free size halve their input to."""
TOLERANCE = 1.25
"""Ratio of pixel sizes up to which a raster is used as it is."""
GOLDEN = 0.618
"""Steps of hue between classes that have no colour of their own."""


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
    if "model_type" not in facts.metadata:
        return None
    try:
        return _card(path, content, facts)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise EngineError(
            ErrorCode.MODEL_INVALID,
            f"The Deepness metadata of {path.name} cannot be followed: {error}.",
            "Write a card for the model beside it, after the pattern of the catalogue's cards.",
        ) from error


def _card(path: Path, content: bytes, facts: OnnxFacts) -> ModelCard:
    told = {key: _value(text) for key, text in facts.metadata.items()}
    kind = str(told["model_type"])
    if kind not in TASKS:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"{path.name} is a {kind}; of Deepness' models Swath runs {', '.join(TASKS)}.",
            "Use another model.",
        )
    rule, gsd = _rule(told, facts), float(told["resolution"]) / 100
    return ModelCard(
        id=re.sub("[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._") or "model",
        version="1",
        title=path.stem,
        summary=f"A {kind} with Deepness metadata.",
        tasks=(TASKS[kind],),
        inputs=(_input(told, facts, gsd),),
        tiling=rule,
        merge="crop",
        output=_output(kind, told, facts),
        file=ModelFile(
            path.absolute().as_uri(), hashlib.sha256(content).hexdigest(), len(content), "onnx"
        ),
        license="unknown",
        attribution="unknown",
        citation="unknown",
    )


def _value(text: str) -> Any:
    """Values are JSON; those of some exporters are plain words."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _input(told: dict[str, Any], facts: OnnxFacts, gsd: float) -> ModelInput:
    channels = facts.inputs[0][1]
    if channels not in BANDS:
        raise ValueError(f"it takes {channels} bands, and nothing says which")
    bands = BANDS[channels]
    mean = tuple(float(v) for v in told.get("standardization_mean") or (0.0,) * channels)
    std = tuple(float(v) for v in told.get("standardization_std") or (1.0,) * channels)
    if not len(mean) == len(std) == channels or min(std) <= 0:
        raise ValueError("its standardisation does not fit its bands")
    return ModelInput(
        bands=bands,
        quantity="rgb",
        valid_range=(0.0, 1.0),
        transforms=(Transform("z-score", mean, std),),
        gsd=gsd,
        gsd_range=(gsd / TOLERANCE, gsd * TOLERANCE),
    )


def _rule(told: dict[str, Any], facts: OnnxFacts) -> TileRule:
    """Deepness keeps of each tile what lies within half the overlap of its edges."""
    size, overlap = int(told["tiles_size"]), float(told.get("tiles_overlap", 0)) / 100
    fixed = facts.inputs[0][2]
    if fixed is not None and fixed != size:
        raise ValueError(f"it takes tiles of {fixed} pixels, and its metadata say {size}")
    if fixed is None and size % STRIDE == 0:
        return TileRule(size, round(size * overlap / 2), STRIDE, fixed=False)
    return TileRule(size, round(size * overlap / 2), 1)


def _output(kind: str, told: dict[str, Any], facts: OnnxFacts) -> ModelOutput:
    shape = facts.outputs[0]
    names = _names(told.get("class_names"))
    if kind == "Segmentor":
        threshold = float(told.get("seg_thresh") or 0)
        return ModelOutput(
            classes=tuple(ModelClass(i, n, _colour(i)) for i, n in enumerate(names)),
            threshold=threshold if threshold > 0 else 0.5 if shape[1] == 1 else None,
        )
    count = shape[1] or len(names) or 1
    labels = names if len(names) == count else [f"value {n + 1}" for n in range(count)]
    scale = float(told.get("reg_output_scaling") or 1) if kind == "Regressor" else 1.0
    values = tuple(ValueBand(label, scale=scale) for label in labels)
    return ModelOutput(values=values, zoom=_zoom(facts) if kind == "Superresolution" else 1)


def _names(told: Any) -> list[str]:
    """Names of classes by their consecutive ids; of several heads those of the first."""
    first = told[0] if isinstance(told, list) and told else told
    found = {int(key): str(name) for key, name in (first or {}).items()}
    if sorted(found) != list(range(len(found))):
        raise ValueError("its classes are not numbered from 0")
    return [found[key] for key in sorted(found)]


def _zoom(facts: OnnxFacts) -> int:
    taken, given = facts.inputs[0][2], facts.outputs[0][2]
    if not taken or not given or given % taken:
        raise ValueError("its file does not say how much finer its result is")
    return given // taken


def _colour(number: int) -> str:
    """Grey for the first class, the background; then hues far from each other."""
    if number == 0:
        return "#b8b8b8"
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.65, 0.85)
    return "#" + "".join(f"{round(255 * v):02x}" for v in (red, green, blue))
