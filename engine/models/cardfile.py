"""Model cards as JSON files.

The words are those of STAC's machine learning model extension (``mlm:``), its classification,
file and scientific extensions, wherever they have one; what a tiler needs beyond them is named
``swath:``. Fields that this version does not know are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, cast, get_args
from urllib.parse import unquote, urlsplit

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.card import (
    FileFormat,
    Joining,
    MergeRule,
    ModelCard,
    ModelFile,
    ModelInput,
    ModelOutput,
    Residuals,
    Timeline,
)
from engine.models.card_input import check_shape, input_from, input_to_json
from engine.models.card_output import output_from, output_to_json
from engine.models.inline import is_inline
from engine.models.node import Node

MLM_TASKS = (
    "semantic-segmentation",
    "segmentation",
    "scene-classification",
    "classification",
    "regression",
    "super-resolution",
    "generative",
    "similarity-search",
)
"""Tasks in the extension's words."""
MULTIHASH_SHA256 = "1220"
"""How a sha256 begins in STAC's ``file:checksum``: its code, then its length."""
MODEL_ID = "[a-z0-9][a-z0-9._-]*"
"""Fit for a file name on every system."""
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
    _check_no_record(data, origin)
    card = Node(data, "$", origin)
    rule = _tiling(card["swath:tiling"])
    inputs, output = _inputs(card["mlm:input"]), output_from(_only(card["mlm:output"]))
    _check_shapes(card, rule, inputs, output)
    _check_dates(card, inputs, output)
    return ModelCard(
        id=card["id"].matching(MODEL_ID, "small letters, digits, '-', '.' and '_'"),
        version=card["version"].text(),
        title=card["mlm:name"].text(),
        summary=card["description"].text(),
        tasks=_tasks(card["mlm:tasks"]),
        inputs=inputs,
        tiling=rule,
        merge=cast("MergeRule", card["swath:tiling"]["merge"].one_of(get_args(MergeRule))),
        output=output,
        file=_file(card["assets"]["model"], folder),
        license=card["license"].text(),
        attribution=card["attribution"].text(),
        citation=card["sci:citation"].text(),
        not_for=card["swath:not_for"].texts(),
        metrics=card["swath:metrics"].texts(),
        architecture=_text_or(card, "mlm:architecture", ""),
        data_license=_text_or(card, "swath:data_license", ""),
        joining=_joining(card),
        timeline=_timeline(card),
        residuals=_residuals(card["swath:residuals"]) if "swath:residuals" in card else None,
        export=_text_or(card, "swath:export", ""),
    )


def is_model_id(text: str) -> bool:
    """Whether a text can be a model's id."""
    return re.fullmatch(MODEL_ID, text) is not None


def card_to_json(card: ModelCard) -> dict[str, Any]:
    """The document from which ``card_from_json`` makes the same card again."""
    edge = card.tiling.size if card.tiling.fixed else -1
    return {
        "id": card.id,
        "version": card.version,
        "mlm:name": card.title,
        "description": card.summary,
        "license": card.license,
        "attribution": card.attribution,
        "sci:citation": card.citation,
        **({"mlm:architecture": card.architecture} if card.architecture else {}),
        **({"swath:data_license": card.data_license} if card.data_license else {}),
        **({"swath:joining": card.joining} if len(card.inputs) > 1 or _is_series(card) else {}),
        **({"swath:timeline": card.timeline} if card.timeline != "dates" else {}),
        **({"swath:residuals": residuals_to_json(card.residuals)} if card.residuals else {}),
        **({"swath:export": card.export} if card.export else {}),
        "mlm:tasks": list(card.tasks),
        "mlm:framework": "ONNX" if card.file.format == "onnx" else "PyTorch",
        "mlm:input": [input_to_json(given, edge) for given in card.inputs],
        "mlm:output": [output_to_json(card.output, card.tasks, edge)],
        "swath:tiling": _tiling_to_json(card),
        "swath:not_for": list(card.not_for),
        "swath:metrics": list(card.metrics),
        "assets": {"model": _file_to_json(card.file)},
    }


def residuals_to_json(residuals: Residuals) -> dict[str, Any]:
    """What a card says of a fitted model's errors, and the tags of its maps too."""
    return {"variogram": "exponential", **asdict(residuals)}


def _residuals(node: Node) -> Residuals:
    node["variogram"].one_of(("exponential",))
    return Residuals(*(max(node[name].number(), 0.0) for name in ("nugget", "sill", "range_m")))


def _check_no_record(data: Any, origin: str) -> None:
    """Refuse what tells of a finished map: it lies beside the map under a card's kind of name."""
    if isinstance(data, dict) and data.get("type") == "Feature" and "swath:tiling" not in data:
        raise EngineError(
            ErrorCode.MODEL_INVALID,
            f"{origin} is the record of a map (a STAC item), not a model card.",
            "Give the card of the model, or its id as `swath models list` shows it.",
        )


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


