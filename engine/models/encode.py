"""From stored numbers to what a network takes, as its card says: pure arithmetic on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.models.card import Derived, ModelInput, Transform

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Step = Callable[[F32], F32]

LEAST_SUM = 1e-6
"""Denominators of indices nearer to zero than this count as no data."""


@dataclass(frozen=True)
class Linear:
    """``x * gain + bias``, channel by channel."""

    gain: F32
    """``[C, 1, 1]``"""
    bias: F32
    """``[C, 1, 1]``"""

    def __call__(self, numbers: npt.NDArray[Any]) -> F32:
        """``[C, H, W]`` of any type of numbers."""
        found: F32 = np.multiply(numbers, self.gain, dtype=np.float32)
        found += self.bias
        return found


@dataclass(frozen=True)
class Encoding:
    """Stored numbers of one input to the network's."""

    first: Linear
    steps: tuple[Step, ...]
    derived: tuple[Derived, ...]
    bands: tuple[str, ...]
    fill: float

    def __call__(
        self,
        stored: npt.NDArray[Any],
        has_data: npt.NDArray[np.bool_] | None,
        place: F64 | None = None,
    ) -> F32:
        """Encode ``[C, H, W]``; pixels without data (None: there are none) become ``fill``.

        Args:
            stored: As files have it.
            has_data: ``[H, W]``.
            place: Longitude and latitude of every pixel, ``[2, H, W]`` degrees, for channels
                that are derived from them.
        """
        encoded = self.first(stored)
        if self.derived:
            more = [_derived(d, self.bands, encoded, place) for d in self.derived]
            encoded = np.concatenate([encoded, np.stack(more)])
        for step in self.steps:
            encoded = step(encoded)
        if has_data is not None:
            encoded[:, ~has_data] = self.fill
        return encoded

    @property
    def needs_place(self) -> bool:
        """Whether some channel tells where a pixel is."""
        return any(not d.bands for d in self.derived)


def encoding_of(given: ModelInput, scale: Sequence[float], offset: Sequence[float]) -> Encoding:
    """The encoding of bands whose physical values are ``stored * scale + offset``.

    Linear steps that follow each other become one, so that the commonest encoding is a single
    multiplication and addition.
    """
    steps = [_step(t, given) for t in given.transforms]
    first = Linear(_column(scale), _column(offset))
    gain, bias = np.asarray(scale, np.float64), np.asarray(offset, np.float64)
    while not given.derived and steps:
        exact = steps[0]
        if not isinstance(exact, _Exact):
            break
        steps.pop(0)
        gain, bias = gain * exact.gain, bias * exact.gain + exact.bias
        first = Linear(_column(gain), _column(bias))
    return Encoding(
        first,
        tuple(s.linear() if isinstance(s, _Exact) else s for s in steps),
        given.derived,
        given.bands,
        given.fill,
    )


@dataclass(frozen=True)
class _Exact:
    """A linear step in double precision, before it is folded with others."""

    gain: F64
    bias: F64

    def linear(self) -> Linear:
        return Linear(_column(self.gain), _column(self.bias))


def _step(transform: Transform, given: ModelInput) -> _Exact | Step:
    count = len(given.bands) + len(given.derived)
    first, second = (np.asarray(c, np.float64) for c in (transform.first, transform.second))
    if transform.kind == "one-hot":
        return lambda x: _one_hot(x, transform.first, len(given.bands))
    one, two = (np.broadcast_to(c, count) if c.size else c for c in (first, second))
    zeros, ones = np.zeros(count), np.ones(count)
    linear = {
        "z-score": lambda: _Exact(1 / two, -one / two),
        "min-max": lambda: _Exact(1 / (two - one), -one / (two - one)),
        "scale": lambda: _Exact(one, zeros),
        "offset": lambda: _Exact(ones, one),
    }
    if transform.kind in linear:
        return linear[transform.kind]()
    low = _column(one)
    if transform.kind == "decibel":
        return lambda x: 10 * np.log10(np.maximum(x, low))
    high = _column(two)
    return lambda x: np.clip(x, low, high)


def _one_hot(numbers: F32, values: Sequence[float], bands: int) -> F32:
    """Every band's codes as one channel a value; channels that follow the bands stay."""
    hot = [numbers[band] == value for band in range(bands) for value in values]
    return np.concatenate([np.stack(hot).astype(np.float32), numbers[bands:]])


def _derived(rule: Derived, bands: tuple[str, ...], physical: F32, place: F64 | None) -> F32:
    if rule.bands:
        one, two = (physical[bands.index(name)] for name in rule.bands)
        return _index(rule.kind, one, two)
    if place is None:
        msg = "where the pixels are was not given"
        raise ValueError(msg)
    axis, _, wave = rule.kind.partition("-")
    angle = np.pi * (place[0] / 180 if axis == "lon" else place[1] / 90)
    turned = np.sin(angle) if wave == "sin" else np.cos(angle)
    found: F32 = ((turned + 1) / 2).astype(np.float32)
    return found


def _index(kind: str, one: F32, two: F32) -> F32:
    if kind == "difference":
        return one - two
    below = two if kind == "ratio" else one + two
    above = one if kind == "ratio" else one - two
    usable = np.abs(below) > LEAST_SUM
    found: F32 = np.divide(above, below, out=np.zeros_like(above), where=usable)
    return found


def _column(values: Sequence[float] | F64) -> F32:
    column: F32 = np.asarray(values, np.float64).astype(np.float32)[:, None, None]
    return column
