"""The intervals of totals hold the truth as often as they say, over 2000 draws of a known field."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[2] / "scripts" / "benchmark" / "coverage.py"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("coverage_of_totals", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def coverage(program):
    return program.simulate(2000)


def test_fields_have_the_correlation_that_is_asked_for(program):
    shape = (program.SIDE, program.SIDE)
    roots = program.embed(shape, program.SPACING, program.TRUE)
    rng = np.random.default_rng(1)
    drawn = np.concatenate([program.fields(roots, shape, rng) for _ in range(300)])
    assert drawn.var() == pytest.approx(1, abs=0.03)
    for step in (1, 4, 12):
        pairs = (drawn[:, :, step:] * drawn[:, :, :-step]).mean()
        assert pairs == pytest.approx(float(program.TRUE.at(30.0 * step)), abs=0.03)


def test_sums_over_lags_are_the_exact_variance(program):
    zone = program.round_zone()
    found = program.estimate_total(zone, program.SPACING, program.TRUE)
    distance, sums = program.lag_sums(zone.times(zone.sd))
    assert program.TRUE.at(distance) @ sums == pytest.approx(found.se_residual**2)


def test_errors_of_totals_spread_as_predicted(coverage):
    assert coverage.errors.std() == pytest.approx(coverage.se["known"][0], rel=0.05)


def test_the_interval_of_a_known_correlation_holds(coverage):
    assert 0.93 <= coverage.share("known") <= 0.97


def test_a_variogram_fitted_to_plots_does_nearly_as_well(coverage):
    assert 0.90 <= coverage.share("fitted") <= 0.97


def test_independent_pixels_fail(coverage):
    assert coverage.share("independent") < 0.5


def test_the_figure_is_drawn(program, coverage, tmp_path):
    path = tmp_path / "coverage.svg"
    program.draw_figure(coverage, path)
    text = path.read_text("utf-8")
    assert text.count("<path") > 300
