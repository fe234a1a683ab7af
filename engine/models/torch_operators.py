"""Operators of PyTorch's own library that models may call, and what they are given."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch

FILE_OPERATORS = {"save", "from_file"}
"""The operators of the library ``aten`` that touch files."""
OPERATOR = re.compile(r"torch\.ops\.aten\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
OF_LENGTHS = (
    *("add", "sub", "mul", "floordiv", "truediv", "mod", "neg"),
    *("eq", "ne", "lt", "le", "gt", "ge", "getitem"),
)
ARITHMETIC: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in OF_LENGTHS},
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_not": operator.not_,
}
"""What a graph calculates with lengths."""
TRAINING = {"train", "training"}
"""Parameters that make dropout and batch normalisation behave as during training."""
NUMBER_TYPES: dict[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""By the numbers that exported programs give them."""
MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
"""By the numbers that exported programs give them."""


def find_operator(target: str) -> Callable[..., Any]:
    """What a node of an exported program calls: arithmetic, or an operator of ``aten``.

    Raises:
        ValueError: for everything else, whatever PyTorch would make of it.
    """
    if target in ARITHMETIC:
        return ARITHMETIC[target]
    match = OPERATOR.fullmatch(target)
    if match is None or match[1] in FILE_OPERATORS:
        raise ValueError(f"it calls {target[:80]}, which Swath lets no model do")
    try:
        found: Callable[..., Any] = getattr(getattr(torch.ops.aten, match[1]), match[2])
    except AttributeError:
        raise ValueError(f"this PyTorch has no operator {target[:80]}") from None
    return found


def overwritten(call: Callable[..., Any]) -> set[str]:
    """The parameters that an operator changes in place."""
    schema = getattr(call, "_schema", None)
    parameters = schema.arguments if schema is not None else ()
    return {p.name for p in parameters if p.alias_info and p.alias_info.is_write}
