"""How far a network sees, and at which shifts it sees the same: the margin and the stride it needs.

Measured, since files do not tell: two tiles of one made-up landscape, one shifted against the
other, must score their common pixels alike. Where they do not, an edge of one of them shows, or
the shift is none of the network's stride. The field is the network's own, so it is measured on
the processor, whatever device the network will run on, and kept for this file and its card.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.codec import from_plain, to_plain
from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelInput
from engine.models.disk import whole_file
from engine.models.encode import encoding_of
from engine.models.runtime import Model, open_model

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SIZES = (256, 512, 768, 1024)
"""Tile edges that are tried one after the other, as far as a model allows them."""
SEEDS = (0, 1)
"""Landscapes that are looked at: one alone may leave units of the network at rest."""
TOLERANCE = 1e-5
"""Scores that differ by less, as a share of their own spread, agree: float32 gives no more."""
RARE = 1e-4
"""Share of decisions that may differ where only decisions count."""
LARGEST_SHIFT = 64
"""Pixels between two tiles of a large size; no usual stride is longer."""
PATIENCE = 30
"""Seconds; a larger tile is not tried when it would take longer."""


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What a network's tiles need."""

    sha256: str
    size: int
    """Edge of the tiles that were compared, pixels."""
    margin: int | None
    """Pixels from a tile's edge beyond which its scores agree with any other tile's; None: they
    differ up to the middle, and no margin is enough."""
    class_margin: int | None
    """The same for the classes that are decided on, but for one pixel in 10,000."""
    stride: int | None
    """Smallest shift that scores follow, pixels; None where ``margin`` is: it cannot be told."""
    differing: float
    """Share of the landscape that gets another class from another tile, beyond the card's
    margin."""


def receptive_field(card: ModelCard, path: Path, folder: Path) -> ReceptiveField:
    """The receptive field of a model, measured now if it is not known.

    Args:
        card: The model's card.
        path: Its file.
        folder: Where measurements are kept.

    Raises:
        EngineError: what ``explore`` and opening the model raise.
    """
    kept = folder / f"{card.file.sha256[:16]}-{_digest(card)}-field.json"
    with contextlib.suppress(OSError, ValueError, EngineError):
        return from_plain(ReceptiveField, json.loads(kept.read_text("utf-8")))
    model = open_model(card, path, "cpu", threads=os.cpu_count() or 1)
    try:
        found = explore(model)
    finally:
        model.close()
    with whole_file(kept) as file:
        file.write(json.dumps(to_plain(found)).encode())
    return found


def explore(model: Model) -> ReceptiveField:
    """Measure a model's receptive field; its card's margin is compared, its stride a first guess.

    Raises:
        EngineError: ``MODEL_FAILED`` when it gives no numbers, or the same ones everywhere;
            what running it raises.
    """
    rule = model.card.tiling
    if rule.size == 1:
        return ReceptiveField(model.card.file.sha256, 1, 0, 0, 1, 0.0)  # it has no neighbours
    for size in _sizes(rule):
        pairs, profile = _look(model, size)
        margin = profile.reach(profile.differences > TOLERANCE)
        if margin is not None:
            break
    return ReceptiveField(
        sha256=model.card.file.sha256,
        size=size,
        margin=margin,
        class_margin=profile.reach(profile.differing >= RARE),
        stride=None if margin is None else _stride(pairs[0], margin, _shift(size, rule.stride)),
        differing=float(profile.differing[min(rule.margin, len(profile.differing) - 1)]),
    )


