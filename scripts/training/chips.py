"""Sentinel-1 chips of floods and what people saw in them: the Sen1Floods11 hand labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

FOLDERS = ("sen1floods11_s1", "sen1floods11_spain")
UNKNOWN = -1


@dataclass(frozen=True)
class Chip:
    """One chip: backscatter in dB and its label."""

    name: str
    backscatter: npt.NDArray[np.float32]
    """``[2, H, W]``: VV, VH in dB; NaN where there is nothing."""
    label: npt.NDArray[np.int16]
    """``[H, W]``: 1 water, 0 none, -1 unknown."""

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Where there is both a label and backscatter."""
        known: npt.NDArray[np.bool_] = np.isfinite(self.backscatter).all(0)
        return known & (self.label != UNKNOWN)


def chips(data: Path) -> list[Chip]:
    """All chips, by name."""
    paths = sorted(p for folder in FOLDERS for p in (data / folder).glob("*_S1Hand.tif"))
    return [_chip(path) for path in sorted(paths, key=lambda p: p.name)]


def _chip(path: Path) -> Chip:
    with rasterio.open(path) as source:
        backscatter = source.read(out_dtype=np.float32)
    with rasterio.open(path.with_name(path.name.replace("S1Hand", "LabelHand"))) as source:
        label = source.read(1).astype(np.int16)
    return Chip(path.name.removesuffix("_S1Hand.tif"), backscatter, label)
