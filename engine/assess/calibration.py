"""Whether probabilities of classes mean what they say, and one number that mends them.

Probabilities are ``[n, K]`` of classes that exclude each other, or ``[n]`` of a yes-or-no question;
labels are the index of the true class, or 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.assess.estimate import LEVEL, Estimate, wilson_interval

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LEAST = 1e-12
"""Probabilities nearer to 0 or 1 are moved there: their logarithm must stay finite."""
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures between which the fit looks."""
LEAST_SAMPLES = 10
EDGE = 1.01
"""A fit within this factor of an end of the range has not found a minimum."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Samples whose probability lies in ``(low, high]``; the first bin has its lower edge too."""

    low: float
    high: float
    n: int
    said: float
    """Mean probability; NaN in an empty bin."""
    seen: Estimate
    """How often it was so, with Wilson's interval."""


@dataclass(frozen=True)
class Calibration:
    """How well probabilities agree with what is there."""

    n: int
    nll: float
    """Mean negative log-likelihood, in nats."""
    brier: float
    """Mean squared distance of the probabilities from the truth, summed over the classes; of a
    yes-or-no question the squared error of its one probability (Brier 1950)."""
    ece: float
    """Expected calibration error: mean distance of said from seen, weighted by the bins."""
    bins: tuple[ReliabilityBin, ...]
    """Of several classes the probability of the likeliest one, and whether that one is right."""


@dataclass(frozen=True)
class TemperatureFit:
    """The temperature that divides logits, and what it changes."""

    temperature: float
    """Above 1 when the model was too sure, below 1 when it was not sure enough."""
    before: Calibration
    after: Calibration
    """On the sample that the temperature was fitted on."""
    is_settled: bool
    """False when the likelihood grows to an end of the range: the sample cannot tell."""


def measure_calibration(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    bins: int = 15,
    level: float = LEVEL,
) -> Calibration:
    """Reliability diagram and figures (Naeini et al. 2015; Guo et al. 2017, equation 3).

    Args:
        probabilities: ``[n, K]`` or ``[n]``.
        labels: ``[n]``.
        bins: Of equal width between 0 and 1. More bins make the calibration error of a
            small sample larger.
        level: Of the intervals.

    Raises:
        ValueError: when shapes, probabilities or labels are not what they should be.
    """
    share, truth = _checked(probabilities, labels)
    if bins < 1:
        raise ValueError("a reliability diagram needs at least one bin")
    said, is_so = _questions(share, truth)
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.ceil(said * bins - 1e-9).astype(np.int64) - 1, 0, bins - 1)
    found = tuple(
        _bin(float(edges[k]), float(edges[k + 1]), said[index == k], is_so[index == k], level)
        for k in range(bins)
    )
    ece = sum(b.n * abs(b.said - b.seen.value) for b in found if b.n) / len(said)
    return Calibration(len(said), _nll(_logits(share), truth), _brier(share, truth), ece, found)


def fit_temperature(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    bins: int = 15,
    level: float = LEVEL,
) -> TemperatureFit:
    """Temperature scaling by least negative log-likelihood (Guo et al. 2017, section 4.2, ICML).

    The sample must not be the one that the model was trained on. The likeliest class stays.

    Args:
        probabilities: ``[n, K]`` or ``[n]``.
        labels: ``[n]``.
        bins: Of the figures before and after.
        level: Of their intervals.

    Raises:
        ValueError: as ``measure_calibration``, and when there are fewer than ten samples.
    """
    from scipy import optimize  # noqa: PLC0415, heavy on the way to the command line's help

    share, truth = _checked(probabilities, labels)
    if len(truth) < LEAST_SAMPLES:
        raise ValueError(
            f"{len(truth)} samples are too few to fit a temperature; {LEAST_SAMPLES} are the least"
        )
    logits = _logits(share)
    # convex in 1/T, hence with one minimum in log T
    found = optimize.minimize_scalar(
        lambda t: _nll(logits / math.exp(t), truth),
        bounds=(math.log(COLDEST), math.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    temperature = math.exp(float(found.x))
    after = scale_probabilities(share, temperature)
    return TemperatureFit(
        temperature,
        measure_calibration(share, truth, bins=bins, level=level),
        measure_calibration(after, truth, bins=bins, level=level),
        COLDEST * EDGE < temperature < HOTTEST / EDGE,
    )


def scale_probabilities(probabilities: npt.ArrayLike, temperature: float) -> F64:
    """Probabilities ``[..., K]`` or ``[n]`` at another temperature; their order stays.

    Raises:
        ValueError: when the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"a temperature of {temperature} is not above 0")
    share = np.asarray(probabilities, float)
    return _softmax(_logits(share) / temperature)[..., 1 if share.ndim == 1 else slice(None)]


def _checked(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[F64, I64]:
    share, truth = np.asarray(probabilities, float), np.asarray(labels)
    if share.ndim not in {1, 2} or truth.shape != share.shape[:1]:
        raise ValueError("probabilities must be [n] or [n, K], and labels [n]")
    if not len(truth):
        raise ValueError("there is no sample")
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    if share.ndim > 1 and not np.allclose(share.sum(axis=1), 1, atol=1e-3):
        raise ValueError("the classes' probabilities must sum up to 1")
    classes = share.shape[1] if share.ndim > 1 else 2
    if not np.isin(truth, np.arange(classes)).all():
        raise ValueError(f"labels must be whole numbers from 0 to {classes - 1}")
    return share, truth.astype(np.int64)


def _questions(share: F64, truth: I64) -> tuple[F64, F64]:
    """The probability that is judged, and whether it came true."""
    if share.ndim == 1:
        return share, truth.astype(float)
    top = share.argmax(axis=1)
    return share[np.arange(len(top)), top], (top == truth).astype(float)


def _bin(low: float, high: float, said: F64, is_so: F64, level: float) -> ReliabilityBin:
    if not len(said):
        return ReliabilityBin(low, high, 0, math.nan, wilson_interval(math.nan, 0, level))
    seen = wilson_interval(float(is_so.mean()), len(is_so), level)
    return ReliabilityBin(low, high, len(said), float(said.mean()), seen)


def _logits(share: F64) -> F64:
    """Logarithms of probabilities ``[..., K]``; of a yes-or-no question those of no and yes."""
    both = np.stack([1 - share, share], axis=-1) if share.ndim == 1 else share
    return np.asarray(np.log(np.maximum(both, LEAST)), float)


def _softmax(logits: F64) -> F64:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), float)


def _nll(logits: F64, truth: I64) -> float:
    top = logits.max(axis=1)
    spread = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((spread - logits[np.arange(len(truth)), truth]).mean())


def _brier(share: F64, truth: I64) -> float:
    if share.ndim == 1:
        return float(((share - truth) ** 2).mean())
    return float(((share - np.eye(share.shape[1])[truth]) ** 2).sum(axis=1).mean())
