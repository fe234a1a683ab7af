"""Several networks of one signature as one file: the mean of their values, and their spread."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard, ModelFile, ModelOutput, ValueBand
from engine.models.channels import KEY, channels_text, check_channels

FEWEST, MOST = 2, 100
DEVIATION = "standard deviation"
RANK = 4
MEAN, SPREAD, VALUES = "mean", "spread", "values"


@dataclass(frozen=True, slots=True)
class Member:
    """One network of an ensemble."""

    card: ModelCard
    content: bytes
    """Of its ONNX file, as the card has it."""


def check_members(cards: Sequence[ModelCard]) -> None:
    """Refuse networks that cannot be averaged.

    Raises:
        EngineError: ``REQUEST_INVALID`` for fewer than two, ``MODEL_UNSUITABLE`` naming the first
            that is no ONNX model of one value, or takes or gives something else than the first.
    """
    if not FEWEST <= len(cards) <= MOST or len({card.file.sha256 for card in cards}) < len(cards):
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"An ensemble is {FEWEST} to {MOST} different networks.",
            "Name each file once.",
        )
    for card in cards:
        output = card.output
        is_value = [value.measure for value in output.values] == ["value"]
        is_plain = output.activation == "none" and isinstance(output.index, int)
        if card.file.format != "onnx" or not (is_value and is_plain):
            raise _unlike(card, "is no ONNX model of one value for each pixel")
        for name, part in PARTS.items():
            if part(card) != part(cards[0]):
                raise _unlike(card, f"has another {name} than {cards[0].id}")


PARTS: dict[str, Callable[[ModelCard], object]] = {
    "list of inputs": lambda card: (card.inputs, card.joining, card.timeline),
    "tiling": lambda card: (card.tiling, card.merge),
    "output": lambda card: replace(card.output, index=0),
}
"""What all members have in common."""


def joined(members: Sequence[Member]) -> bytes:
    """An ONNX file whose channels are the mean and the standard deviation of the members' values.

    The deviation is that of the members themselves (``numpy.std``): how far they disagree, which
    is not all of the error.

    Raises:
        EngineError: as ``check_members``; ``MODEL_UNSUITABLE`` for files of different versions of
            ONNX' operators, or with a result of other axes than its card's.
    """
    import onnx  # noqa: PLC0415 - heavy
    from onnx import helper  # noqa: PLC0415

    first = members[0].card
    check_members([member.card for member in members])
    models = [onnx.load_from_string(member.content) for member in members]
    for member, model in zip(members, models, strict=True):
        check_channels(member.card, member.content)
        _check_alike(member.card, model, models[0])
    made = helper.make_model(_graph(members, models), opset_imports=models[0].opset_import)
    made.ir_version = max(model.ir_version for model in models)
    helper.set_model_props(made, {KEY: channels_text(first)})
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))


def ensemble_card(
    cards: Sequence[ModelCard], content: bytes, name: str, model_id: str
) -> ModelCard:
    """The card of an ensemble.

    Args:
        cards: Of its members.
        content: What ``joined`` made of them.
        name: Of its file, beside the card.
        model_id: Its id.
    """
    first, count = cards[0], len(cards)
    value = first.output.values[0]
    spread = ValueBand(DEVIATION, value.unit, scale=value.scale, measure="standard-deviation")
    return replace(
        first,
        id=model_id,
        title=f"{first.title}, mean of {count}",
        summary=f"{first.summary} The mean of {count} networks, and their standard deviation.",
        output=ModelOutput(
            values=(value, spread),
            cell=first.output.cell,
            zoom=first.output.zoom,
            axes=first.output.axes,
        ),
        file=ModelFile(name, hashlib.sha256(content).hexdigest(), len(content), "onnx"),
        license=_all([card.license for card in cards], " AND "),
        data_license=_all([card.data_license for card in cards], "; "),
        attribution=_all([card.attribution for card in cards], "; "),
        citation=_all([card.citation for card in cards], "; "),
        not_for=tuple(dict.fromkeys(text for card in cards for text in card.not_for)),
        metrics=tuple(f"{card.id}: {text}" for card in cards for text in card.metrics),
    )


def _check_alike(card: ModelCard, model: Any, first: Any) -> None:
    """Refuse files that cannot become one."""
    if len(_output(card, model.graph).type.tensor_type.shape.dim) != RANK:
        raise _unlike(card, "gives a result of other axes than batch, channel, height and width")
    versions = [{(o.domain, o.version) for o in m.opset_import} for m in (model, first)]
    if versions[0] != versions[1] or model.functions:
        raise _unlike(card, "was written with other versions of ONNX' operators")
    if len(_inputs(model.graph)) != len(_inputs(first.graph)):
        raise _unlike(card, "takes another number of arrays")


def _graph(members: Sequence[Member], models: Sequence[Any]) -> Any:
    """All members side by side, and what is made of their values."""
    from onnx import ValueInfoProto, helper  # noqa: PLC0415 - heavy

    graphs = [_renamed(model, number) for number, model in enumerate(models)]
    found = [_output(m.card, graph) for m, graph in zip(members, graphs, strict=True)]
    axis = members[0].card.output.axes.index("C")
    result = ValueInfoProto()
    result.CopyFrom(found[0])
    result.name = VALUES
    result.type.tensor_type.shape.dim[axis].dim_value = 2
    nodes = [node for graph in graphs for node in graph.node]
    return helper.make_graph(
        [*nodes, *_moments([port.name for port in found], axis)],
        "ensemble",
        _inputs(graphs[0]),
        [result],
        [weights for graph in graphs for weights in graph.initializer],
    )


def _renamed(model: Any, number: int) -> Any:
    """A graph none of whose names is another member's, but for those of its inputs."""
    from onnx import compose  # noqa: PLC0415 - heavy

    graph = compose.add_prefix(model, f"{number}/").graph
    given = enumerate(_inputs(graph), 1)
    _rename(graph, {port.name: f"input {place}" for place, port in given})
    return graph


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Other names wherever they are read, in the graphs of its nodes too."""
    for port in graph.input:
        port.name = names.get(port.name, port.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            _rename(attribute.g, names)
            for inner in attribute.graphs:
                _rename(inner, names)


def _moments(found: Sequence[str], axis: int) -> list[Any]:
    """Nodes that make mean and deviation of the members' values."""
    from onnx import helper  # noqa: PLC0415 - heavy

    count = len(found)
    apart = [f"apart {number}" for number in range(count)]
    squares = [f"square {number}" for number in range(count)]
    nodes = [helper.make_node("Mean", list(found), [MEAN])]
    for value, gap, square in zip(found, apart, squares, strict=True):
        nodes.append(helper.make_node("Sub", [value, MEAN], [gap]))
        nodes.append(helper.make_node("Mul", [gap, gap], [square]))
    nodes.append(helper.make_node("Mean", squares, ["variance"]))
    nodes.append(helper.make_node("Sqrt", ["variance"], [SPREAD]))
    nodes.append(helper.make_node("Concat", [MEAN, SPREAD], [VALUES], axis=axis))
    return nodes


def _inputs(graph: Any) -> list[Any]:
    """Ports that are no weights: old files list those too."""
    weights = {w.name for w in graph.initializer}
    return [port for port in graph.input if port.name not in weights]


def _output(card: ModelCard, graph: Any) -> Any:
    """The one that is the result; a member's card names no several."""
    return graph.output[card.output.index]


def _all(texts: Sequence[str], between: str) -> str:
    """What several say, each once."""
    return between.join(dict.fromkeys(text for text in texts if text))


def _unlike(card: ModelCard, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"{card.id} cannot be part of an ensemble: it {why}.",
        "Join ONNX models of one value that were exported alike.",
    )
