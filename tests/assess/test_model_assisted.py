"""Plots with a map's help: by hand, and over repeated samples of a known population."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.model_assisted import Assistance, Plots, estimate_assisted


def test_the_difference_estimator_worked_by_hand():
    plots = Plots(np.array([110.0, 190, 330, 370]), np.array([100.0, 200, 300, 400]))
    found = estimate_assisted(plots, map_mean=260, area=50)
    # differences 10, -10, 30, -30: mean 0, variance 2000/3
    assert found.mean.value == pytest.approx(260)
    assert found.mean.se == pytest.approx(math.sqrt(2000 / 3 / 4))
    assert found.mean.high - 260 == pytest.approx(3.18245 * found.mean.se, rel=1e-5)
    assert found.total.value == pytest.approx(13_000)
    assert found.total.se == pytest.approx(50 * found.mean.se)
    assert found.plots_alone.value == pytest.approx(250)
    assert found.plots_alone.se == pytest.approx(np.std([110, 190, 330, 370], ddof=1) / 2)
    assert found.design_effect == pytest.approx((found.mean.se / found.plots_alone.se) ** 2)
    assert (found.freedom, found.slope, found.n) == (3, 1, 4)


def test_the_regression_estimator_is_the_textbooks_line():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 300, 40)
    y = 0.6 * x + 50 + rng.normal(0, 20, 40)
    found = estimate_assisted(Plots(y, x), x.mean(), 1, method=Assistance.REGRESSION)
    slope, intercept = np.polyfit(x, y, 1)
    assert found.slope == pytest.approx(slope)
    assert found.mean.value == pytest.approx(intercept + slope * x.mean())
    # at the plots' own mean all g-weights are 1: Cochran 1977, chapter 7
    error = y - intercept - slope * x
    assert found.mean.se == pytest.approx(math.sqrt((error**2).sum() / 38 / 40))
    assert found.freedom == pytest.approx(38)
    away = estimate_assisted(Plots(y, x), 290, 1, method=Assistance.REGRESSION)
    assert away.mean.value == pytest.approx(intercept + slope * 290)
    assert away.mean.se > found.mean.se


def test_strata_worked_by_hand():
    plots = Plots(
        np.array([1.0, 3, 10, 14]),
        np.zeros(4),
        np.array([1, 1, 2, 2]),
        {1: 30.0, 2: 10.0},
    )
    found = estimate_assisted(plots, 0, 40)
    assert found.mean.value == pytest.approx(0.75 * 2 + 0.25 * 12)
    assert found.mean.se == pytest.approx(math.sqrt(0.75**2 * 2 / 2 + 0.25**2 * 8 / 2))
    parts = np.array([0.5625, 0.25])
    assert found.freedom == pytest.approx(parts.sum() ** 2 / (parts**2).sum())


def test_a_whole_population_has_no_error():
    y = np.arange(10.0)
    found = estimate_assisted(Plots(y, np.ones(10), population=10), 1, 1)
    assert found.mean.value == pytest.approx(4.5)
    assert found.mean.se == 0


@pytest.mark.parametrize("method", list(Assistance))
@pytest.mark.parametrize("stratified", [False, True])
def test_intervals_cover_a_known_population(method, stratified):
    rng = np.random.default_rng(11)
    strata = np.repeat([0, 1], [6000, 4000])
    truth = rng.gamma(4, 40, 10_000) + 150 * strata
    chart = 0.7 * truth + 40 + rng.normal(0, 30, 10_000)  # biased, flattened and noisy
    inside, effects, errors = 0, [], []
    for _ in range(600):
        if stratified:
            chosen = np.concatenate([rng.choice(6000, 30), 6000 + rng.choice(4000, 30)])
            plots = Plots(truth[chosen], chart[chosen], strata[chosen], {0: 6.0, 1: 4.0})
        else:
            chosen = rng.choice(10_000, 60, replace=False)
            plots = Plots(truth[chosen], chart[chosen])
        found = estimate_assisted(plots, float(chart.mean()), 1, method=method)
        inside += found.mean.low <= truth.mean() <= found.mean.high
        effects.append(found.design_effect)
        errors.append(found.mean.value - truth.mean())
    assert 0.92 <= inside / 600 <= 0.975
    assert np.median(effects) < 0.5
    assert abs(np.mean(errors)) < 3 * np.std(errors) / math.sqrt(600) + 0.5
    assert abs(chart.mean() - truth.mean()) > 20


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(-50, 50), st.floats(0.2, 5))
def test_a_regression_does_not_care_for_the_maps_scale(seed, shift, scale):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, 12)
    y = x + rng.normal(0, 10, 12)
    one, two = (
        estimate_assisted(Plots(y, m), mean, 1, method=Assistance.REGRESSION)
        for m, mean in ((x, 55.0), (scale * x + shift, scale * 55 + shift))
    )
    assert one.mean.value == pytest.approx(two.mean.value)
    assert one.mean.se == pytest.approx(two.mean.se)


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_a_perfect_map_leaves_no_error(seed):
    y = np.random.default_rng(seed).uniform(0, 100, 8)
    for method in Assistance:
        found = estimate_assisted(Plots(y, y), 50, 1, method=method)
        assert found.mean.value == pytest.approx(50)
        assert found.mean.se == pytest.approx(0, abs=1e-6)


def test_samples_that_tell_nothing_are_refused():
    one, two, three = np.ones(1), np.arange(2.0), np.arange(3.0)
    with pytest.raises(ValueError, match="the zone has 1 plots"):
        estimate_assisted(Plots(one, one), 1, 1)
    with pytest.raises(ValueError, match="2 plots are too few to regress"):
        estimate_assisted(Plots(two, two), 1, 1, method=Assistance.REGRESSION)
    with pytest.raises(ValueError, match="same at all plots"):
        estimate_assisted(Plots(three, np.ones(3)), 1, 1, method=Assistance.REGRESSION)
    strata = np.array([1, 1, 2])
    with pytest.raises(ValueError, match="stratum 2 has 1 plots"):
        estimate_assisted(Plots(three, three, strata, {1: 1.0, 2: 1.0}), 1, 1)
    with pytest.raises(ValueError, match=r"strata \[2\]"):
        estimate_assisted(Plots(three, three, strata, {1: 1.0}), 1, 1)
    with pytest.raises(ValueError, match="area of each stratum"):
        Plots(three, three, strata)
    with pytest.raises(ValueError, match="finite"):
        Plots(three, three * np.nan)
    with pytest.raises(ValueError, match="same plots"):
        Plots(three, two)
    with pytest.raises(ValueError, match="more plots"):
        Plots(three, three, population=2)
