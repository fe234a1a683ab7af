"""Ensembles of trees, kept as plain arrays so that they can be written as a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.calibrate.samples import F32, F64, Ints, Samples

TREES = 200
RATE = 0.05
"""Share of each boosting step that is taken."""
LARGE = 50_000
"""Numbers in all features of all samples from which on several threads are worth their start."""
SPREAD_LEAF = 5
"""Samples in the leaves of the forest that tells the spread beside boosting."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Nodes of one tree: a sample goes left where its feature is not above the threshold."""

    left: Ints
    """-1 in leaves."""
    right: Ints
    feature: Ints
    threshold: F32
    """Rounded down, so that float32 features fall as they did among float64 thresholds."""
    leaves: F64
    """``[nodes, T]``: what a leaf adds to each total."""
    source: Any
    """As scikit-learn has it."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The sum of trees."""

    trees: tuple[Tree, ...]
    base: F64
    """``[T]``"""

    def __call__(self, features: F32) -> F64:
        """The totals ``[n, T]`` of ``[n, F]``."""
        total = np.tile(self.base, (len(features), 1))
        for tree in self.trees:
            total += tree.leaves[tree.source.apply(features)]
        return total


@dataclass(frozen=True, eq=False)
class Forest:
    """Mean and spread of the target, as a random forest has them.

    The spread is that of the training targets that share leaves with a sample, weighted as
    Meinshausen's quantile regression forest does (2006, JMLR 7, 983).
    """

    moments: Ensemble
    """First and second moment of the standardised target."""
    centre: float
    scale: float

    def predict(self, features: F32) -> F64:
        """See ``methods.Fitted``."""
        first, second = self.moments(features).T
        spread = np.sqrt(np.maximum(second - first**2, 0))
        return np.column_stack([first * self.scale + self.centre, spread * self.scale])


@dataclass(frozen=True, eq=False)
class Boosted:
    """The mean by gradient boosting, the spread by a forest."""

    steps: Ensemble
    spread: Forest

    def predict(self, features: F32) -> F64:
        """See ``methods.Fitted``."""
        return np.column_stack([self.steps(features)[:, 0], self.spread.predict(features)[:, 1]])


@dataclass(frozen=True, eq=False)
class ClassForest:
    """Probabilities of classes."""

    shares: Ensemble

    def predict(self, features: F32) -> F64:
        """See ``methods.Fitted``."""
        return self.shares(features)


def fit_forest(samples: Samples, settings: Mapping[str, float], seed: int) -> Forest:
    """A random forest (Breiman 2001): ``share`` of features a split, ``leaf`` samples a leaf."""
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 - heavy

    centre = float(np.average(samples.target, weights=samples.weights))
    scale = float(np.sqrt(np.average((samples.target - centre) ** 2, weights=samples.weights)))
    scale = scale or 1.0
    count = int(settings.get("trees", TREES))
    forest = RandomForestRegressor(
        count,
        max_features=settings["share"],
        min_samples_leaf=int(settings["leaf"]),
        random_state=seed,
        n_jobs=_jobs(samples),
    )
    target = (samples.target - centre) / scale
    forest.fit(samples.features, target, sample_weight=samples.weights)
    trees = tuple(_tree(e.tree_, _moments(e.tree_) / count) for e in forest.estimators_)
    return Forest(Ensemble(trees, np.zeros(2)), centre, scale)


def fit_boosting(samples: Samples, settings: dict[str, float], seed: int) -> Boosted:
    """Gradient boosting (Friedman 2001): ``steps`` trees of ``depth`` levels."""
    from sklearn.ensemble import GradientBoostingRegressor  # noqa: PLC0415 - heavy

    model = GradientBoostingRegressor(
        n_estimators=int(settings["steps"]),
        max_depth=int(settings["depth"]),
        learning_rate=RATE,
        subsample=0.7,
        min_samples_leaf=3,
        max_features=0.5,
        random_state=seed,
    )
    model.fit(samples.features, samples.target, sample_weight=samples.weights)
    trees = tuple(_tree(e.tree_, RATE * e.tree_.value[:, 0, :]) for e in model.estimators_[:, 0])
    base = np.asarray(model.init_.constant_, np.float64).reshape(1)
    spread = fit_forest(samples, settings | {"share": 0.33, "leaf": SPREAD_LEAF}, seed)
    return Boosted(Ensemble(trees, base), spread)


def fit_classes(samples: Samples, settings: Mapping[str, float], seed: int) -> ClassForest:
    """A random forest of classes that all count alike, however many samples each has."""
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - heavy

    forest = RandomForestClassifier(
        int(settings.get("trees", TREES)),
        max_features=settings["share"],
        min_samples_leaf=int(settings["leaf"]),
        class_weight="balanced",
        random_state=seed,
        n_jobs=_jobs(samples),
    )
    labels = samples.target.astype(int)
    forest.fit(samples.features, labels, sample_weight=samples.weights)
    count = int(forest.classes_.max()) + 1
    trees = tuple(
        _tree(e.tree_, _shares(e.tree_, forest.classes_, count) / len(forest)) for e in forest
    )
    return ClassForest(Ensemble(trees, np.zeros(count)))


def _jobs(samples: Samples) -> int | None:
    return -1 if samples.features.size > LARGE else None


def _moments(tree: Any) -> F64:
    """Of each node, mean and mean square of the targets in it."""
    mean = tree.value[:, 0, 0]
    return np.column_stack([mean, tree.impurity + mean**2])


def _shares(tree: Any, classes: Sequence[int], count: int) -> F64:
    """Of each node, the share of each class."""
    shares = np.zeros((tree.node_count, count))
    found = tree.value[:, 0, :]
    shares[:, classes] = found / found.sum(axis=1, keepdims=True)
    return shares


def _tree(tree: Any, leaves: F64) -> Tree:
    rounded = tree.threshold.astype(np.float32)
    is_above = rounded.astype(np.float64) > tree.threshold
    rounded = np.where(is_above, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return Tree(
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        np.maximum(tree.feature, 0).astype(np.int64),
        rounded.astype(np.float32),
        np.where((tree.children_left < 0)[:, None], leaves, 0),
        tree,
    )
