"""What a page holds, whatever it will look like."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "right"]
Level = Literal["fine", "look", "bad"]
"""Nothing to see; something that a reader should look at; results would mislead."""


@dataclass(frozen=True)
class Swatch:
    """A class as legends show it."""

    color: str
    """``#rrggbb``; whatever is none is shown grey."""
    name: str


Cell = str | int | float | Swatch | None
"""Of a table; None: nobody knows."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    sentence: str


@dataclass(frozen=True)
class Points:
    """Sentences one below the other."""

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Text for a machine, to be copied."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names and what they stand for."""

    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    unit: str = ""
    digits: int | None = None
    """Behind the point; None: as many as the number needs, six digits in all."""
    align: Align = "right"


@dataclass(frozen=True)
class Table:
    """Rows of one kind.

    Raises:
        ValueError: when a row has not a cell for each column.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("a row has not a cell for each column")


@dataclass(frozen=True)
class Picture:
    """A photo, a map or a chart; pictures that follow each other stand side by side."""

    data: bytes | str
    """The bytes of a PNG or JPEG, or the text of an SVG."""
    caption: str
    alt: str
    """What it shows, for those who do not see it."""

    @property
    def is_drawing(self) -> bool:
        """Whether it is made of lines and text, not of pixels."""
        return isinstance(self.data, str)

    @property
    def uri(self) -> str:
        """The picture itself as an address."""
        if isinstance(self.data, str):
            kind, content = "svg+xml", self.data.encode()
        else:
            kind, content = "png" if self.data.startswith(b"\x89PNG") else "jpeg", self.data
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; findings that follow each other are one table."""

    level: Level
    sentence: str
    topic: str = ""


Block = Text | Points | Code | Facts | Table | Picture | Finding


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """All of it."""

    title: str
    lead: str
    """What a reader in a hurry must know."""
    sections: tuple[Section, ...]
    made: str = ""
    """By what and when, for the last line."""
