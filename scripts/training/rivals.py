"""What a change model is measured beside: comparisons that learnt nothing about change."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.change.irmad import fit_irmad
from engine.change.threshold import otsu
from engine.change.vectors import fit_vectors
from training.encoder import MEAN, STD
from training.mapping import scores_of

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


def by_irmad(before: F32, after: F32) -> U8:
    """1 where IR-MAD, cut where its statistic falls into two groups, finds change."""
    one, two = (day.reshape(len(day), -1) for day in (before, after))
    return _cut(fit_irmad(one, two).difference.statistic(before, after))


def by_vectors(before: F32, after: F32) -> U8:
    """1 where change vector analysis, cut likewise, finds change."""
    one, two = (day.reshape(len(day), -1) for day in (before, after))
    return _cut(fit_vectors(one, two).statistic(before, after))


def _cut(statistic: npt.NDArray[np.float64]) -> U8:
    root = np.sqrt(statistic)
    cut = otsu(root)
    return np.zeros(root.shape, np.uint8) if cut is None else (root >= cut).astype(np.uint8)


def by_maps(session, before: F32, after: F32) -> U8:  # noqa: ANN001 - onnxruntime has no types
    """Two maps of a model of single dates, compared: 1 new building, 2 building gone.

    Args:
        session: A building model.
        before: ``[3, H, W]`` normalised as the model wants it.
        after: The same place later.
    """
    maps = [scores_of(session, 255 * (day * STD + MEAN)).argmax(0) for day in (before, after)]
    found: U8 = ((maps[1] > maps[0]) + 2 * (maps[0] > maps[1])).astype(np.uint8)
    return found
