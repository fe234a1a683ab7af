"""A page as one HTML file: no network, no scripts; plain where a viewer knows little."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.report.numbers import UNKNOWN, shown
from engine.report.page import Block, Column, Page

COLOR = re.compile(r"#[0-9a-fA-F]{6}")
GREY = "#999999"
LONG = 32
"""Letters of a word."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
LEVELS = {"fine": ("✓", "OK"), "look": ("!", "Check"), "bad": ("✗", "Problem")}
"""A sign and a word for each: colours alone do not tell everybody."""


def rendered(page: Page) -> str:
    """The whole file; whatever text the page holds is shown, never interpreted."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - heavy

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"runs": _runs, "shown": _shown, "color": _color, "is_long": _is_long}
    text = environment.get_template("page.html").render(page=page, levels=LEVELS)
    return CONTROL.sub("", text).encode("utf-8", "backslashreplace").decode()


def _runs(blocks: Sequence[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Neighbours of one kind together, with the kind's name."""
    for kind, several in itertools.groupby(blocks, type):
        yield kind.__name__, list(several)


def _shown(cell: Any, column: Column | None = None) -> str:
    if cell is None:
        return UNKNOWN
    if isinstance(cell, bool | str):
        return str(cell)
    return shown(cell, column.digits if column else None)


def _is_long(cell: Any) -> bool:
    """Whether a cell has words that may be broken, such as paths and digests."""
    return isinstance(cell, str) and any(len(word) > LONG for word in cell.split())


def _color(text: str) -> str:
    return text if COLOR.fullmatch(text) else GREY
