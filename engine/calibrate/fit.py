"""All that is found out about one model before it becomes a card."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from engine.calibrate.applicability import Applicability, fit_applicability
from engine.calibrate.forest import ClassForest
from engine.calibrate.intervals import Interval, fit_interval, honest_coverage
from engine.calibrate.methods import Fitted, Method, Settings
from engine.calibrate.samples import F64, Ints, Samples, weights_of_errors
from engine.calibrate.validation import (
    FEW_TREES,
    Step,
    Validation,
    choose_settings,
    cross_validate,
    held_out,
    silent,
)


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A model of all samples, and what cross-validation says of models like it."""

    method: Method
    samples: Samples
    model: Fitted
    settings: Settings
    validation: Validation
    area: Applicability
    interval: Interval | None
    """Of amounts."""

    @property
    def residuals(self) -> F64:
        """``[n]``: what was found less what models said that had not seen it."""
        found: F64 = self.samples.target - self.validation.predicted[:, 0]
        return found

    @property
    def classes(self) -> ClassForest:
        """The model, of one of classes."""
        return cast("ClassForest", self.model)

    @property
    def coverage(self) -> F64:
        """Of each fold: the share of intervals made by the others that hold."""
        spreads = self.validation.predicted[:, 1]
        return honest_coverage(self.residuals, spreads, self.validation.folds)


def calibrate(
    method: Method, samples: Samples, folds: Ints, seed: int, step: Step = silent
) -> Calibrated:
    """Validate, then fit to everything.

    Args:
        method: What to fit.
        samples: All of them.
        folds: ``[n]``, see ``folds.folds_of``; at least 3.
        seed: Of everything that is drawn.
        step: Told of folds done, of how many.
    """
    validation = cross_validate(method, samples, folds, seed, step)
    settings = choose_settings(method, samples, folds, seed)
    model = method.fit(samples, settings, seed)
    area = fit_applicability(samples.features, validation.importance, folds)
    interval = None
    if not method.is_of_classes:
        value, spread = validation.predicted.T
        interval = fit_interval(samples.target - value, spread)
    return Calibrated(method, samples, model, settings, validation, area, interval)


def weighted_by_errors(
    method: Method, samples: Samples, errors: F64, folds: Ints, seed: int
) -> Samples:
    """The samples with weights that follow from the standard errors of what was found."""
    settings = {**method.choices[0], "trees": FEW_TREES}
    left = samples.target - held_out(method, settings, samples, folds, seed)[:, 0]
    return replace(samples, weights=weights_of_errors(errors, float(np.mean(left**2))))
