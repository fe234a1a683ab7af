"""Which pixels belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.sparse.csgraph import connected_components

Classes = npt.NDArray[Any]
"""``[H, W]`` class ids of any integer type."""
I32 = npt.NDArray[np.int32]


def label_patches(classes: Classes, nodata: int | None) -> tuple[I32, Classes]:
    """The 4-connected patches of equal class.

    Args:
        classes: ``[H, W]`` class ids.
        nodata: The value that is no class; None: every value is one.

    Returns:
        Labels ``[H, W]``, 0 where nodata, and the class of each patch: patch ``n`` has label
        ``n + 1``.
    """
    opens = np.ones(classes.shape, bool)
    np.not_equal(classes[:, 1:], classes[:, :-1], out=opens[:, 1:])
    run = np.cumsum(opens, dtype=np.int32).reshape(classes.shape) - 1
    run_class = classes[opens]
    count, group = grouped(_touching(classes, opens, run), len(run_class))
    group_class = np.empty(count, classes.dtype)
    group_class[group] = run_class
    is_patch = group_class != nodata if nodata is not None else np.ones(count, bool)
    number = np.where(is_patch, np.cumsum(is_patch, dtype=np.int32), 0).astype(np.int32)
    return number[group][run], group_class[is_patch]


def grouped(links: npt.NDArray[Any], count: int) -> tuple[int, I32]:
    """Number of groups, and the group of each of ``count`` members that ``links [2, n]`` join."""
    weight = np.ones(links.shape[1], np.int8)
    graph = scipy.sparse.coo_array((weight, (links[0], links[1])), shape=(count, count))
    groups, group = connected_components(graph.tocsr(), directed=False)
    return groups, group


def _touching(classes: Classes, opens: npt.NDArray[np.bool_], run: I32) -> I32:
    """Pairs of runs of equal class in neighbouring rows, each pair where its contact begins."""
    same = classes[1:] == classes[:-1]
    begins = same.copy()
    begins[:, 1:] &= ~same[:, :-1] | opens[1:, 1:] | opens[:-1, 1:]
    return np.stack([run[:-1][begins], run[1:][begins]])
