"""Variograms: estimators by hand, ranges found again, tiny samples refused with a reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.variogram import (
    Correlation,
    Empirical,
    Estimator,
    Shape,
    fit_variogram,
    measure_variogram,
)


def lattice(size=20):
    y, x = np.mgrid[:size, :size]
    return np.column_stack([x.ravel(), y.ravel()]).astype(float)


def correlated(places, correlation, seed):
    h = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    root = np.linalg.cholesky(correlation.at(h) + 1e-9 * np.eye(len(places)))
    return root @ np.random.default_rng(seed).normal(size=len(places))


def test_estimators_worked_by_hand():
    places = np.column_stack([np.arange(40.0), np.zeros(40)])
    values = np.tile([0.0, 2.0], 20)
    found = measure_variogram(places, values, lags=6, reach=6)
    # 39 pairs one apart differ by 2, 38 pairs two apart by 0, and so on
    assert found.distance.tolist() == pytest.approx([1, 2, 3, 4, (5 * 35 + 6 * 34) / 69])
    assert found.pairs.tolist() == [39, 38, 37, 36, 69]
    assert found.gamma[:4].tolist() == pytest.approx([2, 0, 2, 0])
    robust = measure_variogram(places, values, lags=6, reach=6, estimator=Estimator.CRESSIE)
    assert robust.gamma[0] == pytest.approx(2**2 / (0.457 + 0.494 / 39 + 0.045 / 39**2) / 2)


def test_outliers_move_the_robust_estimator_less():
    places = lattice()
    values = np.random.default_rng(0).normal(size=400)
    spoilt = values.copy()
    spoilt[::80] += 15
    plain, robust = (measure_variogram(places, spoilt, estimator=e).gamma.mean() for e in Estimator)
    assert plain > 2.5
    assert robust < 1.7
    clean = measure_variogram(places, values, estimator=Estimator.CRESSIE).gamma.mean()
    assert clean == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("shape", [Shape.EXPONENTIAL, Shape.SPHERICAL])
def test_a_model_is_found_again_from_its_own_values(shape):
    h = np.linspace(1, 30, 15)
    true = Correlation(shape, 9.0)
    gamma = 0.5 + 2 * (1 - true.smooth(h))
    found = fit_variogram(Empirical(h, gamma, np.full(15, 100), 200, 2.5), shape)
    assert found.nugget == pytest.approx(0.5, abs=1e-3)
    assert found.sill == pytest.approx(2, rel=1e-3)
    assert found.correlation.range == pytest.approx(9, rel=1e-3)
    assert found.correlation.nugget == pytest.approx(0.2, abs=1e-3)
    assert found.at(h) == pytest.approx(gamma, rel=1e-3)
    assert fit_variogram(Empirical(h, gamma, np.full(15, 100), 200, 2.5)).correlation.shape is shape


def test_ranges_are_found_from_samples():
    places = lattice() + np.random.default_rng(9).uniform(0, 0.5, (400, 2))
    true = Correlation(Shape.EXPONENTIAL, 2.0)
    ranges = []
    for seed in range(12):
        empirical = measure_variogram(places, correlated(places, true, seed))
        ranges.append(fit_variogram(empirical, Shape.EXPONENTIAL).correlation.range)
    assert np.median(ranges) == pytest.approx(2, rel=0.3)


def test_noise_is_mostly_nugget():
    places = lattice()
    values = np.random.default_rng(3).normal(0, 3, 400)
    found = fit_variogram(measure_variogram(places, values))
    assert found.correlation.at(3.0) < 0.15
    assert found.nugget + found.sill == pytest.approx(9, rel=0.2)
    alone = fit_variogram(measure_variogram(places, values), Shape.NUGGET)
    assert alone.correlation == Correlation(Shape.NUGGET, 0.0, 1.0)


def test_few_points_give_few_but_full_lags():
    rng = np.random.default_rng(5)
    found = measure_variogram(rng.uniform(0, 100, (30, 2)), rng.normal(size=30))
    assert (found.pairs >= 30).all()
    assert 4 <= len(found.pairs) < 15


def test_large_samples_are_thinned_by_the_seed():
    rng = np.random.default_rng(6)
    places, values = rng.uniform(0, 100, (4000, 2)), rng.normal(size=4000)
    first, again = (measure_variogram(places, values, seed=1) for _ in range(2))
    assert first.points == 3000
    assert np.array_equal(first.gamma, again.gamma)


@pytest.mark.parametrize(
    ("places", "values", "reason"),
    [
        (np.zeros((9, 2)), np.arange(9.0), "10 points or more, not 9"),
        (np.zeros((12, 2)), np.arange(12.0), "one place"),
        (lattice(4), np.ones(16), "same everywhere"),
        (lattice(4), np.full(16, np.nan), "finite"),
        (lattice(4), np.arange(3.0), r"\[n, 2\]"),
        (lattice(4)[:10], np.arange(10.0), "10 points give 22 pairs within 1.80278, too few"),
    ],
)
def test_samples_that_tell_nothing_are_refused(places, values, reason):
    with pytest.raises(ValueError, match=reason):
        measure_variogram(places, values)


def test_impossible_models_are_refused():
    with pytest.raises(ValueError, match="range"):
        Correlation(Shape.SPHERICAL, 0)
    with pytest.raises(ValueError, match="nugget"):
        Correlation(Shape.SPHERICAL, 1, 1.5)
    flat = Empirical(np.arange(1.0, 6), np.zeros(5), np.full(5, 40), 20, 0.0)
    with pytest.raises(ValueError, match="same everywhere"):
        fit_variogram(flat)


@settings(deadline=None)
@given(
    st.sampled_from([Shape.EXPONENTIAL, Shape.SPHERICAL]),
    st.floats(0.1, 1e4),
    st.floats(0, 1),
)
def test_correlations_fall_from_one(shape, length, nugget):
    correlation = Correlation(shape, length, nugget)
    values = correlation.at(np.linspace(0, 5 * length, 50))
    assert values[0] == 1
    assert (np.diff(values) <= 1e-12).all()
    assert values[-1] >= 0
