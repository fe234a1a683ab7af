"""Programs that ``torch.export`` wrote (.pt2), read and run without ``torch.export.load``.

``torch.export.load`` would run other people's code: it unpickles sample inputs and odd weights,
evaluates the lengths of tensors as Python expressions, calls whatever function of PyTorch a node
names, loads compiled libraries, and pastes names into Python source. Here the archive's table of
operators (JSON) is read and each one called, as long as it is one of ``torch_operators``; weights
are bare numbers; nothing else of the archive is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.models.torch_archive import PICKLED, Members, read_members
from engine.models.torch_operators import (
    MEMORY_FORMATS,
    NUMBER_TYPES,
    TRAINING,
    find_operator,
    overwritten,
)

GRAPH = "models/model.json"
FOLDERS = {"weights": "data/weights/", "constants": "data/constants/"}
OLDER = b"serialized_exported_program.json"
"""Name of the graph in files of an older layout, whose weights are pickles."""
FLOAT32 = 7
LITERALS = {
    *("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats", "as_bools"),
    *("as_strings", "as_int_lists", "as_float_lists"),
}
"""Arguments that stand for themselves."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Name:
    """An argument that an earlier step made."""

    text: str


@dataclass(frozen=True, slots=True)
class Here:
    """An argument that is the device on which the program runs, whichever it was made on."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    results: tuple[str, ...]
    """Names of what it gives; empty for what nobody needs."""
    is_list: bool
    """Whether the call gives several results."""
    spent: tuple[str, ...] = ()
    """What no later step needs."""


class Program:
    """An exported program. Safe to call from several threads."""

    def __init__(
        self,
        steps: Sequence[Step],
        weights: Tensors,
        takes: Mapping[str, Shape],
        gives: Sequence[str],
    ) -> None:
        self.shapes = tuple(takes.values())
        """Of the inputs; None where any length goes."""
        self._steps = _with_spent(steps, {*weights, *gives})
        self._weights = weights
        self._takes = takes
        self._gives = gives
        self._device = torch.device("cpu")

    def to(self, device: torch.device) -> Program:
        """The same on another device."""
        self._weights = {name: tensor.to(device) for name, tensor in self._weights.items()}
        self._device = device
        return self

    def __call__(self, *given: torch.Tensor) -> tuple[Any, ...]:
        """The outputs for the inputs."""
        values: dict[str, Any] = {**self._weights, **dict(zip(self._takes, given, strict=True))}
        for step in self._steps:
            args = [self._resolved(a, values) for a in step.args]
            options = {k: self._resolved(a, values) for k, a in step.options.items()}
            found = step.call(*args, **options)
            values.update(zip(step.results, found if step.is_list else [found], strict=True))
            for name in step.spent:
                values.pop(name, None)
        return tuple(values[name] for name in self._gives)

    def _resolved(self, argument: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(argument, Name):
            return values[argument.text]
        if isinstance(argument, list):
            return [self._resolved(a, values) for a in argument]
        return self._device if isinstance(argument, Here) else argument


Shape = tuple[int | None, ...]


def load_program(content: bytes) -> Program:
    """The program of a .pt2 file, on the CPU.

    Raises:
        ValueError: saying why the file is refused.
    """
    if OLDER in content:
        raise ValueError("an older PyTorch wrote it, with its weights as pickles; export it again")
    members = read_members(content)
    if GRAPH not in members:
        raise ValueError(_why_not(members))
    if members.get("byteorder", b"little") != b"little":
        raise ValueError("its numbers are of a machine with another order of bytes")
    try:
        return _program(json.loads(members[GRAPH])["graph_module"], members)
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"its table of operators is not as expected ({error!r:.80})") from error


def _why_not(members: Members) -> str:
    if any(name.startswith("data/aotinductor/") for name in members):
        return "it holds a compiled library, which may do anything; save it with torch.export.save"
    if "data.pkl" in members:
        return PICKLED
    return "it is no file of torch.export.save"


def _program(module: Any, members: Members) -> Program:
    graph, signature = module["graph"], module["signature"]
    if any(list(o) != ["user_output"] for o in signature["output_specs"]):
        raise ValueError("it changes its own weights, so that scores would depend on earlier ones")
    weights, takes = _bound(signature["input_specs"], members)
    gives = [output["as_tensor"]["name"] for output in graph["outputs"]]
    if not takes or not gives:
        raise ValueError(f"it takes {len(takes)} inputs and gives {len(gives)} outputs")
    steps = [_step(node, set(weights)) for node in graph["nodes"]]
    taken = [graph["tensor_values"][name] for name in takes]
    if any(one["dtype"] != FLOAT32 for one in taken):
        raise ValueError("it takes numbers that are not float32")
    shapes = [tuple(size.get("as_int") for size in one["sizes"]) for one in taken]
    return Program(steps, weights, dict(zip(takes, shapes, strict=True)), gives)


def _bound(specs: Sequence[Any], members: Members) -> tuple[Tensors, list[str]]:
    """Weights by their names in the graph, and the names of the inputs."""
    stored = {kind: _stored(folder, kind, members) for kind, folder in FOLDERS.items()}
    both = {**stored["constants"], **stored["weights"]}
    weights, takes = {}, []
    for spec in specs:
        ((kind, value),) = spec.items()
        if kind == "user_input" and "as_tensor" in value["arg"]:
            takes.append(value["arg"]["as_tensor"]["name"])
        elif kind in ("parameter", "buffer", "tensor_constant"):
            weights[value["arg"]["name"]] = both[value[f"{kind}_name"]]
        else:
            raise ValueError(f"it takes an input that is no tensor ({kind})")
    return weights, takes


def _stored(folder: str, kind: str, members: Members) -> Tensors:
    """The tensors of one folder; those that are kept as pickles are refused."""
    table = members.get(f"{folder}model_{kind}_config.json")
    if table is None:
        raise ValueError("it keeps its weights as pickles; export it again with a newer PyTorch")
    found = {}
    for name, entry in json.loads(table)["config"].items():
        if entry["use_pickle"] or entry["tensor_meta"] is None:
            raise ValueError(f"it keeps «{name[:60]}» as a pickle, which is never loaded")
        found[name] = _tensor(entry["tensor_meta"], members[folder + entry["path_name"]])
    return found


def _tensor(meta: Any, data: bytes) -> torch.Tensor:
    if meta["dtype"] not in NUMBER_TYPES:
        raise ValueError(f"it keeps numbers of an unknown type ({meta['dtype']})")
    kind = NUMBER_TYPES[meta["dtype"]]
    sizes, strides = ([n["as_int"] for n in meta[key]] for key in ("sizes", "strides"))
    if not data:
        return torch.zeros(sizes, dtype=kind)
    flat = torch.frombuffer(bytearray(data), dtype=kind)
    try:
        return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])
    except RuntimeError as error:
        raise ValueError("its weights are shorter than its table says") from error


def _step(node: Any, weights: set[str]) -> Step:
    call = find_operator(node["target"])
    inputs = [(i["name"], _argument(i["arg"]), i["kind"]) for i in node["inputs"]]
    for name, value, _kind in inputs:
        if name in TRAINING and value is True:
            raise ValueError("it was exported in training mode; call .eval() before exporting")
        if isinstance(value, Name) and value.text in weights and name in overwritten(call):
            raise ValueError("it changes its own weights while it runs")
    is_named = [kind == 2 for _name, _value, kind in inputs]  # noqa: PLR2004 - schema's KEYWORD
    args = tuple(v for (_n, v, _k), named in zip(inputs, is_named, strict=True) if not named)
    options = {n: v for (n, v, _k), named in zip(inputs, is_named, strict=True) if named}
    outputs = node["outputs"]
    if len(outputs) == 1:
        ((kind, value),) = outputs[0].items()
        if kind == "as_tensors":
            return Step(call, args, options, tuple(t["name"] for t in value), is_list=True)
        return Step(call, args, options, (_result(outputs[0]),), is_list=False)
    results = tuple(_result(o) for o in outputs)
    return Step(call, args, options, results or ("",), is_list=bool(results))


def _result(output: Any) -> str:
    ((kind, value),) = output.items()
    if kind == "as_none":
        return ""
    name: str = value["name"] if kind == "as_tensor" else value["as_name"]
    return name


def _argument(given: Any) -> Any:
    """An argument as it is passed on, with ``Name`` and ``Here`` for what is not known yet."""
    ((kind, value),) = given.items()
    if kind in LITERALS:
        return value
    if kind == "as_optional_tensors":
        return [_argument(v) for v in value]
    if kind in LISTS:
        return [READERS[kind[:-1]](v) for v in value]
    if kind not in READERS:
        raise ValueError(f"it gives an operator an argument of an unknown kind ({kind[:40]})")
    return READERS[kind](value)


def _number(value: Any) -> Any:
    """A length: the name of one, or a plain number."""
    return Name(value["as_name"]) if "as_name" in value else next(iter(value.values()))


READERS: dict[str, Callable[[Any], Any]] = {
    "as_none": lambda _value: None,
    "as_tensor": lambda value: Name(value["name"]),
    "as_optional_tensor": _argument,
    "as_sym_int": _number,
    "as_sym_float": _number,
    "as_sym_bool": _number,
    "as_scalar_type": lambda value: NUMBER_TYPES[value],
    "as_memory_format": lambda value: MEMORY_FORMATS[value],
    "as_layout": lambda _value: torch.strided,
    "as_device": lambda _value: Here(),
}
LISTS = {"as_tensors", "as_sym_ints", "as_sym_floats", "as_sym_bools"}
"""Kinds of which each element is read like the kind without its last letter."""


def _with_spent(steps: Sequence[Step], kept: set[str]) -> list[Step]:
    """The steps, each with the values that it is the last to need."""
    last: dict[str, int] = {}
    for number, step in enumerate(steps):
        for name in _names([*step.args, *step.options.values()]) | {*step.results}:
            last[name] = number
    spent: dict[int, list[str]] = {}
    for name, number in last.items():
        if name not in kept:
            spent.setdefault(number, []).append(name)
    return [
        Step(s.call, s.args, s.options, s.results, s.is_list, tuple(spent.get(n, ())))
        for n, s in enumerate(steps)
    ]


def _names(arguments: Sequence[Any]) -> set[str]:
    found: set[str] = set()
    for argument in arguments:
        if isinstance(argument, Name):
            found.add(argument.text)
        elif isinstance(argument, list):
            found |= _names(argument)
    return found
