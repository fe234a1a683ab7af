"""One picture of a scene and what was found in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from engine.contract.messages import ClassArea
from engine.io.staging import os_errors_translated

U8 = npt.NDArray[np.uint8]

_PANEL = 760
"""Longest side of scene and result, pixels."""
_SMALLEST_PANEL = 160
_MARGIN, _GAP = 36, 20
_LEGEND = 300
_ROW = 52
_PAPER, _INK, _GREY = (250, 249, 246), (28, 32, 36), (112, 118, 124)
_VOID = (224, 222, 216)
"""Where there is no data."""
_DIMMED = 0.55
_OPACITY = 0.6
_PERCENTILES = (1.0, 99.0)
_GAMMA = 1.4
"""Lifts dark land beside bright clouds."""
_SAMPLE = 1_000_000
_HECTARE = 1e4
_MANY_HECTARES = 100
"""From here on without decimals."""
_MORE_LETTERS = "·…°“”«»‘’"
"""What Pillow's own font has beyond ASCII."""
_SPELT_OUT = {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O"}
_SPELT_OUT |= {"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "×": "x"}


@dataclass(frozen=True)
class _Frame:
    """Where things are on the canvas, pixels."""

    panel: tuple[int, int]
    """``(width, height)`` of scene and of result."""
    rows: int
    """Of the legend."""

    @property
    def size(self) -> tuple[int, int]:
        width = 2 * _MARGIN + 2 * self.panel[0] + 2 * _GAP + _LEGEND
        return width, self.top + max(self.panel[1], self.rows * _ROW + 40) + 84

    @property
    def top(self) -> int:
        return 128

    def left(self, column: int) -> int:
        """Left edge of scene (0), result (1) and legend (2)."""
        return _MARGIN + column * (self.panel[0] + _GAP)


def stretch(data: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_]) -> U8:
    """Numbers to colours: each band between its 1st and 99th percentile, dark tones lifted.

    Args:
        data: ``[3, H, W]`` red, green, blue in any unit.
        valid: ``[H, W]``, True where data counts; the rest becomes light grey.

    Returns:
        ``[H, W, 3]``
    """
    colors = np.empty((*valid.shape, 3), np.uint8)
    for channel, band in enumerate(data):
        colors[..., channel] = _stretch_band(band, valid)
    colors[~valid] = _VOID
    return colors


def _stretch_band(band: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_]) -> U8:
    sample = band[valid]
    if not sample.size:
        return np.zeros(band.shape, np.uint8)
    low, high = np.percentile(sample[:: sample.size // _SAMPLE + 1], _PERCENTILES)
    share = (np.nan_to_num(band) - low) / max(high - low, np.finfo(np.float32).tiny)
    lifted: U8 = (255 * np.clip(share, 0, 1) ** (1 / _GAMMA) + 0.5).astype(np.uint8)
    return lifted


def draw_picture(  # noqa: PLR0917 - from the back of the picture to its edge
    path: Path,
    scene: U8,
    classes: U8,
    legend: Sequence[ClassArea],
    title: str,
    caption: str,
) -> None:
    """Draw scene and result side by side with a legend, as PNG.

    Args:
        path: File to write.
        scene: ``[H, W, 3]`` colours.
        classes: ``[H, W]`` class ids on the same pixels; ids that are not in ``legend`` stay
            uncoloured.
        legend: Classes with their shares.
        title: Headline.
        caption: One line below: where the scene and the model are from.

    Raises:
        EngineError: ``DISK_FULL``, ``OUTPUT_UNWRITABLE``.
    """
    frame = _Frame(_panel_size(classes.shape), len(legend))
    canvas = Image.new("RGB", frame.size, _PAPER)
    left = _fit(scene, frame.panel)
    canvas.paste(left, (frame.left(0), frame.top))
    canvas.paste(_result(left, classes, legend, frame.panel), (frame.left(1), frame.top))
    _write_texts(canvas, frame, title, caption)
    _draw_legend(canvas, frame, legend)
    with os_errors_translated(path):
        canvas.save(path, format="PNG", optimize=True)


def _panel_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height; very thin rasters are widened to be seen."""
    height, width = shape
    factor = _PANEL / max(height, width)
    return (
        max(round(width * factor), _SMALLEST_PANEL),
        max(round(height * factor), _SMALLEST_PANEL),
    )


def _fit(colors: U8, size: tuple[int, int]) -> Image.Image:
    """Sharp pixels when enlarged, smooth when reduced."""
    is_larger = colors.shape[1] >= size[0]
    method = Image.Resampling.BOX if is_larger else Image.Resampling.NEAREST
    return Image.fromarray(colors).resize(size, method)


def _result(
    scene: Image.Image, classes: U8, legend: Sequence[ClassArea], size: tuple[int, int]
) -> Image.Image:
    grey = scene.convert("L").convert("RGB")
    dimmed = Image.blend(Image.new("RGB", size, _PAPER), grey, _DIMMED)
    paint = np.zeros((*classes.shape, 4), np.uint8)
    for area in legend:
        paint[classes == area.class_id] = (*_rgb(area.color), round(255 * _OPACITY))
    layer = _fit(paint, size)
    dimmed.paste(layer, (0, 0), layer)
    return dimmed


def _write_texts(canvas: Image.Image, frame: _Frame, title: str, caption: str) -> None:
    pen = ImageDraw.Draw(canvas)
    width = frame.size[0] - 2 * _MARGIN
    pen.text((_MARGIN, 30), _drawable(title, 34, width), _INK, _font(34))
    for column, name in enumerate(("Scene", "Result")):
        pen.text((frame.left(column), frame.top - 30), name, _GREY, _font(18))
    below = frame.size[1] - 52
    pen.text((_MARGIN, below), _drawable(caption, 17, width), _GREY, _font(17))


def _draw_legend(canvas: Image.Image, frame: _Frame, legend: Sequence[ClassArea]) -> None:
    pen = ImageDraw.Draw(canvas)
    left = frame.left(2)
    right = left + _LEGEND
    pen.text((left, frame.top - 30), "Classes, share of the area", _GREY, _font(18))
    for row, area in enumerate(legend):
        top = frame.top + row * _ROW
        pen.rounded_rectangle(
            (left, top + 4, left + 32, top + 36), 5, _rgb(area.color), outline=_GREY
        )
        pen.text((left + 46, top), _drawable(area.name, 20, 164), _INK, _font(20))
        pen.text((left + 46, top + 23), _amount(area), _GREY, _font(15))
        pen.text((right, top + 6), f"{area.share:.1%}", _INK, _font(22), anchor="ra")


def _amount(area: ClassArea) -> str:
    if area.area_m2 is None:
        return f"{area.pixels:,} pixels".replace(",", " ")
    hectares = area.area_m2 / _HECTARE
    return f"{hectares:,.{0 if hectares >= _MANY_HECTARES else 2}f} ha".replace(",", " ")


def _drawable(text: str, size: int, width: int) -> str:
    """The text in the font's letters, cut with an ellipsis to at most ``width`` pixels."""
    font = _font(size)
    text = "".join(c if c.isascii() or c in _MORE_LETTERS else _plain(c) for c in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _plain(letter: str) -> str:
    """The nearest ASCII: Pillow's own font has little else, and no other is there for sure."""
    if unicodedata.category(letter) == "Pd":
        return "-"
    bare = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return bare or _SPELT_OUT.get(letter, "?")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color.lstrip("#"))
    return red, green, blue
