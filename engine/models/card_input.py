"""The inputs of a model card as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_args

from engine.models.card import (
    OURS,
    Derived,
    DerivedKind,
    Layout,
    ModelInput,
    Quantity,
    Transform,
    TransformKind,
)
from engine.models.node import Node

AXIS_WORDS = {"batch": "N", "time": "", "channel": "C", "class": "C", "bands": "C"} | {
    "height": "H",
    "width": "W",
}
"""The extension's names of axes."""
MLM_WORDS: dict[TransformKind, tuple[str, ...]] = {
    "z-score": ("mean", "stddev"),
    "min-max": ("minimum", "maximum"),
    "clip": ("minimum", "maximum"),
    "scale": ("value",),
    "offset": ("value",),
    "decibel": ("minimum",),
    "one-hot": ("values",),
    "cycle": ("period",),
}
"""Names of the numbers of each step."""
OWN_STEPS = ("decibel", "one-hot", "cycle")
"""Steps that the extension has no word for."""


def input_from(node: Node) -> ModelInput:
    """Read one entry of ``mlm:input``; its shape is checked by ``check_shape``."""
    bands = tuple(_band_name(n) for n in node["bands"].items())
    if not bands or len(set(bands)) != len(bands):
        node["bands"].refuse("a list of different band names")
    gsd, gsd_range = node["gsd"].positive(), node["swath:gsd_range"].span()
    if not 0 < gsd_range[0] <= gsd <= gsd_range[1]:
        node["swath:gsd_range"].refuse(f"two lengths with the gsd {gsd:g} between them")
    derived = tuple(_derived(n, bands) for n in _listed(node, "swath:derived"))
    return ModelInput(
        bands=bands,
        quantity=cast("Quantity", node["swath:quantity"].one_of(get_args(Quantity))),
        valid_range=node["swath:valid_range"].span(),
        transforms=_transforms(node, len(bands) + len(derived)),
        gsd=gsd,
        gsd_range=gsd_range,
        name=node["name"].text(),
        derived=derived,
        fill=_or(node, "swath:fill", Node.number, 0.0),
        is_optional="swath:optional" in node and node["swath:optional"].flag(),
        is_partial="swath:missing_bands" in node and node["swath:missing_bands"].flag(),
        has_gaps="swath:gaps" in node and node["swath:gaps"].flag(),
        is_class_map="swath:class_map" in node and node["swath:class_map"].flag(),
        nodata=_or(node, "swath:nodata", Node.number, None),
        dates=_or(node, "swath:dates", _dates, None),
        wavelengths=_or(node, "swath:wavelengths", lambda n: _centres(n, len(bands)), ()),
        axes=axes_of(node["input"]["dim_order"]),
    )


def input_to_json(given: ModelInput, edge: int) -> dict[str, Any]:
    """Write one entry of ``mlm:input``; ``edge`` is a fixed tile's, -1 for any."""
    lengths = {"N": -1, "C": given.channels, "H": edge, "W": edge}
    times = ["time"] if given.dates else []
    words = {"N": "batch", "C": "channel", "H": "height", "W": "width"}
    optional = {
        "swath:derived": [{"kind": d.kind, "bands": list(d.bands)} for d in given.derived],
        "swath:fill": given.fill,
        "swath:optional": given.is_optional,
        "swath:missing_bands": given.is_partial,
        "swath:gaps": given.has_gaps,
        "swath:class_map": given.is_class_map,
        "swath:dates": list(given.dates or ()),
        "swath:wavelengths": list(given.wavelengths),
    }
    return {
        "name": given.name,
        "bands": list(given.bands),
        "input": {
            "shape": [-1, *(-1 for _ in times), *(lengths[a] for a in given.axes[1:])],
            "dim_order": ["batch", *times, *(words[a] for a in given.axes[1:])],
            "data_type": "float32",
        },
        **_transforms_to_json(given),
        "gsd": given.gsd,
        "swath:gsd_range": list(given.gsd_range),
        "swath:quantity": given.quantity,
        "swath:valid_range": list(given.valid_range),
        **{name: value for name, value in optional.items() if value},
        **({} if given.nodata is None else {"swath:nodata": given.nodata}),
    }


def axes_of(node: Node) -> Layout:
    """The layout that a list of axes describes."""
    found = "".join(AXIS_WORDS.get(word, "?") for word in node.texts())
    if found not in get_args(Layout):
        node.refuse("batch, channel, height, width or batch, height, width, channel")
    return cast("Layout", found) if found else OURS


def check_shape(node: Node, axes: Layout, channels: int, edge: int) -> None:
    """Compare a shape (-1 stands for any length) with what the rest of the card says."""
    shape = [n.integer(-1) for n in node.items()]
    lengths = {"C": channels, "H": edge, "W": edge}
    tail = shape[-len(axes) + 1 :]
    pairs = zip(tail, axes[1:], strict=False)
    fits = all(have in (-1, lengths[axis]) for have, axis in pairs)
    if len(shape) < len(axes) or not fits or tail[axes[1:].index("C")] != channels:
        wanted = [-1, *(lengths[axis] for axis in axes[1:])]
        node.refuse(f"{wanted}, as bands or classes and tile size have it")


