"""Which share of each pixel a polygon covers, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from engine.geo.window import Window

F64 = npt.NDArray[np.float64]


def covered(polygon: Any, window: Window) -> F64:
    """Shares ``[H, W]``, 0..1, of a window's pixels that lie in a polygon.

    Exact up to rounding (exactextract, Baston 2025), where centres alone would make small and
    narrow polygons too large or too small.

    Args:
        polygon: In pixel coordinates: x = column, y = row.
        window: The pixels.
    """
    from exactextract import exact_extract  # noqa: PLC0415 - heavy
    from exactextract.feature import JSONFeatureSource  # noqa: PLC0415 - heavy
    from exactextract.raster import NumPyRasterSource  # noqa: PLC0415 - heavy

    height, width = window.shape
    found = np.zeros(height * width)
    box = shapely.box(window.col, -window.row_stop, window.col_stop, -window.row)
    turned = shapely.transform(polygon, lambda xy: xy * np.array([1.0, -1.0]))
    part = shapely.intersection(turned, box)
    if shapely.area(part) > 0:
        source = NumPyRasterSource(
            np.zeros(window.shape, np.float32),
            xmin=window.col,
            xmax=window.col_stop,
            ymin=-window.row_stop,
            ymax=-window.row,
        )
        pieces = [p for p in shapely.get_parts(part) if shapely.area(p) > 0]
        feature = {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(shapely.multipolygons(pieces)),
            "properties": {},
        }
        told = exact_extract(source, JSONFeatureSource([feature]), ["cell_id", "coverage"])
        properties = told[0]["properties"]
        found[np.asarray(properties["cell_id"], np.int64)] = properties["coverage"]
    return found.reshape(window.shape)
