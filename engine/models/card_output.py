"""The output of a model card as JSON."""

from __future__ import annotations

from typing import Any, cast, get_args

from engine.contract.codec import to_plain
from engine.contract.messages import ModelClass
from engine.models.card import (
    OURS,
    Activation,
    Measure,
    ModelOutput,
    OutputIndex,
    SemanticChange,
    ValueBand,
)
from engine.models.card_input import axes_of
from engine.models.node import Node

LARGEST_CLASS = 255
"""Class rasters are unsigned bytes."""
LARGEST_CELL = 4096
MOST_OUTPUTS = 100
"""That a network may give."""


def output_from(node: Node) -> ModelOutput:
    """Read the entry of ``mlm:output``: classes, or values."""
    result = node["result"]
    order = result["dim_order"]
    flat = order.texts() in (("batch", "class"), ("batch", "channel"))
    common: dict[str, Any] = {
        "activation": cast("Activation", node["swath:activation"].one_of(get_args(Activation))),
        "cell": node["swath:cell"].integer(1, LARGEST_CELL) if "swath:cell" in node else 1,
        "zoom": node["swath:zoom"].integer(1, LARGEST_CELL) if "swath:zoom" in node else 1,
        "axes": OURS if flat else axes_of(order),
        "index": _index(node),
    }
    if isinstance(common["index"], tuple) and common["axes"] != OURS:
        node["swath:output_index"].refuse("one number, beside channels as the last axis")
    if common["cell"] > 1 and common["zoom"] > 1:
        node["swath:zoom"].refuse("1 beside a swath:cell above 1")
    if "swath:values" in node:
        values = tuple(_value(n) for n in node["swath:values"].items())
        told = node["swath:query"].items() if "swath:query" in node else ()
        query = tuple(n.number() for n in told)
        if query and len(values) != 1:
            node["swath:query"].refuse("absent, or beside one value")
        values = values or node["swath:values"].refuse("bands")
        return ModelOutput(values=values, query=query, **common)
    return _classes(node, common)


def output_to_json(output: ModelOutput, tasks: tuple[str, ...], edge: int) -> dict[str, Any]:
    """Write the entry of ``mlm:output``; ``edge`` is a fixed tile's, -1 for any."""
    along = edge if edge < 0 else edge * output.zoom // output.cell
    lengths = {"C": output.given, "H": along, "W": along}
    words = {"C": "class" if output.classes else "channel", "H": "height", "W": "width"}
    return {
        "name": "scores" if output.classes else "values",
        "tasks": list(tasks),
        "result": {
            "shape": [-1, *(lengths[a] for a in output.axes[1:])],
            "dim_order": ["batch", *(words[a] for a in output.axes[1:])],
            "data_type": "float32",
        },
        "swath:activation": output.activation,
        **({"swath:cell": output.cell} if output.cell > 1 else {}),
        **({"swath:zoom": output.zoom} if output.zoom > 1 else {}),
        **({"swath:output_index": to_plain(output.index)} if output.index else {}),
        **({"swath:query": list(output.query)} if output.query else {}),
        **(_classes_to_json(output) if output.classes else _values_to_json(output)),
    }


def _index(node: Node) -> OutputIndex:
    if "swath:output_index" not in node:
        return 0
    told, bounds = node["swath:output_index"], (-MOST_OUTPUTS, MOST_OUTPUTS - 1)
    if not isinstance(told.value, list):
        return told.integer(*bounds)
    several = tuple(n.integer(*bounds) for n in told.items())
    return several or told.refuse("the number of an output, or a list of several")


def _classes(node: Node, common: dict[str, Any]) -> ModelOutput:
    classes = tuple(_class(n) for n in node["classification:classes"].items())
    ids = {c.id for c in classes}
    nodata = node["swath:nodata"].integer(0, LARGEST_CLASS)
    if not classes or len(ids) != len(classes) or nodata in ids:
        node["classification:classes"].refuse("classes with different values, none of them nodata")
    threshold = node["swath:threshold"].number() if "swath:threshold" in node else None
    change = _semantic_change(node) if "swath:semantic_change" in node else None
    if change is not None and change.has_score and threshold is not None:
        node["swath:threshold"].refuse("absent, beside a score that tells change")
    return ModelOutput(
        classes=classes, nodata=nodata, threshold=threshold, semantic_change=change, **common
    )


def _semantic_change(node: Node) -> SemanticChange:
    told = node["swath:semantic_change"]
    return SemanticChange(told["threshold"].number() if "threshold" in told else None)


def _semantic_change_to_json(change: SemanticChange) -> dict[str, Any]:
    told = {"threshold": change.threshold} if change.has_score else {}
    return {"swath:semantic_change": told}


def _class(node: Node) -> ModelClass:
    color = node["color_hint"].matching("[0-9A-Fa-f]{6}", "a colour as six hexadecimal digits")
    value = node["value"].integer(0, LARGEST_CLASS)
    return ModelClass(value, node["name"].text(), f"#{color.lower()}")


def _value(node: Node) -> ValueBand:
    return ValueBand(
        name=node["name"].text(),
        unit=node["unit"].text() if "unit" in node else "",
        clip=node["swath:clip"].span() if "swath:clip" in node else None,
        scale=node["swath:scale"].positive() if "swath:scale" in node else 1.0,
        measure=cast("Measure", node["swath:measure"].one_of(get_args(Measure)))
        if "swath:measure" in node
        else "value",
    )


def _classes_to_json(output: ModelOutput) -> dict[str, Any]:
    threshold = {} if output.threshold is None else {"swath:threshold": output.threshold}
    return {
        "classification:classes": [
            {"value": c.id, "name": c.name, "color_hint": c.color.lstrip("#")}
            for c in output.classes
        ],
        "swath:nodata": output.nodata,
        **threshold,
        **(_semantic_change_to_json(output.semantic_change) if output.semantic_change else {}),
    }


def _values_to_json(output: ModelOutput) -> dict[str, Any]:
    return {
        "swath:values": [
            {
                "name": band.name,
                **({"unit": band.unit} if band.unit else {}),
                **({"swath:clip": list(band.clip)} if band.clip else {}),
                **({"swath:scale": band.scale} if band.scale != 1 else {}),
                "swath:measure": band.measure,
            }
            for band in output.values
        ]
    }
