"""Nested cross-validation: what is held out chooses neither the model nor its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.calibrate.folds import inner_folds
from engine.calibrate.methods import Fitted, Method, Settings, loss
from engine.calibrate.samples import F64, Ints, Samples

SHUFFLES = 3
"""Of each feature, to tell its importance."""
FEW_TREES = 60
"""Enough to compare settings."""
Step = Callable[[int, int], None]


def silent(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, eq=False)
class Validation:
    """What models said of samples that they had not seen."""

    predicted: F64
    """``[n, 2]`` or ``[n, K]``, see ``methods.Fitted``."""
    folds: Ints
    settings: tuple[Settings, ...]
    """Of the model of each fold."""
    importance: F64
    """``[F]``: how much worse predictions are when a feature is shuffled, as a share of the loss
    without."""


def choose_settings(method: Method, samples: Samples, folds: Ints, seed: int) -> Settings:
    """The settings that do best where samples are held out, fold by fold."""
    if len(method.choices) == 1:
        return method.choices[0]
    tried = [{**choice, "trees": FEW_TREES} for choice in method.choices]
    losses = [loss(method, samples, held_out(method, c, samples, folds, seed)) for c in tried]
    return method.choices[int(np.argmin(losses))]


def cross_validate(
    method: Method, samples: Samples, folds: Ints, seed: int, step: Step = silent
) -> Validation:
    """Hold out one fold after the other; settings are chosen anew among the others each time.

    Args:
        method: What to fit.
        samples: All of them.
        folds: ``[n]``, see ``folds.folds_of``; at least 3.
        seed: Of the models and shuffles.
        step: Told of folds done, of how many.
    """
    numbers = np.unique(folds)
    parts: dict[int, F64] = {}
    settings = []
    worse = np.zeros(len(samples.names))
    for done, fold in enumerate(numbers):
        step(done, len(numbers))
        held, rest = folds == fold, folds != fold
        chosen = choose_settings(method, samples.take(rest), inner_folds(folds[rest]), seed)
        model = method.fit(samples.take(rest), chosen, seed)
        parts[int(fold)] = model.predict(samples.features[held])
        worse += held.sum() * _shuffled_losses(method, model, samples.take(held), seed)
        settings.append(chosen)
    step(len(numbers), len(numbers))
    predicted = _assembled(parts, folds)
    importance = worse / len(samples) / (loss(method, samples, predicted) or 1.0) - 1
    return Validation(predicted, folds, tuple(settings), importance)


def held_out(method: Method, settings: Settings, samples: Samples, folds: Ints, seed: int) -> F64:
    """Predictions of each sample by a model of the other folds."""
    parts = {}
    for fold in np.unique(folds):
        rest = folds != fold
        model = method.fit(samples.take(rest), settings, seed)
        parts[int(fold)] = model.predict(samples.features[~rest])
    return _assembled(parts, folds)


def _assembled(parts: dict[int, F64], folds: Ints) -> F64:
    """One array of the predictions by fold; classes that a fold's model did not know are 0."""
    width = max(part.shape[1] for part in parts.values())
    whole = np.zeros((len(folds), width))
    for fold, part in parts.items():
        whole[np.flatnonzero(folds == fold), : part.shape[1]] = part
    return whole


def _shuffled_losses(method: Method, model: Fitted, held: Samples, seed: int) -> F64:
    """Mean loss after each feature in turn was shuffled among the samples."""
    random = np.random.default_rng(seed)
    count, width = held.features.shape
    losses = np.zeros(width)
    for feature in range(width):
        several = np.repeat(held.features[None], SHUFFLES, axis=0)
        for copy in several:
            copy[:, feature] = random.permutation(copy[:, feature])
        predicted = model.predict(several.reshape(-1, width))
        parts = predicted.reshape(SHUFFLES, count, -1)
        losses[feature] = np.mean([loss(method, held, _widened(method, held, p)) for p in parts])
    return losses


def _widened(method: Method, held: Samples, predicted: F64) -> F64:
    """Probabilities with a column for every class that was held out."""
    if not method.is_of_classes:
        return predicted
    missing = int(held.target.max()) + 1 - predicted.shape[1]
    return np.pad(predicted, ((0, 0), (0, max(missing, 0))))
