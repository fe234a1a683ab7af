"""Five sources on five grids whose channels can be worked out by hand, and AGBD's statistics."""

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.transform import from_origin

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts" / "converting"))
import agbd_network  # noqa: F401 - a script's module

AFTER = "S2A_MSIL2A_20220126T063101_N0400_R020_T41RKN_20220126T100000"
BEFORE = "S2A_MSIL2A_20220121T063101_N0301_R020_T41RKN_20220121T100000"
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
HEIGHT, WIDTH = 40, 50
LAT, LON = 9e-5, 1.04e-4
"""Degrees along a pixel: about 10 m at 30 degrees north."""
ROW, COL = 20, 24
"""The pixel whose centre is at 30 degrees north, 60 degrees east."""
WEST, NORTH = 60 - (COL + 0.5) * LON, 30 + (ROW + 0.5) * LAT
HH, HV, DEVIATION, PROBABILITY, DEM = 4000, 2000, 3, 80, 512
CODES = 20, 111
"""Of the land cover west and east of a meridian."""
EAST_OF = 60.001
BESIDE = 8
"""Pixels by which the canopy height begins outside the scene."""

STATISTICS = {
    "S2_bands": {
        band: {"p1": np.float64(0.01), "p99": np.float64(0.21 + 0.01 * n)}
        for n, band in enumerate(BANDS)
    },
    "ALOS_bands": {"HH": {"p1": -20.0, "p99": 0.0}, "HV": {"p1": -30.0, "p99": -5.0}},
    "CH": {"ch": {"p1": 0.0, "p99": 40.0}, "std": {"p1": 1.0, "p99": 5.0}},
    "DEM": {"p1": np.float32(12.0), "p99": np.float32(2012.0)},
}


@dataclass(frozen=True)
class Sources:
    """Files by what the card calls them."""

    s2: Path
    others: dict[str, Path]
    numbers: np.ndarray
    """Of Sentinel-2, as stored, ``[12, H, W]``; 0: no data."""

    @property
    def options(self):
        """As the command line takes the further ones."""
        pairs = [("--with", f"{name}={path}") for name, path in self.others.items()]
        return [word for pair in pairs for word in pair]


def write_statistics(path):
    """As the authors keep them."""
    path.write_bytes(pickle.dumps(STATISTICS))
    return path


def make_sources(folder, product=AFTER):
    """Write all files."""
    numbers = np.random.default_rng(7).integers(1100, 4000, (12, HEIGHT, WIDTH)).astype(np.uint16)
    numbers[:, ROW, COL] = 1000 + 100 * np.arange(1, 13)
    numbers[:, 30:34, 5:9] = 0
    s2 = _write(
        folder / f"{product}.tif", numbers, "EPSG:4326", from_origin(WEST, NORTH, LON, LAT), BANDS
    )
    radar = np.stack([np.full((80, 80), n, np.uint16) for n in (HH, HV)])
    ramp = heights(np.arange(60) * 2 + 0.5 - BESIDE)[None, None].repeat(60, 1).astype(np.float32)
    cover = np.full((2, 30, 30), PROBABILITY, np.uint8)
    cover[0] = np.where(np.arange(30) < 15, *CODES)
    ground = np.full((1, 80, 80), DEM, np.int16)
    spread = np.full((1, 80, 80), DEVIATION, np.uint8)
    radar[:, :, :20], ground[:, :, 60:] = 0, -9999
    others = {
        "alos": _about(folder / "radar.tif", radar, "EPSG:32641", 25.0, ("HH", "HV")),
        "height": _write(
            folder / "chm.tif",
            ramp,
            "EPSG:4326",
            from_origin(WEST - BESIDE * LON, NORTH + BESIDE * LAT, 2 * LON, 2 * LAT),
        ),
        "height-deviation": _about(folder / "spread.tif", spread, "EPSG:32640", 20.0),
        "landcover": _write(
            folder / "cover.tif",
            cover,
            "EPSG:4326",
            from_origin(EAST_OF - 0.015, NORTH + 0.005, 0.001, 0.001),
        ),
        "dem": _about(folder / "dem.tif", ground, "EPSG:3857", 30.0),
    }
    others["landcover-probability"] = others["landcover"]
    return Sources(s2, others, numbers)


def heights(columns):
    """Metres at columns of Sentinel-2; linear, so that interpolation is exact."""
    return 5 + 0.2 * columns


def by_hand(sources, offset):
    """All 24 channels ``[24, H, W]``, from the definitions; ``offset`` is 1 since 25 January 2022.

    The gaps of radar and terrain lie beside the scene.
    """
    shape = HEIGHT, WIDTH
    reflectance = (sources.numbers - offset * 1000.0) / 10000
    highest = 0.21 + 0.01 * np.arange(12)[:, None, None]
    s2 = np.clip((reflectance - 0.01) / (highest - 0.01), 0, 1)
    lat = NORTH - (np.arange(HEIGHT)[:, None] + 0.5) * LAT
    lon = WEST + (np.arange(WIDTH)[None] + 0.5) * LON
    place = [
        (wave(angle) + 1) / 2
        for angle in (np.pi * lat / 90, np.pi * lon / 180)
        for wave in (np.cos, np.sin)
    ]
    radar = [(20 * np.log10(HH) - 83 + 20) / 20, (20 * np.log10(HV) - 83 + 30) / 25]
    height = heights(np.arange(WIDTH))[None] / 40
    turn = 2 * np.pi * np.where(lon < EAST_OF, *CODES) / 100
    cover = [(np.cos(turn) + 1) / 2, (np.sin(turn) + 1) / 2, PROBABILITY / 100]
    rest = [*place, *radar, height, (DEVIATION - 1) / 4, *cover, (DEM - 12) / 2000]
    return np.concatenate([s2, np.stack([np.broadcast_to(one, shape) for one in rest])])


def _about(path, data, crs, pixel, names=()):
    """A raster in metres whose middle is 30 degrees north, 60 degrees east."""
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(60, 30)
    half = data.shape[-1] / 2 * pixel
    return _write(path, data, crs, from_origin(x - half, y + half, pixel, pixel), names)


def _write(path, data, crs, transform, names=()):
    layout = {"driver": "GTiff", "dtype": data.dtype.name, "count": len(data), "crs": crs}
    layout |= {"height": data.shape[1], "width": data.shape[2], "transform": transform}
    with rasterio.open(path, "w", **layout) as target:
        target.write(data)
        if names:
            target.descriptions = names
    return path
