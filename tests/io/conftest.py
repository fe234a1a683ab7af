"""Small real rasters."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

UTM32 = "EPSG:32632"


@pytest.fixture
def write_raster(tmp_path):
    """A function that writes an array as a raster and gives its path as text."""

    def write(
        name,
        data,
        *,
        origin=(500_000.0, 5_000_000.0),
        size=10.0,
        crs=UTM32,
        transform=None,
        names=(),
        colors=(),
        tags=None,
        scales=None,
        offsets=None,
        mask=None,
        **options,
    ):
        array = np.asarray(data)
        array = array[None] if array.ndim == 2 else array
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if crs is not None and transform is None:
            transform = Affine(size, 0, origin[0], 0, -size, origin[1])
        profile = {"driver": "GTiff", "dtype": array.dtype, "count": array.shape[0]}
        profile |= {"height": array.shape[1], "width": array.shape[2]}
        profile |= {"crs": crs, "transform": transform} | options
        given = {key: value for key, value in profile.items() if value is not None}
        with rasterio.open(path, "w", **given) as out:
            out.write(array)
            for index, text in enumerate(names, 1):
                out.set_band_description(index, text)
            if colors:
                out.colorinterp = [ColorInterp[c] for c in colors]
            if tags:
                out.update_tags(**tags)
            if scales:
                out.scales = scales
            if offsets:
                out.offsets = offsets
            if mask is not None:
                out.write_mask(mask)
        return str(path)

    return write


@pytest.fixture
def digital_numbers():
    """A function that makes plausible Sentinel-2 numbers, ``[count, height, width]`` uint16."""

    def make(count, height=40, width=50, seed=0):
        random = np.random.default_rng(seed)
        return random.integers(300, 4000, (count, height, width)).astype(np.uint16)

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data folder beside the project."""
    beside = Path(__file__).parents[3] / "shared"
    folder = Path(os.environ.get("SWATH_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip("the shared data folder is missing")
    return folder
