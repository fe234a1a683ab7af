"""Figures of regression: worked by hand, with intervals that know of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.regression import (
    measure_bins,
    measure_regression,
    quantile_edges,
    square_blocks,
)


def test_figures_worked_by_hand():
    found = measure_regression([1, 2, 3, 4], [2, 2, 3, 7])
    assert found.rmse.value == pytest.approx(np.sqrt(10 / 4))
    assert found.bias.value == pytest.approx(1)
    assert found.mae.value == pytest.approx(1)
    assert found.r2.value == pytest.approx(1 - 10 / 5)
    assert found.squared_correlation.value == pytest.approx(
        np.corrcoef([1, 2, 3, 4], [2, 2, 3, 7])[0, 1] ** 2
    )
    assert (found.n, found.blocks) == (4, 4)


def test_a_scaled_prediction_has_correlation_but_no_r2():
    observed = np.arange(50.0)
    found = measure_regression(observed, 3 * observed + 100)
    assert found.squared_correlation.value == pytest.approx(1)
    assert found.r2.value < 0


def test_the_same_seed_gives_the_same_interval():
    rng = np.random.default_rng(0)
    observed = rng.normal(100, 20, 200)
    predicted = observed + rng.normal(5, 10, 200)
    first, again, other = (
        measure_regression(observed, predicted, seed=s, draws=500) for s in (1, 1, 2)
    )
    assert first == again
    assert first.rmse.value == other.rmse.value
    assert first.rmse.low != other.rmse.low
    assert first.bias.low < 5 < first.bias.high
    assert first.bias.se == pytest.approx(10 / np.sqrt(200), rel=0.2)


def test_blocks_widen_the_interval_of_errors_that_hang_together():
    rng = np.random.default_rng(1)
    blocks = np.repeat(np.arange(30), 20)
    observed = rng.normal(100, 20, 600)
    predicted = observed + rng.normal(0, 10, 30)[blocks] + rng.normal(0, 3, 600)
    alone = measure_regression(observed, predicted, draws=500)
    together = measure_regression(observed, predicted, blocks=blocks, draws=500)
    assert together.blocks == 30
    assert together.bias.se > 3 * alone.bias.se
    assert together.bias.se == pytest.approx(10 / np.sqrt(30), rel=0.35)


def test_a_million_samples_are_no_trouble():
    rng = np.random.default_rng(6)
    observed = rng.normal(100, 20, 10**6)
    found = measure_regression(observed, observed + rng.normal(1, 10, 10**6), draws=300)
    assert found.blocks == 10**6
    assert found.bias.se == pytest.approx(10 / 1000, rel=0.15)
    assert found.rmse.low < np.sqrt(101) < found.rmse.high


def test_bias_intervals_cover_as_they_say():
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(300):
        error = rng.normal(2, 5, 60)
        bias = measure_regression(np.zeros(60), error, draws=400).bias
        inside += bias.low <= 2 <= bias.high
    assert 0.9 <= inside / 300 <= 0.98


def test_bins_hold_every_sample_once():
    rng = np.random.default_rng(2)
    observed = rng.gamma(2, 50, 500)
    predicted = 0.5 * observed + 50
    edges = quantile_edges(observed, 5)
    bins = measure_bins(observed, predicted, edges, draws=200)
    assert [b.agreement.n for b in bins] == [100] * 5
    assert bins[0].agreement.bias.value > 0 > bins[-1].agreement.bias.value
    by_said = measure_bins(observed, predicted, [0, 60, 500, 600], by_predicted=True, draws=100)
    assert by_said[0].agreement.n == np.count_nonzero(predicted < 60)
    assert by_said[2].agreement is None


def test_one_block_has_figures_but_no_interval():
    found = measure_regression([1, 2], [1, 3], blocks=["a", "a"])
    assert found.rmse.value == pytest.approx(np.sqrt(0.5))
    assert np.isnan(found.rmse.low)


def test_equal_observations_have_no_r2():
    found = measure_regression([5.1] * 10, np.arange(10.0), draws=100)
    assert np.isnan(found.r2.value)
    assert np.isnan(found.squared_correlation.value)
    assert found.rmse.high > 0


@pytest.mark.parametrize(
    ("observed", "predicted", "reason"),
    [([], [], "no sample"), ([1], [1, 2], "lengths"), ([1, np.nan], [1, 2], "finite")],
)
def test_impossible_samples_are_refused(observed, predicted, reason):
    with pytest.raises(ValueError, match=reason):
        measure_regression(observed, predicted)


def test_impossible_bins_are_refused():
    with pytest.raises(ValueError, match="increase"):
        measure_bins([1, 2], [1, 2], [2, 1])
    with pytest.raises(ValueError, match="outside"):
        measure_bins([1, 2], [1, 2], [0, 1.5])
    with pytest.raises(ValueError, match="no bins"):
        quantile_edges([3, 3, 3], 4)


def test_square_blocks_are_squares():
    found = square_blocks([0, 5, 10, 15, -1], [0, 5, 0, 5, 0], 10)
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found.tolist())) == 3
    with pytest.raises(ValueError, match="above 0"):
        square_blocks([1], [1], 0)


numbers = st.floats(-1e4, 1e4)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=40), numbers)
def test_figures_hold_together(pairs, shift):
    observed, predicted = np.array(pairs).T
    found = measure_regression(observed, predicted, draws=50)
    assert found.mae.value <= found.rmse.value + 1e-9
    assert abs(found.bias.value) <= found.mae.value + 1e-9
    moved = measure_regression(observed + shift, predicted + shift, draws=50)
    assert moved.rmse.value == pytest.approx(found.rmse.value, abs=1e-6)
    if not np.isnan(found.squared_correlation.value):
        assert found.r2.value <= found.squared_correlation.value + 1e-6
