"""Small pictures of scenes and results of any size, read with few of their pixels."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from PIL import Image, ImageDraw, ImageFont

from engine.geo.grid import Grid
from engine.io.picture import U8, stretch
from engine.io.source import Band, Scene

Coloring = Callable[[int], str | None]
"""``#rrggbb`` of a code; None for one without a colour."""

LONGEST, SHORTEST = 900, 480
"""Of a picture's longer side, pixels."""
QUALITY = 88
"""Of a JPEG."""
COLORS = (("red", "green", "blue"), ("nir", "red", "green"))
"""Roles that are shown as red, green and blue; the first of these that a scene has."""
LEAST_POWER = 1e-6
PAPER, INK, HALO = (250, 249, 246), (20, 22, 26), (255, 255, 255)
DIMMED, OPACITY = 0.55, 0.75
OTHER = (205, 203, 198)
"""Of codes without a colour."""
VOID = (224, 222, 216)
"""Where there is no result."""
LETTERS = 30
"""Along a picture's longer side."""
BAR = 0.28
"""Share of a picture's width that a scale bar may take."""
STEPS = (5, 2, 1)
"""First digits of a scale bar's length."""
KILOMETRE = 1000.0


@dataclass(frozen=True, eq=False)
class Look:
    """A scene as a picture."""

    colors: U8
    """``[H, W, 3]``"""
    bands: tuple[str, ...]
    """What is shown as red, green and blue, or as grey."""


@dataclass(frozen=True, eq=False)
class Thin:
    """A result, some of its pixels."""

    values: npt.NDArray[Any]
    """``[H, W]`` of the first band."""
    valid: npt.NDArray[np.bool_]


def coarse_grid(grid: Grid) -> Grid:
    """The grid with at most 900 rows and columns."""
    height, width = grid.shape
    times = max(1.0, max(grid.shape) / LONGEST)
    rows, cols = max(1, round(height / times)), max(1, round(width / times))
    transform = grid.transform @ Affine.scale(width / cols, height / rows)
    return replace(grid, transform=transform, shape=(rows, cols))


def look_at(scene: Scene, coarse: Grid) -> Look:
    """A scene in its colours, each band between its 1st and 99th percentile.

    Args:
        scene: Anywhere; where it does not lie on ``coarse``, the picture is grey.
        coarse: Its pixels become the picture's.

    Raises:
        EngineError: ``INPUT_UNREADABLE`` or what else reading raises.
    """
    roles = _shown_roles(scene)
    source = scene.thinned(_times(scene.grid, coarse)).source(roles, coarse)
    try:
        chip = source.read(coarse.window)
        bands = [_physical(b, s.scaling) for b, s in zip(chip.data, source.bands, strict=True)]
        names = roles if "red" in roles else tuple(map(_band_name, scene.bands[: len(roles)]))
    finally:
        source.close()
    chosen = bands if len(bands) == len("rgb") else [bands[0]] * len("rgb")
    return Look(stretch(np.stack(chosen), chip.valid), names)


def look_at_codes(scene: Scene, coarse: Grid, role: str, color: Coloring) -> Look:
    """A class map in its colours.

    Args:
        scene: The map.
        coarse: Its pixels become the picture's.
        role: Of the band of codes.
        color: Of each code.

    Raises:
        EngineError: as ``look_at``.
    """
    thinned = scene.thinned(_times(scene.grid, coarse))
    source = thinned.source((role,), coarse, is_class_map=True)
    try:
        chip = source.read(coarse.window)
    finally:
        source.close()
    return Look(painted(Thin(chip.data[0], chip.valid), color), (role,))


def thin_result(path: Path, coarse: Grid) -> Thin:
    """Some pixels of a finished raster's first band; overviews are used where there are any."""
    with rasterio.open(path) as dataset:
        values = dataset.read(1, out_shape=coarse.shape)
        valid = dataset.read_masks(1, out_shape=coarse.shape) > 0
    if values.dtype.kind == "f":
        valid &= np.isfinite(values)
    return Thin(values, valid)


def painted(result: Thin, color: Coloring, ground: U8 | None = None) -> U8:
    """Codes in their colours ``[H, W, 3]``.

    Args:
        result: The codes.
        color: Of each; codes without one are grey, or nothing but the ground.
        ground: What shows through, ``[H, W, 3]``.
    """
    codes = np.where(result.valid, result.values, 0).astype(np.int64)
    known, place = np.unique(codes, return_inverse=True)
    place = place.reshape(codes.shape)
    found = [color(int(code)) for code in known]
    mixed = np.array([_rgb(c) if c else OTHER for c in found], np.float64)[place]
    if ground is not None:
        grey = ground.astype(np.float64) @ (0.299, 0.587, 0.114)  # luma of ITU-R BT.601
        below = np.add.outer(DIMMED * grey, (1 - DIMMED) * np.array(PAPER))
        share = (OPACITY * np.array([bool(c) for c in found]))[place][..., None]
        mixed = share * mixed + (1 - share) * below
    mixed[~result.valid] = VOID
    return (mixed + 0.5).astype(np.uint8)


