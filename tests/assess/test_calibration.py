"""Probabilities: figures worked by hand, and temperatures that are found again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.calibration import (
    fit_temperature,
    measure_calibration,
    scale_probabilities,
)


def drawn(temperature, n=20_000, classes=4, seed=0):
    """Labels drawn from true probabilities, and a model that is too sure by the temperature."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.ones(classes), n)
    labels = (rng.random(n)[:, None] > truth.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return truth, scale_probabilities(truth, 1 / temperature), labels


def test_figures_worked_by_hand():
    found = measure_calibration([0.9, 0.9, 0.2, 0.3], [1, 0, 0, 1], bins=2)
    assert [(b.n, b.said, b.seen.value) for b in found.bins] == [(2, 0.25, 0.5), (2, 0.9, 0.5)]
    assert found.ece == pytest.approx((0.25 + 0.4) / 2)
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.04 + 0.49) / 4)
    assert found.nll == pytest.approx(-np.log([0.9, 0.1, 0.8, 0.3]).mean())


def test_several_classes_are_judged_by_the_likeliest():
    share = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]
    found = measure_calibration(share, [0, 2, 2], bins=10)
    filled = [(round(b.low, 1), b.n, b.seen.value) for b in found.bins if b.n]
    assert filled == [(0.3, 1, 1.0), (0.6, 1, 1.0), (0.7, 1, 0.0)]
    assert found.ece == pytest.approx((0.6 + 0.3 + 0.8) / 3)
    assert found.brier == pytest.approx((0.14 + 1.46 + 0.54) / 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_is_found_again(temperature):
    truth, said, labels = drawn(temperature)
    fit = fit_temperature(said, labels)
    assert fit.is_settled
    assert fit.temperature == pytest.approx(temperature, rel=0.05)
    assert fit.after.nll <= fit.before.nll
    assert fit.after.ece < 0.02
    assert fit.after.nll == pytest.approx(measure_calibration(truth, labels).nll, abs=1e-3)
    if temperature != 1:
        assert fit.before.ece > 0.05


def test_two_classes_and_one_question_agree():
    _, said, labels = drawn(2.0, 3000, 2)
    both, one = fit_temperature(said, labels), fit_temperature(said[:, 1], labels)
    assert one.temperature == pytest.approx(both.temperature, rel=1e-4)
    assert one.before.nll == pytest.approx(both.before.nll)
    assert 2 * one.before.brier == pytest.approx(both.before.brier)
    assert scale_probabilities(said[:, 1], 3) == pytest.approx(scale_probabilities(said, 3)[:, 1])


def test_a_sample_without_mistakes_settles_nothing():
    fit = fit_temperature(np.tile([0.8, 0.2], (20, 1)), np.zeros(20, int))
    assert not fit.is_settled
    assert np.isfinite(fit.after.nll)


def test_certain_probabilities_stay_finite():
    fit = fit_temperature(np.repeat([1.0, 0.0], 20), np.repeat([1, 0, 1], [18, 20, 2]))
    assert np.isfinite([fit.before.nll, fit.after.nll, fit.temperature]).all()


@pytest.mark.parametrize(
    ("share", "labels", "reason"),
    [
        ([0.5, 1.2], [0, 1], "between 0 and 1"),
        ([[0.5, 0.2]], [0], "sum up to 1"),
        ([0.5], [2], "from 0 to 1"),
        ([0.5], [0, 1], r"labels \[n\]"),
        (np.zeros((0, 3)), [], "no sample"),
    ],
)
def test_impossible_samples_are_refused(share, labels, reason):
    with pytest.raises(ValueError, match=reason):
        measure_calibration(share, np.array(labels, int))


def test_few_samples_and_odd_requests_are_refused():
    with pytest.raises(ValueError, match="9 samples are too few"):
        fit_temperature(np.full(9, 0.5), np.zeros(9, int))
    with pytest.raises(ValueError, match="at least one bin"):
        measure_calibration([0.5], [0], bins=0)
    with pytest.raises(ValueError, match="not above 0"):
        scale_probabilities([0.5], 0)


@settings(deadline=None)
@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_scaling_keeps_the_order_and_can_be_undone(temperature, seed):
    share = np.random.default_rng(seed).dirichlet(np.ones(5), 20)
    scaled = scale_probabilities(share, temperature)
    assert np.allclose(scaled.sum(axis=1), 1)
    assert np.array_equal(scaled.argmax(axis=1), share.argmax(axis=1))
    assert scale_probabilities(share, 1) == pytest.approx(share)
