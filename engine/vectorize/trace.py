"""The polygons of one block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.features
import scipy.ndimage
import shapely

from engine.geo.window import Window

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Pieces:
    """The 4-connected patches of one class each within a block; patch ``n`` has label ``n+1``."""

    window: Window
    labels: I32
    """``[H, W]``; 0 where nodata."""
    class_id: U8
    """``[n]``"""
    pixels: npt.NDArray[np.int64]
    """``[n]``"""
    confidence: npt.NDArray[np.float64]
    """``[n]``, summed over the pixels."""
    polygon: npt.NDArray[np.object_]
    """``[n]`` shapely polygons in pixels of the whole grid: ``x`` = column, ``y`` = row."""


def trace(classes: U8, confidence: U8, nodata: int, window: Window) -> Pieces:
    """Find the patches of a block and their outlines along pixel edges.

    Args:
        classes: ``[H, W]`` class ids.
        confidence: ``[H, W]``, any unit; summed for each patch.
        nodata: The value that is no class.
        window: Where the block lies.
    """
    labels, class_id = _label(classes, nodata)
    count = len(class_id) + 1
    flat = labels.ravel()
    pixels = np.bincount(flat, minlength=count)[1:].astype(np.int64)
    weights = np.bincount(flat, confidence.ravel(), minlength=count)[1:].astype(np.float64)
    return Pieces(window, labels, class_id, pixels, weights, _outlines(labels, count - 1, window))


def _label(classes: U8, nodata: int) -> tuple[I32, U8]:
    labels = np.zeros(classes.shape, np.int32)
    owners: list[U8] = []
    total = 0
    for value in np.unique(classes):
        if value == nodata:
            continue
        found, count = scipy.ndimage.label(classes == value)
        np.add(labels, found + total, out=labels, where=found > 0)
        owners.append(np.full(count, value, np.uint8))
        total += count
    return labels, np.concatenate(owners) if owners else np.zeros(0, np.uint8)


def _outlines(labels: I32, count: int, window: Window) -> npt.NDArray[np.object_]:
    polygons = np.empty(count, object)
    shapes = rasterio.features.shapes(labels, mask=labels > 0, connectivity=4)
    for shape, label in shapes:
        polygons[int(label) - 1] = _polygon(shape, window)
    return polygons


def _polygon(shape: dict[str, Any], window: Window) -> shapely.Polygon:
    corner = np.array([window.col, window.row], np.float64)
    rings = [np.asarray(r) + corner for r in shape["coordinates"]]
    return shapely.Polygon(rings[0], rings[1:])
