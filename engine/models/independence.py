"""Does a network score a tile by that tile alone? Results must not depend on what stands beside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError, ErrorCode
from engine.models.runtime import Model
from engine.models.shapes import input_shapes

TOLERANCE = 0.01
"""Of the scores' spread: more than rounding differs between places of a batch."""


def check_independent(model: Model, batch: int) -> None:
    """Compare a tile of noise at the end of a full batch with the same tile on its own.

    Args:
        model: Open.
        batch: Tiles that go through the network in one pass; below 2 there is nothing to compare.

    Raises:
        EngineError: ``MODEL_INVALID`` when scores depend on a tile's place or neighbours.
    """
    if batch <= 1:
        return
    card = model.card
    edge = card.tiling.padded(2 * card.tiling.margin + card.tiling.stride)
    tiles = [_several(shape, batch) for shape in input_shapes(card, edge, edge)]
    together = model.predict(*tiles)
    alone = model.predict(*(t[-1:] for t in tiles))[0]
    if np.abs(together[-1] - alone).max() > TOLERANCE * np.ptp(together):
        raise _dependent(model)


def _several(shape: tuple[int, ...], batch: int) -> npt.NDArray[np.float32]:
    """Noise for ``batch`` tiles; the months of a series are the first one."""
    if len(shape) == 2:  # noqa: PLR2004 - tiles and dates
        return np.ones((batch, *shape[1:]), np.float32)
    return np.random.default_rng(0).standard_normal((batch, *shape[1:]), np.float32)


def _dependent(model: Model) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The model {model.card.id} scores a tile by the other tiles of its batch, or by its "
        "place among them, so that results would depend on how a raster is cut.",
        "Export the model again for one tile at a time, in inference mode.",
    )