@dataclass(frozen=True)
class _Profile:
    """How tiles differ, by a pixel's distance from the nearest edge of either of them."""

    largest: F64
    """Largest difference of scores at a distance, as a share of their spread."""
    changed: Ints
    """Pixels with another decision."""
    pixels: Ints
    """All pixels."""

    def __or__(self, other: _Profile) -> _Profile:
        """What both saw."""
        largest = np.maximum(self.largest, other.largest)
        return _Profile(largest, self.changed + other.changed, self.pixels + other.pixels)

    @property
    def differences(self) -> F64:
        """Largest difference at a distance or beyond."""
        return np.maximum.accumulate(self.largest[::-1])[::-1]

    @property
    def differing(self) -> F64:
        """Share of decisions that differ at a distance or beyond."""
        changed, pixels = (np.cumsum(n[::-1])[::-1] for n in (self.changed, self.pixels))
        share: F64 = changed / pixels
        return share

    def reach(self, wrong: npt.NDArray[np.bool_]) -> int | None:
        """The first distance from which nothing is ``wrong``, if it leaves a middle to be sure."""
        first = int(np.flatnonzero(wrong).max(initial=-1)) + 1
        return first if first <= len(wrong) * 3 // 4 else None


class _Pair:
    """A tile of a landscape, and others of the same size that are shifted against it."""

    def __init__(self, model: Model, size: int, shift: int, seed: int) -> None:
        self._model, self._size = model, size
        self._image = _landscape(model.card.input, size, size + shift, seed)
        self._first = self._scores(0)
        scores = self._first
        flat = bool((scores.max(axis=(1, 2)) == scores.min(axis=(1, 2))).all())
        if flat or not np.isfinite(scores).all():
            raise _mute(model.card, "the same scores everywhere" if flat else "no numbers")
        self._spread = max(float(scores.std()), float(np.abs(scores).max()) / 16)

    def compare(self, shift: int) -> _Profile:
        """Compare the first tile with the one ``shift`` pixels further down and right."""
        a, b = self._first[:, shift:, shift:], self._scores(shift)[:, :-shift, :-shift]
        from_edge = np.arange(a.shape[-1])
        from_edge = np.minimum(from_edge, from_edge[::-1])
        distance = np.minimum.outer(from_edge, from_edge).ravel()
        largest = np.zeros(distance.max() + 1)
        np.maximum.at(largest, distance, np.abs(a - b).max(axis=0).ravel() / self._spread)
        changed = distance[(self._decided(a) != self._decided(b)).ravel()]
        counts = (np.bincount(d, minlength=len(largest)) for d in (changed, distance))
        return _Profile(largest, *counts)

    def _scores(self, origin: int) -> F32:
        rows = cols = slice(origin, origin + self._size)
        tile = np.ascontiguousarray(self._image[None, :, rows, cols])
        scores: F32 = self._model.predict(tile)[0]
        return scores

    def _decided(self, scores: F32) -> npt.NDArray[np.intp]:
        """One channel alone is the second class' chance."""
        limit = 0 if self._model.card.output.activation == "sigmoid" else 0.5
        both = scores if len(scores) > 1 else np.stack([np.full_like(scores[0], limit), scores[0]])
        decided: npt.NDArray[np.intp] = both.argmax(axis=0)
        return decided


def _look(model: Model, size: int) -> tuple[list[_Pair], _Profile]:
    """Compare tiles of one size; of a size that is not enough for a free model, only once."""
    shift = _shift(size, model.card.tiling.stride)
    pairs = [_Pair(model, size, shift, SEEDS[0])]
    profile = pairs[0].compare(shift)
    for seed in SEEDS[1:]:
        enough = profile.reach(profile.differences > TOLERANCE) is not None
        if enough or model.card.tiling.fixed:
            pairs.append(_Pair(model, size, shift, seed))
            profile |= pairs[-1].compare(shift)
    return pairs, profile


