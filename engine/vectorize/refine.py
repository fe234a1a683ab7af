"""What users ask of finished patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.vectorize.patches import Patches


def fill_holes(patches: Patches, smallest: float) -> Patches:
    """Close the holes that are smaller than ``smallest``, in the unit of the tally's area.

    What lies in a hole stays a patch of its own: ask for patches of at least the same area, too,
    and nothing overlaps.
    """
    outlines, tally = patches.outlines, patches.tally
    pixel_area = np.repeat(tally.area / tally.pixels, np.diff(outlines.polygons))
    areas = outlines.ring_areas
    gone = (areas < 0) & (-areas * pixel_area < smallest)
    return replace(patches, outlines=outlines.without_rings(gone))


def measured_by_outline(patches: Patches) -> Patches:
    """With the area of what the outlines enclose, when that is no longer the pixels'.

    A pixel's mean area in the patch stands for that of the pixels lost and won.
    """
    tally = patches.tally
    area = tally.area * (patches.outlines.areas / tally.pixels)
    return replace(patches, tally=replace(tally, area=area))
