"""Tiled results against one forward pass over the whole image, and against the scene's mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import rasterio

from benchmark.models import BenchModel
from benchmark.workload import hidden

U8 = npt.NDArray[np.uint8]
BORDER = 64
"""Pixels next to the image's edge that are judged apart."""


@dataclass(frozen=True)
class Difference:
    """Share of pixels with another class than the whole-image forward has, in per cent."""

    all: float
    inner: float
    border: float
    worst_line: float
    """Of the row or column, borders cut off, with the most of them: a seam would stand out."""


def whole_image(model: BenchModel, raster: Path, cache: Path) -> U8:
    """Classes of one forward pass over all of a raster; kept, since it is dear."""
    name = f"{raster.stem}-{model.name}-{model.sha256[:12]}-{onnxruntime.__version__}.npy"
    kept = cache / "references" / name
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, _forward(model, raster))
    classes: U8 = np.load(kept)
    return classes


def difference(result: Path, reference: U8) -> Difference:
    """Compare a class raster with a reference of the same size."""
    with rasterio.open(result) as source:
        wrong = source.read(1) != reference
    inner = wrong[BORDER:-BORDER, BORDER:-BORDER]
    frame = wrong.sum() - inner.sum()
    return Difference(
        all=_percent(wrong.mean()),
        inner=_percent(inner.mean()),
        border=_percent(frame / (wrong.size - inner.size)),
        worst_line=_percent(max(inner.mean(0).max(), inner.mean(1).max())),
    )


def wrong_nodata(result: Path, classes: int) -> int:
    """Pixels that are nodata and should not be, or are not and should be.

    Args:
        result: Of the raster with a corner and a hole.
        classes: Ids below this are classes; a nodata value among them makes every pixel wrong.
    """
    with rasterio.open(result) as source:
        written, nodata = source.read(1), source.nodata
    if nodata is None or 0 <= nodata < classes:
        return int(written.size)
    return int(((written == nodata) != hidden(written.shape[0])).sum())


def _forward(model: BenchModel, raster: Path) -> U8:
    with rasterio.open(raster) as source:
        pixels = source.read()[None].astype(np.float32) / 255
    session = onnxruntime.InferenceSession(model.network, providers=["CPUExecutionProvider"])
    scores = session.run(None, {session.get_inputs()[0].name: pixels})[0]
    decided: U8 = scores[0].argmax(0).astype(np.uint8)
    return decided


def _percent(share: float) -> float:
    return 100.0 * float(share)
