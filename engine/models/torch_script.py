"""TorchScript files: programs in a small language of their own, checked before they run.

Loading reads pickles, but in PyTorch's own reader, which knows no Python objects. What such a file
could still do is to run code of its own while it is loaded (``__setstate__``), to bring objects of
native libraries to life (``torch.classes``), and to call operators that read and write files. The
first two are refused before loading, the last before the first pass.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from engine.models.torch_archive import PICKLED, Members, read_members, write_members
from engine.models.torch_operators import FILE_OPERATORS
from engine.models.torch_tensors import check_tensors

NEEDED = ("data.pkl", "constants.pkl")
KEPT = re.compile(
    r"data\.pkl|constants\.pkl|(\.data/)?version|byteorder|(data|constants)/.*|code/.*\.py"
)
"""What the network needs; traces of the training program and attached files stay outside."""
RUNS_ON_LOADING = re.compile(rb"\b__setstate__\b")
CLASSES = "__torch__.torch.classes"
OTHER_WAYS = {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"}
"""Opcodes that name a class in a way that PyTorch never writes."""
DEEPEST = 100
"""Brackets in brackets."""
MOST_STEPS = 2000
"""Operators of one statement."""
MOST_INDENT = 200
"""Blanks before a statement."""
WORDS = re.compile(
    rb'#[^\n]*|"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\])*"'
    rb"|'''(?:\\.|[^\\])*?'''|'(?:\\.|[^'\\])*'",
    re.DOTALL,
)
"""Comments and texts."""
TOKENS = re.compile(
    rb"\n[ \t]*|[()\[\]{}\\]|[+*/%@.<>!&|^~]|-(?!\d)|\b(?:not|and|or|if|else|lambda|is|in)\b"
)
"""What makes statements deep; commas and negative numbers only make them long."""
INNER_CALLS = {"CallFunction", "CallMethod", "PythonOp", "fork", "awaitable", "rpc_async"}
"""Calls that an inlined graph has left over only when it cannot see where they lead."""


def load_script(content: bytes) -> Any:
    """The network of a TorchScript file, on the CPU.

    Raises:
        ValueError: saying why the file is refused.
        RuntimeError: what PyTorch says of a file that it cannot load.
    """
    members = read_members(content)
    if not any(name.startswith("code/") for name in members):
        raise ValueError(PICKLED if "data.pkl" in members else "it is no TorchScript file")
    missing = [name for name in NEEDED if name not in members]
    if missing:
        raise ValueError(f"it is no TorchScript file: {missing[0]} is missing")
    kept = {name: data for name, data in members.items() if KEPT.fullmatch(name)}
    _check_members(kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(io.BytesIO(write_members(kept)), map_location="cpu").eval()
    _check_operators(network.forward.inlined_graph)
    return network


def _check_members(members: Members) -> None:
    for name, data in members.items():
        if name.endswith(".py") and RUNS_ON_LOADING.search(data):
            raise ValueError("it would run code of its own while it is loaded (__setstate__)")
        if name.endswith(".py"):
            _check_code(data)
        if name.endswith(".pkl"):
            _check_pickle(data)
            folder = name.removesuffix(".pkl") + "/"
            check_tensors(data, {n.removeprefix(folder): d for n, d in members.items()})


def _check_code(data: bytes) -> None:
    """Refuse statements that would take PyTorch's reader, or what it builds, too deep."""
    depth = steps = 0
    for token in TOKENS.finditer(WORDS.sub(b"0", data)):
        text = token[0]
        depth += (text in b"([{") - (text in b")]}")
        steps = 0 if text.startswith(b"\n") and depth <= 0 else steps + 1
        is_deep = text.startswith(b"\n") and len(text) > MOST_INDENT
        if text == b"\\" or depth > DEEPEST or steps > MOST_STEPS or is_deep:
            raise ValueError("its code is nested more deeply than that of any network")


def _check_pickle(data: bytes) -> None:
    for code, argument, _position in pickletools.genops(data):
        named = str(argument).replace(" ", ".") if code.name == "GLOBAL" else ""
        if code.name in OTHER_WAYS or named.startswith(CLASSES):
            raise ValueError(f"it holds an object of a native library ({named or code.name})")


def _check_operators(graph: Any) -> None:
    for kind in _kinds(graph):
        space, _, name = kind.partition("::")
        plain = space == "aten" and name not in FILE_OPERATORS
        if not plain and (space != "prim" or name in INNER_CALLS):
            raise ValueError(f"it calls {kind}, which Swath lets no model do")


def _kinds(block: Any) -> Iterator[str]:
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)
