"""Model cards as JSON files.

The words are those of STAC's machine learning model extension (``mlm:``), its classification,
file and scientific extensions, wherever they have one; what a tiler needs beyond them is named
``swath:``. Fields that this version does not know are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast, get_args

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass, TaskName
from engine.geo.tiling import TileRule
from engine.models.card import (
    Activation,
    MergeRule,
    ModelCard,
    ModelFile,
    ModelInput,
    ModelOutput,
    Normalisation,
    Quantity,
)
from engine.models.node import Node

MLM_TASKS = {"semantic-segmentation": TaskName.SEGMENT}
"""Tasks in the extension's words."""
MULTIHASH_SHA256 = "1220"
"""How a sha256 begins in STAC's ``file:checksum``: its code, then its length."""
MODEL_ID = "[a-z0-9][a-z0-9._-]*"
"""Fit for a file name on every system."""
LARGEST_CLASS = 255
"""Class rasters are unsigned bytes."""
LARGEST_CARD = 1_000_000
"""Bytes; a card is a page of text, and whatever is larger is no card."""


def read_card(path: Path) -> ModelCard:
    """The card in a JSON file; a relative model path in it is taken from the card's folder.

    Raises:
        EngineError: ``MODEL_NOT_FOUND`` without the file, ``MODEL_INVALID`` when it is no card.
    """
    return card_from_json(_load(path), path.name, path.absolute().parent)


def card_from_json(data: Any, origin: str = "card", folder: Path | None = None) -> ModelCard:
    """The card that a JSON document describes.

    Args:
        data: The parsed document.
        origin: What the document is called in errors.
        folder: Where relative model paths start; without it they are refused.

    Raises:
        EngineError: ``MODEL_INVALID``, naming the path of the first wrong field.
    """
    card = Node(data, "$", origin)
    rule = _tiling(card["swath:tiling"])
    return ModelCard(
        id=card["id"].matching(MODEL_ID, "small letters, digits, '-', '.' and '_'"),
        version=card["version"].text(),
        title=card["mlm:name"].text(),
        summary=card["description"].text(),
        task=_task(card["mlm:tasks"]),
        input=_input(_only(card["mlm:input"]), rule),
        tiling=rule,
        merge=cast("MergeRule", card["swath:tiling"]["merge"].one_of(get_args(MergeRule))),
        output=_output(_only(card["mlm:output"]), rule),
        file=_file(card["assets"]["model"], folder),
        license=card["license"].text(),
        attribution=card["attribution"].text(),
        citation=card["sci:citation"].text(),
        not_for=card["swath:not_for"].texts(),
        metrics=card["swath:metrics"].texts(),
        architecture=card["mlm:architecture"].text() if "mlm:architecture" in card else "",
    )


def is_model_id(text: str) -> bool:
    """Whether a text can be a model's id."""
    return re.fullmatch(MODEL_ID, text) is not None


def card_to_json(card: ModelCard) -> dict[str, Any]:
    """The document from which ``card_from_json`` makes the same card again."""
    return {
        "id": card.id,
        "version": card.version,
        "mlm:name": card.title,
        "description": card.summary,
        "license": card.license,
        "attribution": card.attribution,
        "sci:citation": card.citation,
        **({"mlm:architecture": card.architecture} if card.architecture else {}),
        "mlm:tasks": [_mlm_task(card.task)],
        "mlm:framework": "ONNX",
        "mlm:input": [_input_to_json(card)],
        "mlm:output": [_output_to_json(card)],
        "swath:tiling": _tiling_to_json(card),
        "swath:not_for": list(card.not_for),
        "swath:metrics": list(card.metrics),
        "assets": {"model": _file_to_json(card.file)},
    }


