"""The models that can be fitted, and the settings to choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.calibrate.forest import fit_boosting, fit_classes, fit_forest
from engine.calibrate.ridge import fit_ridge
from engine.calibrate.samples import F32, F64, Samples

Settings = dict[str, float]


class Fitted(Protocol):
    """A model of one pixel or plot."""

    def predict(self, features: F32) -> F64:
        """Of ``[n, F]``: amount and spread ``[n, 2]``, or probabilities of classes ``[n, K]``."""
        ...


Fit = Callable[[Samples, Settings, int], Fitted]


@dataclass(frozen=True)
class Method:
    """A kind of model."""

    name: str
    title: str
    fit: Fit
    """Of samples, settings and a seed."""
    choices: tuple[Settings, ...]
    """Settings to choose from, inside the cross-validation."""

    @property
    def is_of_classes(self) -> bool:
        """Whether it tells classes rather than amounts."""
        return self.name == CLASSES


CLASSES = "classes"
METHODS = {
    method.name: method
    for method in (
        Method(
            "forest",
            "random forest",
            fit_forest,
            tuple({"share": share, "leaf": leaf} for share in (0.33, 0.7) for leaf in (3.0, 8.0)),
        ),
        Method(
            "boosting",
            "gradient boosting",
            fit_boosting,
            tuple({"depth": d, "steps": s} for d in (2.0, 4.0) for s in (80.0, 250.0)),
        ),
        Method(
            "ridge",
            "ridge regression",
            fit_ridge,
            tuple({"penalty": float(p)} for p in 10.0 ** np.arange(-2, 5)),
        ),
        Method(
            CLASSES,
            "random forest",
            fit_classes,
            tuple({"share": share, "leaf": leaf} for share in (0.2, 0.5) for leaf in (1.0, 5.0)),
        ),
    )
}


def loss(method: Method, samples: Samples, predicted: F64) -> float:
    """How bad predictions are: mean squared error, or mean squared error of probabilities."""
    weights = samples.weights / samples.weights.sum()
    if method.is_of_classes:
        truth = np.eye(predicted.shape[1])[samples.target.astype(int)]
        return float(weights @ ((predicted - truth) ** 2).sum(axis=1))
    return float(weights @ (samples.target - predicted[:, 0]) ** 2)