def ramped(result: Thin, ends: tuple[float, float], colors: Sequence[str]) -> U8:
    """Values on a ramp of colours, ``[H, W, 3]``."""
    low, high = ends
    stops = np.array([_rgb(color) for color in colors], np.float64)
    share = np.clip((np.where(result.valid, result.values, low) - low) / (high - low), 0, 1)
    at = np.linspace(0, 1, len(stops))
    mixed = np.stack([np.interp(share, at, stops[:, channel]) for channel in range(3)], -1)
    mixed[~result.valid] = VOID
    return (mixed + 0.5).astype(np.uint8)


def encoded(colors: U8, coarse: Grid, *, is_photo: bool, gsd: float | None = None) -> bytes:
    """The picture as a file, with a scale bar and north where it is georeferenced.

    Args:
        colors: ``[H, W, 3]``
        coarse: The picture's pixels.
        is_photo: JPEG instead of PNG.
        gsd: Metres along a pixel of the scene, where it has no georeference.
    """
    size = _enlarged(coarse.shape)
    image = Image.fromarray(colors).resize(size, Image.Resampling.NEAREST)
    pixel = coarse.pixel_size_m
    metres = pixel[1] if pixel else gsd * abs(coarse.transform.a) if gsd else None
    if metres:
        _draw_bar(image, metres * coarse.shape[1] / size[0])
    if pixel:
        _draw_north(image)
    file = io.BytesIO()
    if is_photo:
        image.save(file, "JPEG", quality=QUALITY)
    else:
        image.save(file, "PNG", optimize=True)
    return file.getvalue()


def bar_length(width: float) -> float:
    """The longest round number of metres within a share of a picture's width in metres."""
    room = BAR * width
    power = 10.0 ** math.floor(math.log10(room))
    return next(step * power for step in STEPS if step * power <= room)


def _shown_roles(scene: Scene) -> tuple[str, ...]:
    """Three bands, or one."""
    there = [band.role for band in scene.bands]
    for roles in COLORS:
        if set(roles) <= set(there):
            return roles
    numbers = tuple(f"band-{n}" for n in range(1, len(there) + 1))
    return numbers[:3] if len(numbers) >= 3 else numbers[:1]  # noqa: PLR2004 - red, green, blue


def _band_name(band: Band) -> str:
    return band.role or band.name


def _times(grid: Grid, coarse: Grid) -> float:
    """Pixels of a scene along one of the picture."""
    mine, wanted = grid.pixel_size_m, coarse.pixel_size_m
    if mine and wanted:
        return math.sqrt(wanted[0] * wanted[1] / (mine[0] * mine[1]))
    return abs(coarse.transform.a / grid.transform.a)


def _physical(band: npt.NDArray[Any], scaling: Any) -> npt.NDArray[np.float32]:
    """Radar's power in decibel: its brightest echoes leave nothing else to be seen."""
    values: npt.NDArray[np.float32] = band.astype(np.float32) * scaling.scale + scaling.offset
    if scaling.is_power:
        values = 10 * np.log10(np.maximum(values, LEAST_POWER))
    return values


def _enlarged(shape: tuple[int, int]) -> tuple[int, int]:
    """Width and height: small rasters by a whole number, very thin ones are widened to be seen."""
    height, width = shape
    times = max(1, SHORTEST // max(shape))
    least = SHORTEST // 4
    return max(width * times, least), max(height * times, least)


def _draw_bar(image: Image.Image, metres: float) -> None:
    """A scale bar at the lower left.

    Args:
        image: To be drawn on.
        metres: Along one of its pixels.
    """
    unit = max(image.size) / LETTERS
    pen = ImageDraw.Draw(image)
    length = bar_length(metres * image.width)
    text = f"{length / KILOMETRE:g} km" if length >= KILOMETRE else f"{length:g} m"
    left, bottom, right = unit, image.height - unit, unit + length / metres
    pen.rectangle((left - 2, bottom - unit / 3 - 2, right + 2, bottom + 2), HALO)
    pen.rectangle((left, bottom - unit / 3, right, bottom), INK)
    _write(pen, ((left + right) / 2, bottom - unit / 2 - 2), text, "mb", unit)


def _draw_north(image: Image.Image) -> None:
    """An arrow at the upper right."""
    unit = max(image.size) / LETTERS
    pen = ImageDraw.Draw(image)
    middle, top, foot = image.width - 1.6 * unit, unit, 2.8 * unit
    sides = [(middle + side * unit, foot) for side in (0.6, -0.6)]
    pen.polygon(((middle, top), sides[0], (middle, foot - unit / 2), sides[1]), INK, HALO, 2)
    _write(pen, (middle, foot + unit / 4), "N", "mt", unit)


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str, size: float
) -> None:
    font = ImageFont.load_default(size)
    pen.text(place, text, INK, font, anchor, stroke_width=round(size / 8), stroke_fill=HALO)


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color.lstrip("#"))
    return red, green, blue
