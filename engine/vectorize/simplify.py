"""Fewer vertices, the same neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from engine.vectorize.edges import edges_of
from engine.vectorize.label import label_patches
from engine.vectorize.outline import outlines

Bool = npt.NDArray[np.bool_]
_OUTSIDE = -1


def kept_corners(classes: npt.NDArray[np.unsignedinteger[Any]], tolerance: float) -> Bool:
    """The pixel corners that stay vertices when a block's outlines are simplified.

    All patches of the block (nodata is one more class) are simplified together, so that they go
    on sharing their borders. What lies on the block's edge stays as it is: blocks fit to each
    other, whatever is in them, and an outline that crosses from one to the next keeps a vertex
    there.

    Args:
        classes: ``[H, W]``
        tolerance: Corners go while the triangle with their neighbours is smaller than the square
            of it (Visvalingam and Whyatt), pixels.

    Returns:
        ``[H + 1, W + 1]``
    """
    labels, class_id = label_patches(classes, None)
    padded = np.pad(classes.astype(np.int32), 1, constant_values=_OUTSIDE)
    edges = edges_of(padded, labels, _OUTSIDE, (0, 0), junctions=True)
    shapes = outlines(edges, len(class_id)).shapes()
    simple = shapely.coverage_simplify(shapes, tolerance, simplify_boundary=False)
    col, row = shapely.get_coordinates(simple).astype(np.intp).T
    kept = np.zeros((classes.shape[0] + 1, classes.shape[1] + 1), bool)
    kept[row, col] = True
    return kept