def _tasks(node: Node) -> tuple[str, ...]:
    known = tuple(t for t in node.texts() if t in MLM_TASKS)
    return known or node.refuse(f"a list with one of {', '.join(MLM_TASKS)}")


def _inputs(node: Node) -> tuple[ModelInput, ...]:
    inputs = tuple(input_from(n) for n in node.items())
    if not inputs or len({i.name for i in inputs}) != len(inputs):
        node.refuse("a list of inputs with different names")
    if inputs[0].is_optional:
        node.refuse("a list whose first input, which gives the grid, is not optional")
    return inputs


def _joining(card: Node) -> Joining:
    if "swath:joining" not in card:
        return "channels"
    return cast("Joining", card["swath:joining"].one_of(get_args(Joining)))


def _timeline(card: Node) -> Timeline:
    if "swath:timeline" not in card:
        return "dates"
    return cast("Timeline", card["swath:timeline"].one_of(get_args(Timeline)))


def _is_series(card: ModelCard) -> bool:
    return any(given.dates for given in card.inputs)


def _text_or(card: Node, key: str, default: str) -> str:
    return card[key].text() if key in card else default


def _check_shapes(
    card: Node, rule: TileRule, inputs: tuple[ModelInput, ...], output: ModelOutput
) -> None:
    """The arrays that the extension's fields describe are those that the other fields imply."""
    for node, given in zip(card["mlm:input"].items(), inputs, strict=True):
        check_shape(node["input"]["shape"], given.axes, given.channels, rule.size)
    result = card["mlm:output"].items()[0]["result"]
    if len(result["dim_order"].items()) > 2:  # noqa: PLR2004 - else one score a class and tile
        edge = rule.size * output.zoom // output.cell
        check_shape(result["shape"], output.axes, output.given, edge)
    if rule.stride % output.cell or (output.cell > 1 and rule.margin % output.cell):
        card["swath:tiling"]["stride"].refuse("a multiple of swath:cell, as the margin")


def _check_dates(card: Node, inputs: tuple[ModelInput, ...], output: ModelOutput) -> None:
    """Semantic change is of two scenes; a network that looks at each of them takes them alike."""
    change = output.semantic_change
    if change is not None and (len(inputs) != 2 or any(i.dates for i in inputs)):  # noqa: PLR2004
        card["mlm:input"].refuse("the inputs of two dates, for semantic change")
    if _joining(card) == "each":
        if change is None or change.has_score:
            card["swath:joining"].refuse("«each» beside semantic change without a threshold")
        if inputs[0].channels != inputs[1].channels:
            card["mlm:input"].refuse("inputs of equal channels, for swath:joining each")


def _tiling(node: Node) -> TileRule:
    size, margin = node["size"].integer(1), node["margin"].integer(0)
    stride, fixed = node["stride"].integer(1), node["fixed"].flag()
    try:
        return TileRule(size, margin, stride, fixed)
    except EngineError as error:
        raise EngineError(error.code, f"{node.path}: {error.message}", error.hint) from None


def _file(node: Node, folder: Path | None) -> ModelFile:
    checksum = node["file:checksum"].matching(
        f"({MULTIHASH_SHA256})?[0-9A-Fa-f]{{64}}", "a sha256 as hexadecimal digits"
    )
    kind = cast("FileFormat", node["mlm:artifact_type"].one_of(get_args(FileFormat)))
    return ModelFile(
        _uri(node["href"], folder),
        checksum[-64:].lower(),
        node["file:size"].integer(1),
        kind,
        _text_or(node, "swath:network", ""),
    )


def _uri(node: Node, folder: Path | None) -> str:
    href = node.text()
    if is_inline(href):
        return href
    if "://" in href:
        return href if _is_address(href) else node.refuse("an address that can be read")
    path = Path(href)
    if path.is_absolute():
        return path.as_uri()
    if folder is None:
        node.refuse("a URI, since the card stands in no folder")
    if ".." in PurePosixPath(href.replace("\\", "/")).parts:
        node.refuse("a file in the card's own folder")
    return (folder / path).as_uri()


def _is_address(uri: str) -> bool:
    """Whether a URI can be taken apart, and its path be asked for."""
    try:
        return "\0" not in unquote(urlsplit(uri).path)
    except ValueError:
        return False


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
    framework = "onnxruntime" if file.format == "onnx" else "pytorch"
    return {
        "href": file.uri,
        "type": f"application/octet-stream; framework={framework}; profile={file.format}",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": file.format,
        "file:size": file.size,
        "file:checksum": MULTIHASH_SHA256 + file.sha256,
        **({"swath:network": file.network} if file.network else {}),
    }
