"""Methods, folds, intervals and the area of applicability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge as SklearnRidge

from engine.calibrate.applicability import fit_applicability
from engine.calibrate.fit import calibrate
from engine.calibrate.folds import block_edge, blocks, folds_of, inner_folds, joined
from engine.calibrate.forest import TREES, fit_forest
from engine.calibrate.intervals import fit_interval, honest_coverage
from engine.calibrate.methods import METHODS
from engine.calibrate.ridge import fit_ridge
from engine.calibrate.samples import Samples, weights_of_errors
from engine.calibrate.validation import cross_validate


def samples(count=120, width=4, noise=0.3, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, width)).astype(np.float32)
    y = 10 + 3 * x[:, 0] + np.maximum(x[:, 1], 0) ** 2 + noise * random.normal(size=count)
    groups = np.arange(count) // 6
    return Samples(x, y, np.ones(count), groups, tuple(f"band {n}" for n in range(width)))


def test_the_forest_is_scikit_learns():
    given_ = samples()
    mine = fit_forest(given_, {"share": 0.7, "leaf": 3.0}, 5).predict(given_.features)
    theirs = RandomForestRegressor(TREES, max_features=0.7, min_samples_leaf=3, random_state=5)
    centre, scale = given_.target.mean(), given_.target.std()
    theirs.fit(given_.features, (given_.target - centre) / scale, given_.weights)
    assert mine[:, 0] == pytest.approx(theirs.predict(given_.features) * scale + centre, abs=1e-9)


def test_the_forests_spread_is_that_of_targets_that_share_leaves():
    random = np.random.default_rng(0)
    x = random.uniform(size=(4000, 1)).astype(np.float32)
    noise = np.where(x[:, 0] < 0.5, 1.0, 4.0)
    y = noise * random.normal(size=4000)
    given_ = Samples(x, y, np.ones(4000), np.arange(4000), ("x",))
    told = fit_forest(given_, {"share": 1.0, "leaf": 200.0}, 0)
    quiet, loud = told.predict(np.array([[0.25], [0.75]], np.float32))[:, 1]
    assert quiet == pytest.approx(1, rel=0.2)
    assert loud == pytest.approx(4, rel=0.2)


def test_ridge_is_scikit_learns():
    given_ = samples()
    mine = fit_ridge(given_, {"penalty": 2.0}, 0)
    z = (given_.features - mine.centre) / mine.scale
    theirs = SklearnRidge(2.0).fit(z, given_.target)
    assert mine.predict(given_.features)[:, 0] == pytest.approx(theirs.predict(z), abs=1e-6)
    far = mine.predict(np.full((1, 4), 50, np.float32))[0, 1]
    assert far > 3 * mine.predict(given_.features)[:, 1].max()


@given(st.lists(st.integers(0, 12), min_size=30, max_size=80), st.integers(3, 6))
def test_groups_stay_whole_and_folds_are_even(numbers, count):
    groups = np.array([*numbers, *range(13)])
    folds = folds_of(groups, np.zeros(len(groups), int), count, 0)
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1
    assert set(folds) == set(range(count))
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= np.bincount(groups).max()


def test_every_fold_gets_its_share_of_each_class():
    groups = np.repeat(np.arange(20), 5)
    kinds = np.repeat(np.arange(20) % 4, 5)
    folds = folds_of(groups, kinds, 5, 0)
    for fold in range(5):
        assert np.bincount(kinds[folds == fold]).tolist() == [5, 5, 5, 5]


def test_blocks_are_squares_of_the_ground():
    places = np.array([[0, 0], [9, 9], [11, 0], [-1, 0]], float)
    numbers = blocks(places, 10)
    assert numbers[0] == numbers[1]
    assert len(set(numbers[[0, 2, 3]])) == 3
    assert block_edge(places * 100, 1e6, 4) < 1200


def test_inner_folds_are_few_and_whole():
    folds = np.repeat([0, 1, 3, 4, 5, 6], 4)
    inner = inner_folds(folds)
    assert set(inner) == {0, 1, 2}
    assert all(len(set(inner[folds == fold])) == 1 for fold in set(folds))


def test_groups_that_touch_become_one():
    assert joined(np.array([0, 1, 2, 3]), [(0, 2), (2, 3)]).tolist() == [0, 1, 0, 0]


def test_validation_never_sees_what_it_tells():
    random = np.random.default_rng(1)
    x = np.repeat(random.normal(size=(20, 3)), 6, axis=0).astype(np.float32)
    y = np.repeat(random.normal(size=20), 6)  # every group has its own value, by chance
    given_ = Samples(x, y, np.ones(120), np.repeat(np.arange(20), 6), ("a", "b", "c"))
    folds = folds_of(given_.groups, np.zeros(120, int), 5, 0)
    told = cross_validate(METHODS["forest"], given_, folds, 0).predicted[:, 0]
    assert 1 - ((y - told) ** 2).mean() / y.var() < 0.2
    alone = folds_of(np.arange(120), np.zeros(120, int), 5, 0)
    flattered = cross_validate(METHODS["forest"], given_, alone, 0).predicted[:, 0]
    assert 1 - ((y - flattered) ** 2).mean() / y.var() > 0.8


@pytest.mark.parametrize("method", ["forest", "boosting", "ridge"])
def test_importance_finds_what_matters(method):
    given_ = samples()
    folds = folds_of(given_.groups, np.zeros(len(given_), int), 4, 0)
    fitted = calibrate(METHODS[method], given_, folds, 0)
    assert fitted.validation.importance.argmax() == 0
    assert fitted.validation.importance[3] < 0.2
    assert 1 - (fitted.residuals**2).mean() / given_.target.var() > 0.7


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_intervals_hold_what_they_promise(skew):
    random = np.random.default_rng(3)
    spread = random.uniform(0.5, 4, 6000)
    noise = random.normal(size=6000)
    residuals = spread * (noise + skew * noise**2)
    folds = np.arange(6000) % 10
    assert honest_coverage(residuals, spread, folds).mean() == pytest.approx(0.9, abs=0.01)
    interval = fit_interval(residuals[:3000], spread[:3000])
    deviation = interval.deviation * interval.scaled(spread[3000:])
    assert np.mean((residuals[3000:] / deviation) ** 2) == pytest.approx(1, abs=0.2)


def test_an_interval_of_few_samples_takes_the_widest():
    interval = fit_interval(np.array([1.0, -5.0, 2.0]), np.ones(3))
    assert interval.half * interval.scaled(np.ones(1))[0] == pytest.approx(5)


def test_the_dissimilarity_index_is_its_definition():
    random = np.random.default_rng(2)
    x = random.normal(size=(60, 2)).astype(np.float32)
    folds = np.arange(60) % 5
    area = fit_applicability(x, np.array([1.0, 0.5]), folds)
    z = x / x.std(axis=0, dtype=float) * [1.0, 0.5]
    z /= 1.0
    apart = np.linalg.norm(z[:, None] - z[None], axis=2)
    others = folds[:, None] != folds[None]
    bridged = np.where(others, apart, np.inf).min(axis=1)
    low, high = np.quantile(bridged, (0.25, 0.75))
    limit = bridged[bridged <= high + 1.5 * (high - low)].max()
    assert area.limit == pytest.approx(limit, rel=1e-6)
    new = np.array([[0, 0], [9, 0], [0, 9]], np.float32)
    expected = [
        np.linalg.norm(n / x.std(axis=0, dtype=float) * [1, 0.5] - z, axis=1).min() / limit
        for n in new
    ]
    assert area(new) == pytest.approx(expected, rel=1e-5)
    assert area(new)[1] > area(new)[2] > 1 > area(new)[0]


def test_what_does_not_matter_does_not_make_places_unlike():
    x = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    area = fit_applicability(x, np.array([0.7, -0.1]), np.arange(80) % 4)
    assert area(np.array([[0, 1e4]], np.float32)) < 1


def test_certain_plots_count_more_but_not_alone():
    weights = weights_of_errors(np.array([1.0, 1.0, 20.0, 0.0]), 110.0)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] > 5 * weights[2]
    assert weights[3] < 1.2 * weights[0]