def _load(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise _no_card(path, "it is too large")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(
            ErrorCode.MODEL_NOT_FOUND,
            f"The model card {path} cannot be read: {error.strerror or error}.",
            "Check the path, or list the catalogue with `swath models list`.",
        ) from None
    except (ValueError, RecursionError) as error:
        raise _no_card(path, str(error)) from None


def _no_card(path: Path, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"{path.name} is not a model card: {why}.",
        "A model card is a JSON document; see the cards of the catalogue for examples.",
    )


def _only(node: Node) -> Node:
    items = node.items()
    return items[0] if len(items) == 1 else node.refuse("a list with exactly one entry")


def _task(node: Node) -> TaskName:
    known = [t for t in node.texts() if t in MLM_TASKS]
    return MLM_TASKS[known[0]] if known else node.refuse(f"a list with {', '.join(MLM_TASKS)}")


def _mlm_task(task: TaskName) -> str:
    return next(word for word, name in MLM_TASKS.items() if name is task)


def _tiling(node: Node) -> TileRule:
    size, margin = node["size"].integer(1), node["margin"].integer(0)
    stride, fixed = node["stride"].integer(1), node["fixed"].flag()
    try:
        return TileRule(size, margin, stride, fixed)
    except EngineError as error:
        raise EngineError(error.code, f"{node.path}: {error.message}", error.hint) from None


def _input(node: Node, rule: TileRule) -> ModelInput:
    bands = node["bands"].texts()
    if not bands or len(set(bands)) != len(bands):
        node["bands"].refuse("a list of different band names")
    _check_shape(node["input"]["shape"], len(bands), rule)
    gsd, gsd_range = node["gsd"].positive(), node["swath:gsd_range"].span()
    if not 0 < gsd_range[0] <= gsd <= gsd_range[1]:
        node["swath:gsd_range"].refuse(f"two lengths with the gsd {gsd:g} between them")
    return ModelInput(
        bands=bands,
        quantity=cast("Quantity", node["swath:quantity"].one_of(get_args(Quantity))),
        valid_range=node["swath:valid_range"].span(),
        normalisation=_normalisation(node["value_scaling"], len(bands)),
        gsd=gsd,
        gsd_range=gsd_range,
    )


def _normalisation(node: Node, count: int) -> Normalisation:
    entries = node.items()
    if len(entries) != count:
        node.refuse(f"one entry for each of the {count} bands")
    for entry in entries:
        entry["type"].one_of(("z-score",))
    means = tuple(e["mean"].number() for e in entries)
    return Normalisation(means, tuple(e["stddev"].positive() for e in entries))


def _check_shape(node: Node, channels: int, rule: TileRule) -> None:
    """Batch, channels, height, width; -1 stands for any length."""
    shape = [n.integer(-1) for n in node.items()]
    wanted = [-1, channels, rule.size, rule.size]
    agrees = len(shape) == len(wanted) and shape[1] == channels
    if not agrees or any(have not in (-1, rule.size) for have in shape[2:]):
        node.refuse(f"{wanted}, as bands or classes and tile size have it")


def _output(node: Node, rule: TileRule) -> ModelOutput:
    classes = tuple(_class(n) for n in node["classification:classes"].items())
    ids = {c.id for c in classes}
    nodata = node["swath:nodata"].integer(0, LARGEST_CLASS)
    if not classes or len(ids) != len(classes) or nodata in ids:
        node["classification:classes"].refuse("classes with different values, none of them nodata")
    _check_shape(node["result"]["shape"], len(classes), rule)
    activation = node["swath:activation"].one_of(get_args(Activation))
    return ModelOutput(classes, cast("Activation", activation), nodata)


def _class(node: Node) -> ModelClass:
    color = node["color_hint"].matching("[0-9A-Fa-f]{6}", "a colour as six hexadecimal digits")
    value = node["value"].integer(0, LARGEST_CLASS)
    return ModelClass(value, node["name"].text(), f"#{color.lower()}")


def _file(node: Node, folder: Path | None) -> ModelFile:
    checksum = node["file:checksum"].matching(
        f"({MULTIHASH_SHA256})?[0-9A-Fa-f]{{64}}", "a sha256 as hexadecimal digits"
    )
    node["mlm:artifact_type"].one_of(("onnx",))
    return ModelFile(_uri(node["href"], folder), checksum[-64:].lower(), _size(node), "onnx")


def _size(node: Node) -> int:
    return node["file:size"].integer(1)


def _uri(node: Node, folder: Path | None) -> str:
    href = node.text()
    if "://" in href:
        return href
    path = Path(href)
    if path.is_absolute():
        return path.as_uri()
    if folder is None:
        node.refuse("a URI, since the card stands in no folder")
    if ".." in PurePosixPath(href.replace("\\", "/")).parts:
        node.refuse("a file in the card's own folder")
    return (folder / path).as_uri()


def _input_to_json(card: ModelCard) -> dict[str, Any]:
    given = card.input
    scores = zip(given.normalisation.mean, given.normalisation.std, strict=True)
    return {
        "name": "raster",
        "bands": list(given.bands),
        "input": _array(card, len(given.bands), "channel"),
        "value_scaling": [{"type": "z-score", "mean": m, "stddev": s} for m, s in scores],
        "gsd": given.gsd,
        "swath:gsd_range": list(given.gsd_range),
        "swath:quantity": given.quantity,
        "swath:valid_range": list(given.valid_range),
    }


def _output_to_json(card: ModelCard) -> dict[str, Any]:
    classes = card.output.classes
    return {
        "name": "scores",
        "tasks": [_mlm_task(card.task)],
        "result": _array(card, len(classes), "class"),
        "classification:classes": [
            {"value": c.id, "name": c.name, "color_hint": c.color.lstrip("#")} for c in classes
        ],
        "swath:activation": card.output.activation,
        "swath:nodata": card.output.nodata,
    }


def _array(card: ModelCard, channels: int, axis: str) -> dict[str, Any]:
    edge = card.tiling.size if card.tiling.fixed else -1
    return {
        "shape": [-1, channels, edge, edge],
        "dim_order": ["batch", axis, "height", "width"],
        "data_type": "float32",
    }


def _tiling_to_json(card: ModelCard) -> dict[str, Any]:
    rule = card.tiling
    return {
        "size": rule.size,
        "margin": rule.margin,
        "stride": rule.stride,
        "fixed": rule.fixed,
        "merge": card.merge,
    }


def _file_to_json(file: ModelFile) -> Mapping[str, Any]:
    return {
        "href": file.uri,
        "type": "application/octet-stream; framework=onnxruntime; profile=onnx",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": file.format,
        "file:size": file.size,
        "file:checksum": MULTIHASH_SHA256 + file.sha256,
    }
