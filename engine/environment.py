"""The process environment that the engine works in."""

from __future__ import annotations

import os

FOREIGN = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "GEOTIFF_CSV")
"""Variables by which a desktop GIS points PROJ and GDAL to data files of its own versions."""


def drop_foreign_geodata() -> None:
    """Forget where other programs keep the data of their PROJ and GDAL.

    The engine's wheels bring data that fit their libraries; with another version's files they
    fail or give wrong coordinates. To be called before rasterio, pyproj or fiona are imported.
    """
    for name in FOREIGN:
        os.environ.pop(name, None)
