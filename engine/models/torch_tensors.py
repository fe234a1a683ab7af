"""The tensors of a TorchScript archive, held against the numbers that are there for them.

PyTorch's own reader believes what the archive's pickles say of lengths, and then reads beyond the
numbers. The pickles are therefore read here before, by an unpickler for which every class is an
empty shell: nothing that they name is looked up, imported or called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from typing import Any

ITEM_SIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1, "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8, "QInt8Storage": 1,
    "QUInt8Storage": 1, "QInt32Storage": 4,
}  # fmt: skip
"""Bytes of one number, by the names of PyTorch's classes."""
BUILDERS = ("_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_qtensor")
"""Functions whose arguments begin with storage, place of the first number, lengths and steps."""
UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, ArithmeticError, AttributeError, LookupError),
    *(MemoryError, RecursionError, TypeError, ValueError),
)
"""What broken pickles make the unpickler raise."""
DEEPEST = 200
"""Objects in objects; networks are some ten levels deep."""
OUTSIDE = "its tensors are longer than the numbers that it holds for them"


def check_tensors(data: bytes, storages: Mapping[str, bytes]) -> None:
    """Compare all tensors of a pickle with their storages, by the names that it has for them.

    Raises:
        ValueError: when one reaches beyond its numbers, or the pickle cannot be read.
    """
    reader = _Reader(data, storages)
    try:
        _check_depth(reader.load())
    except UNREADABLE as error:
        why = OUTSIDE if reader.is_outside else f"one of its tables is damaged ({error!r:.80})"
        raise ValueError(why) from error


def _check_depth(value: Any) -> None:
    """Refuse what is nested so deeply that PyTorch would run out of its stack."""
    seen, level = set(), [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one
        level = [v for v in inner if isinstance(v, (dict, list, tuple)) and id(v) not in seen]
        seen |= {id(v) for v in level}
        if not level:
            return
    raise ValueError("nested too deeply")


class _Shell(dict[Any, Any]):
    """Stands for an object of any class; takes whatever a pickle does to objects."""

    def __init__(self, *inner: Any) -> None:
        super().__init__(enumerate(inner))

    def __setstate__(self, state: Any) -> None:
        self[len(self)] = state

    def append(self, item: Any) -> None:
        """As lists have it."""
        self[len(self)] = item

    def extend(self, items: Iterable[Any]) -> None:
        """As lists have it."""
        self.update(enumerate(items, len(self)))


class _Reader(pickle._Unpickler):  # noqa: SLF001 - the one in Python: its memory grows with the pickle alone
    def __init__(self, data: bytes, storages: Mapping[str, bytes]) -> None:
        super().__init__(io.BytesIO(data))
        self.is_outside = False
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """A shell, or what measures a tensor."""
        if module.startswith("torch") and name in ITEM_SIZES:
            return name
        if not name.startswith("_rebuild"):
            return _Shell
        if name not in BUILDERS:
            raise ValueError(f"it holds a tensor of an unknown kind ({name[:40]})")
        return self._tensor

    def persistent_load(self, pid: Any) -> int:
        """How many numbers a storage holds."""
        _kind, name, key, _place, count = pid
        held: int = len(self._storages[str(key)]) // ITEM_SIZES[name]
        self.is_outside = self.is_outside or not 0 <= count <= held
        return held

    def _tensor(self, held: int, first: int, sizes: Any, steps: Any, *_: Any) -> _Shell:
        pairs = list(zip(sizes, steps, strict=True))
        numbers = (first, *(n for pair in pairs for n in pair))
        last = first + sum((size - 1) * step for size, step in pairs)
        is_empty = any(size == 0 for size, _step in pairs)
        fits = all(n >= 0 for n in numbers) and (is_empty or last < held)
        self.is_outside = self.is_outside or not fits
        if self.is_outside:
            raise ValueError(OUTSIDE)
        return _Shell()
