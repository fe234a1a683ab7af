"""From stored numbers to what a network takes, as its card says: pure arithmetic on arrays.

Arrays may lie in memory or on a device; all that is computed stays where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.geo.arrays import Array, beside, namespace
from engine.models.card import Derived, ModelInput, Transform

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Step = Callable[[Array], Array]

DECIBEL = Transform("decibel", (1e-6,))
"""Of radar's power: less than -60 dB is noise."""
LEAST_SUM = 1e-6
"""Denominators of indices nearer to zero than this count as no data."""


@dataclass(frozen=True)
class Linear:
    """``x * gain + bias``, channel by channel."""

    gain: F32
    """``[C, 1, 1]``"""
    bias: F32
    """``[C, 1, 1]``"""

    def __call__(self, numbers: Array) -> Array:
        """``[C, H, W]`` of any type of numbers."""
        found = _scaled(numbers, self.gain)
        found += beside(self.bias, numbers)
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
        stored: Array,
        has_data: npt.NDArray[np.bool_] | None,
        place: F64 | None = None,
    ) -> Array:
        """Encode ``[C, H, W]``; pixels without data (None: there are none) become ``fill``.

        Args:
            stored: As files have it.
            has_data: ``[H, W]``, in memory.
            place: Longitude and latitude of every pixel, ``[2, H, W]`` degrees, for channels
                that are derived from them.
        """
        xp = namespace(stored)
        encoded = self.first(stored)
        if self.derived:
            more = [_derived(d, self.bands, encoded, place) for d in self.derived]
            encoded = xp.concat([encoded, xp.stack(more)])
        for step in self.steps:
            encoded = step(encoded)
        if has_data is not None:
            encoded = xp.where(beside(has_data, stored), encoded, self.fill)
        return encoded

    @property
    def needs_place(self) -> bool:
        """Whether some channel tells where a pixel is."""
        return any(not d.bands for d in self.derived)


def encoding_of(
    given: ModelInput, scale: Sequence[float], offset: Sequence[float], *, is_power: bool = False
) -> Encoding:
    """The encoding of bands whose physical values are ``stored * scale + offset``.

    Of power, the decibel of that.

    Linear steps that follow each other become one, so that the commonest encoding is a single
    multiplication and addition.
    """
    steps = [_step(t, given) for t in (*([DECIBEL] * is_power), *given.transforms)]
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
    if transform.kind == "cycle":
        return lambda x: _turned(x, transform.first[0], len(given.bands))
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
        return lambda x: 10 * namespace(x).log10(namespace(x).maximum(x, beside(low, x)))
    high = _column(two)
    return lambda x: namespace(x).clip(x, beside(low, x), beside(high, x))


def _scaled(numbers: Array, gain: F32) -> Array:
    """The product in float32, of numbers of any type."""
    if isinstance(numbers, np.ndarray):
        return np.multiply(numbers, gain, dtype=np.float32)
    xp = namespace(numbers)
    return xp.astype(numbers, xp.float32) * beside(gain, numbers)


def _one_hot(numbers: Array, values: Sequence[float], bands: int) -> Array:
    """Every band's codes as one channel a value; channels that follow the bands stay."""
    xp = namespace(numbers)
    hot = [numbers[band] == value for band in range(bands) for value in values]
    return xp.concat([xp.astype(xp.stack(hot), xp.float32), numbers[bands:]])


def _turned(numbers: Array, period: float, bands: int) -> Array:
    """Every band as cosine and sine of a full turn each ``period``, brought from -1..1 to 0..1."""
    xp = namespace(numbers)
    angles = [numbers[band] * (2 * np.pi / period) for band in range(bands)]
    waves = [(wave(angle) + 1) / 2 for angle in angles for wave in (xp.cos, xp.sin)]
    return xp.concat([xp.astype(xp.stack(waves), xp.float32), numbers[bands:]])


def _derived(rule: Derived, bands: tuple[str, ...], physical: Array, place: F64 | None) -> Array:
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
    return beside(found, physical)


def _index(kind: str, one: Array, two: Array) -> Array:
    if kind == "difference":
        return one - two
    xp = namespace(one)
    below = two if kind == "ratio" else one + two
    above = one if kind == "ratio" else one - two
    usable = xp.abs(below) > LEAST_SUM
    return xp.where(usable, above / xp.where(usable, below, 1), 0)


def _column(values: Sequence[float] | F64) -> F32:
    column: F32 = np.asarray(values, np.float64).astype(np.float32)[:, None, None]
    return column