def _stride(pair: _Pair, margin: int, shift: int) -> int:
    """The smallest shift that scores follow; all that they follow are multiples of it."""
    stride = shift
    for prime in _primes(shift):
        while stride % prime == 0:
            if pair.compare(stride // prime).differences[margin] > TOLERANCE:
                break
            stride //= prime
    return stride


def _primes(number: int) -> list[int]:
    """Its different prime factors."""
    factors = [n for n in range(2, number + 1) if number % n == 0]
    return [n for n in factors if all(n % smaller for smaller in factors if smaller < n)]


def _sizes(rule: TileRule) -> Iterator[int]:
    """Tile edges to try, as long as the next one may be expected to take no longer than allowed."""
    if rule.fixed:
        yield rule.size
        return
    whole = sorted({min(math.ceil(s / rule.stride) * rule.stride, rule.size) for s in SIZES})
    for size, larger in zip(whole, [*whole[1:], rule.size], strict=True):
        began = time.monotonic()
        yield size
        # one landscape of this size was looked at; all of the larger one would be
        if (time.monotonic() - began) * len(SEEDS) * (larger / size) ** 2 > PATIENCE:
            return


def _shift(size: int, stride: int) -> int:
    """The longest of ``stride``, its double, its fourfold …, that leaves tiles much in common."""
    limit = max(size // 8, min(LARGEST_SHIFT, size // 4))
    shift = min(stride, size // 2)
    while 2 * shift <= limit:
        shift *= 2
    return shift


def _landscape(given: ModelInput, inside: int, edge: int, seed: int) -> F32:
    """Normalised pixels ``[C, edge, edge]``: fields of several brightnesses and roughnesses.

    Beyond ``inside`` it is brighter, so that networks which look at the whole tile notice.
    """
    rng = np.random.default_rng(seed)
    bands = len(given.bands)
    relief = _relief(rng, edge, 1.2)
    field = np.digitize(relief, np.quantile(relief, (0.2, 0.4, 0.6, 0.8)))
    brightness = rng.normal(size=5) + 0.5 * rng.normal(size=(bands, 5))
    roughness = rng.permutation((0.02, 0.1, 0.3, 0.6, 1.0))
    pixels = brightness[:, field] + 0.5 * _relief(rng, edge, 1.5)
    pixels += roughness[field] * rng.standard_normal((bands, edge, edge), np.float32)
    pixels[:, inside:] += 1.5
    pixels[:, :, inside:] += 1.5
    return _normalised(given, pixels)


def _relief(rng: np.random.Generator, edge: int, slope: float) -> F64:
    """Noise ``[edge, edge]`` of mean 0 and variance 1; a higher slope makes it smoother."""
    waves = np.hypot(np.fft.fftfreq(edge)[:, None], np.fft.rfftfreq(edge)[None])
    waves[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(edge, edge))) / waves**slope
    relief = np.fft.irfft2(spectrum, s=(edge, edge))
    return np.asarray(relief / relief.std(), np.float64)


def _normalised(given: ModelInput, pixels: F64) -> F32:
    """Pixels of mean 0 and variance 1 as the network's input, within the card's valid range."""
    low, high = given.valid_range
    quarter = (high - low) / 4
    usual = next((t for t in given.transforms if t.kind == "z-score"), None)
    told = (usual.first, usual.second) if usual else ((low + high) / 2, quarter)
    mean, std = (np.reshape(v, (-1, 1, 1))[: len(pixels)] for v in told)
    centre, spread = np.clip(mean, low + quarter, high - quarter), np.minimum(std, quarter)
    physical = np.clip(centre + spread * pixels, low, high)
    count = len(given.bands)
    encode = encoding_of(given, (1.0,) * count, (0.0,) * count)
    found: F32 = encode(physical, None, np.zeros((2, *pixels.shape[1:])))
    return found


def _digest(card: ModelCard) -> str:
    """Of all that the measurement took from the card."""
    used = to_plain((card.input, card.tiling, card.output.activation))
    return hashlib.sha256(json.dumps(used).encode()).hexdigest()[:8]


def _mute(card: ModelCard, gives: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_FAILED,
        f"The model {card.id} gives {gives} on a made-up landscape within its card's valid range.",
        "Check the card's value range and normalisation.",
    )
