"""Messages to plain JSON values and back.

Defaults are written out, unknown fields are ignored on reading, and a value of the wrong shape is
refused with the path to it. The engine's server validates the same classes with pydantic; this
codec is for sides that have the standard library alone.
"""

import dataclasses
import enum
import functools
import types
import typing
from typing import Any, Dict, Type, TypeVar

from .errors import EngineError, ErrorCode

T = TypeVar("T")
_SCALARS = (bool, int, float, str)
_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


def to_plain(value: Any) -> Any:
    """A message as dicts, lists, strings, numbers and None."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: to_plain(v) for k, v in value.items()}
    return value


def from_plain(kind: Type[T], value: Any, path: str = "$") -> T:
    """The message of class ``kind`` that ``value`` describes.

    Raises:
        EngineError: ``REQUEST_INVALID``, naming the path of the first wrong value.
    """
    return _decode(kind, value, path)  # type: ignore[no-any-return]


def _decode(kind: Any, value: Any, path: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        return _decode_optional(args, value, path)
    if origin in _GENERIC:
        return _GENERIC[origin](args, value, path)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, path)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _decode_enum(kind, value, path)
    return _decode_scalar(kind, value, path)


def _decode_optional(args: Any, value: Any, path: str) -> Any:
    if value is None:
        return None
    inner = next(a for a in args if a is not type(None))
    return _decode(inner, value, path)


def _decode_literal(allowed: Any, value: Any, path: str) -> Any:
    if value not in allowed:
        raise _wrong(path, f"one of {', '.join(map(str, allowed))}", value)
    return value


def _decode_tuple(args: Any, value: Any, path: str) -> Any:
    items = _expect(list, list(value) if isinstance(value, tuple) else value, path)
    if Ellipsis in args:
        return tuple(_decode(args[0], v, f"{path}[{i}]") for i, v in enumerate(items))
    if len(items) != len(args):
        raise _wrong(path, f"{len(args)} values", items)
    return tuple(_decode(a, v, f"{path}[{i}]") for i, (a, v) in enumerate(zip(args, items)))


def _decode_dict(args: Any, value: Any, path: str) -> Any:
    entries = _expect(dict, value, path).items()
    return {str(k): _decode(args[1], v, f"{path}.{k}") for k, v in entries}


_GENERIC = {tuple: _decode_tuple, dict: _decode_dict, typing.Literal: _decode_literal}


_hints = functools.cache(typing.get_type_hints)


def _decode_dataclass(kind: Any, value: Any, path: str) -> Any:
    entries = _expect(dict, value, path)
    hints = _hints(kind)
    known: Dict[str, Any] = {}
    for f in dataclasses.fields(kind):
        if f.name in entries:
            wanted = _chosen(f.metadata, known) or hints[f.name]
            known[f.name] = _decode(wanted, entries[f.name], f"{path}.{f.name}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise _wrong(f"{path}.{f.name}", "a value", None)
    return kind(**known)


def _chosen(metadata: Any, known: Dict[str, Any]) -> Any:
    """The class of a field whose shape an earlier field selects; None for all others."""
    if "by" not in metadata:
        return None
    name, kinds, usual = metadata["by"]
    return kinds.get(known.get(name), usual)


def _decode_enum(kind: Any, value: Any, path: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(str(m.value) for m in kind)
        raise _wrong(path, f"one of {names}", value) from None


def _decode_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in _SCALARS and (type(value) is not kind):
        raise _wrong(path, kind.__name__, value)
    return value


def _expect(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(path, kind.__name__, value)
    return value


def _wrong(path: str, wanted: str, got: Any) -> EngineError:
    shown = repr(got)
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    return EngineError(
        ErrorCode.REQUEST_INVALID,
        f"{path} should be {wanted}, not {shown}.",
        "Check the request against the contract of this engine's protocol version.",
    )
