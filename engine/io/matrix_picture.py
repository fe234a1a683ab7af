"""A matrix of transitions as a picture (SVG), made of nothing but text."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass

CELL, GAP, MARGIN = 64, 3, 16
LETTER = 7
"""Pixels, about, of a letter in this size."""
HALF_HIGH = 0.35
"""From the line on which letters stand to their middle, of their size: not every viewer knows
SVG's own word for it."""
LONGEST = 24
"""Letters of a name."""
PALE, DEEP = (255, 245, 235), (166, 54, 3)
"""Colours of no change and of the largest transition."""
GREY, FAINT = "#d9d9d9", "#fafafa"
DARK_FROM = 0.55
INK, PAPER = "#202020", "#ffffff"


@dataclass(frozen=True)
class Shown:
    """What the picture shows."""

    title: str
    unit: str
    names: tuple[str, ...]
    """Of rows and of columns."""
    colors: tuple[str, ...]
    cells: tuple[tuple[float | None, ...], ...]
    """``[row][column]``: how much of the row's class became the column's; None for nothing."""
    rows: tuple[float, ...]
    """Sums, as the table has them."""
    columns: tuple[float, ...]


def matrix_svg(shown: Shown) -> str:
    """Rows are the classes before, columns those after; what stayed is grey."""
    count = len(shown.names)
    left = MARGIN + LETTER * max((len(_short(n)) for n in shown.names), default=0) + CELL // 2
    top = 2 * MARGIN + left
    width, height = left + (count + 1) * CELL + MARGIN, top + (count + 1) * CELL + MARGIN
    root = ET.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}"}
        | {"width": str(width), "height": str(height), "font-family": "sans-serif"},
    )
    _box(root, (0, 0), (width, height), PAPER)
    _text(root, MARGIN, 1.5 * MARGIN, f"{shown.title} ({shown.unit})", size=15)
    _names(root, shown, left, top)
    _cells(root, shown, left, top)
    _sums(root, shown, left, top)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _names(root: ET.Element, shown: Shown, left: float, top: float) -> None:
    for n, (name, color) in enumerate(zip(shown.names, shown.colors, strict=True)):
        along = (n + 0.5) * CELL
        _box(root, (left - 12, top + n * CELL), (8, CELL - GAP), color)
        _box(root, (left + n * CELL, top - 12), (CELL - GAP, 8), color)
        _text(root, left - 18, top + along, _short(name), anchor="end")
        _text(root, left + along, top - 18, _short(name), turn=-90)
    _text(root, left - 18, top + (len(shown.names) + 0.5) * CELL, "sum after", anchor="end")
    _text(root, left + (len(shown.names) + 0.5) * CELL, top - 18, "sum before", turn=-90)


def _cells(root: ET.Element, shown: Shown, left: float, top: float) -> None:
    changes = [v for i, r in enumerate(shown.cells) for j, v in enumerate(r) if i != j and v]
    largest = max(changes, default=1.0)
    for i, row in enumerate(shown.cells):
        for j, value in enumerate(row):
            x, y = left + j * CELL, top + i * CELL
            share = math.sqrt((value or 0.0) / largest) if i != j else 0.0
            color = GREY if i == j and value else _mixed(share)
            box = _box(root, (x, y), (CELL - GAP, CELL - GAP), color if value else FAINT)
            ET.SubElement(
                box, "title"
            ).text = f"{shown.names[i]} → {shown.names[j]}: {value or 0:,.6g} {shown.unit}"
            if value is not None:
                ink = PAPER if share > DARK_FROM else INK
                _text(root, x + (CELL - GAP) / 2, y + CELL / 2, _number(value), "middle", ink=ink)


def _sums(root: ET.Element, shown: Shown, left: float, top: float) -> None:
    end = len(shown.names) * CELL
    for n, (row, column) in enumerate(zip(shown.rows, shown.columns, strict=True)):
        along = n * CELL + CELL / 2
        _text(root, left + end + CELL / 2, top + along, _number(row), "middle")
        _text(root, left + along, top + end + CELL / 2, _number(column), "middle")
    whole = _number(sum(shown.rows))
    _text(root, left + end + CELL / 2, top + end + CELL / 2, whole, "middle")


def _box(
    root: ET.Element, corner: tuple[float, float], size: tuple[float, float], fill: str
) -> ET.Element:
    place = {"x": f"{corner[0]:g}", "y": f"{corner[1]:g}"}
    place |= {"width": f"{size[0]:g}", "height": f"{size[1]:g}"}
    return ET.SubElement(root, "rect", {**place, "fill": fill})


def _text(
    root: ET.Element,
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    *,
    size: int = 12,
    turn: int = 0,
    ink: str = INK,
) -> None:
    look = {"x": f"{x:g}", "y": f"{y + HALF_HIGH * size:g}", "font-size": str(size)}
    look |= {"fill": ink, "text-anchor": anchor}
    if turn:
        look["transform"] = f"rotate({turn} {x:g} {y:g})"
    ET.SubElement(root, "text", look).text = text


def _mixed(share: float) -> str:
    parts = (round(low + share * (high - low)) for low, high in zip(PALE, DEEP, strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
