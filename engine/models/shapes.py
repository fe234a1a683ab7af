"""The arrays that a card's network takes and gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.models.card import ModelCard, ModelInput

F32 = npt.NDArray[np.float32]
Shape = tuple[int, ...]


def input_shapes(card: ModelCard, height: int, width: int) -> tuple[Shape, ...]:
    """Of a batch of one tile, in the order of the axes ``N(T)CHW`` whatever the file's is.

    A series comes with its fewest dates, and with the months of its dates as a last array.
    """
    shapes = [_shape(given, height, width) for given in card.inputs]
    if len(shapes) > 1 and card.joining == "stacked":
        return ((1, len(shapes), *shapes[0][1:]),)
    if len(shapes) > 1 and card.joining == "channels":
        return ((1, sum(s[1] for s in shapes), height, width),)
    dates = next((given.dates[0] for given in card.inputs if given.dates), 0)
    return (*shapes, (1, dates)) if dates else tuple(shapes)


def output_shape(card: ModelCard, height: int, width: int) -> Shape:
    """Of what one tile gives, ``NCHW``; a model of two classes may give one score for both."""
    output = card.output
    along = (n if n < 0 else n * output.zoom // output.cell for n in (height, width))
    return (1, output.given, *along)


def noise(card: ModelCard, size: int) -> tuple[F32, ...]:
    """What a model can be tried with: random numbers for one tile; months are January."""
    rng = np.random.default_rng(0)
    shapes = input_shapes(card, size, size)
    return tuple(
        np.ones(s, np.float32) if len(s) == 2 else rng.random(s, np.float32)  # noqa: PLR2004
        for s in shapes
    )


def _shape(given: ModelInput, height: int, width: int) -> Shape:
    times = (given.dates[0],) if given.dates else ()
    return (1, *times, given.channels, height, width)