def _band_name(node: Node) -> str:
    """The extension allows a name, or an object with one."""
    return node.text() if isinstance(node.value, str) else node["name"].text()


def _centres(node: Node, bands: int) -> tuple[float, ...]:
    found = tuple(n.positive() for n in node.items())
    return found if len(found) == bands else node.refuse(f"a number for each of the {bands} bands")


def _transforms(node: Node, channels: int) -> tuple[Transform, ...]:
    if "swath:transforms" in node:
        steps = tuple(_step(n, channels) for n in node["swath:transforms"].items())
        if any(step.is_last for step in steps[:-1]):
            node["swath:transforms"].refuse("steps of which one-hot or cycle is the last one")
        return steps
    entries = node["value_scaling"].items()
    if len(entries) not in (0, 1, channels):
        node["value_scaling"].refuse(f"one entry, or one for each of the {channels} channels")
    return (_merged(entries),) if entries else ()


def _step(node: Node, channels: int) -> Transform:
    kind = cast("TransformKind", node["type"].one_of(tuple(MLM_WORDS)))
    columns = [_numbers(node[word]) for word in MLM_WORDS[kind]]
    lengths = {len(column) for column in columns}
    if 0 in lengths or (kind != "one-hot" and lengths not in ({1}, {channels})):
        node.refuse(f"steps with one number, or one for each of the {channels} channels")
    return _checked(Transform(kind, *columns), node)


def _merged(entries: tuple[Node, ...]) -> Transform:
    """One step from the extension's list of entries, one a band."""
    known = tuple(k for k in MLM_WORDS if k not in OWN_STEPS)
    kind = cast("TransformKind", entries[0]["type"].one_of(known))
    for entry in entries:
        entry["type"].one_of((kind,))
    for entry in entries:
        _checked(Transform(kind, *((entry[word].number(),) for word in MLM_WORDS[kind])), entry)
    return Transform(kind, *(tuple(e[w].number() for e in entries) for w in MLM_WORDS[kind]))


def _checked(step: Transform, node: Node) -> Transform:
    """Refuse what would divide by zero, or hold values between bounds that are none."""
    if step.kind == "z-score" and min(step.second) <= 0:
        node["stddev"].refuse("a number above 0")
    pairs = zip(step.first, step.second, strict=True)
    if step.kind in ("min-max", "clip") and any(low >= high for low, high in pairs):
        node.refuse("a minimum below its maximum")
    if step.kind == "decibel" and min(step.first) <= 0:
        node["minimum"].refuse("a number above 0")
    if step.kind == "cycle" and (len(step.first) > 1 or step.first[0] <= 0):
        node["period"].refuse("one number above 0")
    return step


def _transforms_to_json(given: ModelInput) -> dict[str, Any]:
    steps = given.transforms
    if len(steps) == 1 and steps[0].kind not in OWN_STEPS:
        return {"value_scaling": value_scaling(steps[0])}
    if not steps:
        return {"value_scaling": []}
    return {"swath:transforms": [_step_to_json(step) for step in steps]}


def value_scaling(step: Transform) -> list[dict[str, Any]]:
    """A step as the extension has it: one entry, or one a channel."""
    words = MLM_WORDS[step.kind]
    columns = zip(*(c for c in (step.first, step.second) if c), strict=True)
    return [{"type": step.kind, **dict(zip(words, row, strict=True))} for row in columns]


def _step_to_json(step: Transform) -> dict[str, Any]:
    columns = (list(c) for c in (step.first, step.second) if c)
    return {"type": step.kind, **dict(zip(MLM_WORDS[step.kind], columns, strict=True))}


def _derived(node: Node, bands: tuple[str, ...]) -> Derived:
    kind = cast("DerivedKind", node["kind"].one_of(get_args(DerivedKind)))
    named = node["bands"].texts()
    wanted = 0 if kind.startswith(("lat", "lon")) else 2
    if len(named) != wanted or any(name not in bands for name in named):
        node["bands"].refuse(f"{wanted} of the input's bands")
    return Derived(kind, named)


def _dates(node: Node) -> tuple[int, int]:
    fewest, most = (n.integer(1) for n in node.items())
    return (fewest, most) if fewest <= most else node.refuse("two numbers, the smaller one first")


def _numbers(node: Node) -> tuple[float, ...]:
    """One number, or a list of them."""
    if isinstance(node.value, list):
        return tuple(n.number() for n in node.items())
    return (node.number(),)


def _listed(node: Node, key: str) -> tuple[Node, ...]:
    return node[key].items() if key in node else ()


def _or(node: Node, key: str, read: Callable[[Node], Any], default: Any) -> Any:
    return read(node[key]) if key in node else default
