"""How good answers are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def probabilities(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The softmax over the last axis."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def calibration_error(
    likely: npt.NDArray[np.float64], truth: npt.NDArray[np.int64], bins: int = 15
) -> float:
    """How far confidence is from accuracy: the expected calibration error, equal bins.

    Guo et al. (2017), On Calibration of Modern Neural Networks.

    Args:
        likely: ``[N, K]`` probabilities.
        truth: ``[N]`` class numbers.
        bins: Into which the confidences 0 to 1 are sorted.
    """
    confidence, right = likely.max(1), likely.argmax(1) == truth
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[number == b].sum() - right[number == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(truth))


def best_temperature(scores: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> float:
    """The divisor of raw scores ``[N, K]`` that makes the truth likeliest."""
    tried = np.geomspace(0.25, 4.0, 401)
    every = range(len(truth))
    likelihoods = [np.log(probabilities(scores / t)[every, truth]).mean() for t in tried]
    return float(tried[int(np.argmax(likelihoods))])


def unseen_calibration_error(
    scores: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]
) -> float:
    """The calibration error when each half's temperature is chosen on the other half."""
    likely = np.empty(scores.shape)
    for half in range(2):
        here, there = slice(half, None, 2), slice(1 - half, None, 2)
        likely[here] = probabilities(scores[here] / best_temperature(scores[there], truth[there]))
    return calibration_error(likely, truth)
