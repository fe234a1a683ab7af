"""Totals with correlated errors: every fast way equals the double sum."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess import covariance
from engine.assess.covariance import (
    Spacing,
    covariance_of_sums,
    variance_by_tiles,
    variance_of_sum,
    variance_on_lattice,
)
from engine.assess.totals import (
    Carbon,
    Zone,
    covariance_between_zones,
    estimate_change,
    estimate_total,
    sum_zone,
    total_from_sums,
)
from engine.assess.variogram import Correlation, Shape

SPACING = Spacing(10.0, 8.0)
correlations = st.builds(
    Correlation,
    st.sampled_from([Shape.EXPONENTIAL, Shape.SPHERICAL]),
    st.floats(1, 500),
    st.floats(0, 1),
)


def double_sum(first, second, spacing, correlation):
    rows, cols = np.indices(first.shape).reshape(2, -1)
    h = np.hypot((rows[:, None] - rows) * spacing.row, (cols[:, None] - cols) * spacing.col)
    return first.ravel() @ correlation.at(h) @ second.ravel()


def zone(seed=0, shape=(13, 17), common=None):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0, 1, shape) * (rng.random(shape) > 0.3)
    value = rng.uniform(0, 400, shape)
    return Zone(value, 0.2 * value + 5, weight, None if common is None else np.full(shape, common))


@settings(deadline=None, max_examples=60)
@given(correlations, st.integers(1, 14), st.integers(1, 14), st.integers(0, 999))
def test_the_fast_ways_equal_the_double_sum(correlation, height, width, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, height, width))
    true = double_sum(first, second, SPACING, correlation)
    scale = float(np.abs(first).sum() * np.abs(second).sum())
    assert covariance_of_sums(first, second, SPACING, correlation) == pytest.approx(
        true, abs=1e-9 * scale
    )


@settings(deadline=None, max_examples=40)
@given(correlations, st.integers(0, 999))
def test_tiles_equal_the_whole(correlation, seed):
    field = np.random.default_rng(seed).uniform(0, 1, (23, 31))
    near = Correlation(correlation.shape, min(correlation.range, 30), correlation.nugget)
    whole = covariance_of_sums(field, field, SPACING, near)
    tiled = variance_by_tiles(lambda w: field[w.slices], field.shape, SPACING, near, 6)
    tolerance = 1e-9 if near.shape is Shape.SPHERICAL else 2e-4
    assert tiled == pytest.approx(whole, rel=tolerance)


@pytest.mark.parametrize("cell", [1, 2, 5])
@pytest.mark.parametrize("shape", [Shape.EXPONENTIAL, Shape.SPHERICAL])
def test_cells_of_an_even_field_equal_its_pixels(cell, shape):
    correlation = Correlation(shape, 90.0, 0.2)
    field = np.kron(np.random.default_rng(0).uniform(1, 2, (8, 9)), np.ones((cell, cell)))
    whole = covariance_of_sums(field, field, SPACING, correlation)
    cells = variance_on_lattice(lambda w: field[w.slices], field.shape, SPACING, correlation, cell)
    # cells more than four apart are taken by three offsets
    assert cells == pytest.approx(whole, rel=1e-9 if cell == 1 else 1e-3)


def test_cells_of_an_uneven_field_come_near_its_pixels():
    rng = np.random.default_rng(1)
    field = rng.uniform(0.5, 1.5, (301, 283)) * (rng.random((301, 283)) > 0.2)
    correlation = Correlation(Shape.EXPONENTIAL, 300.0, 0.1)
    whole = covariance_of_sums(field, field, SPACING, correlation)
    cells = variance_on_lattice(lambda w: field[w.slices], field.shape, SPACING, correlation, 6)
    assert math.sqrt(cells) == pytest.approx(math.sqrt(whole), rel=2e-3)


@pytest.mark.parametrize("reach", [40.0, 4000.0])
def test_large_fields_take_the_way_that_fits(reach, monkeypatch):
    monkeypatch.setattr(covariance, "WHOLE", 2000)
    monkeypatch.setattr(covariance, "WIDEST", 64)
    field = np.random.default_rng(2).uniform(0.5, 1, (120, 90))
    correlation = Correlation(Shape.SPHERICAL, reach)
    read = []

    def piece(window):
        read.append(window)
        return field[window.slices]

    found = variance_of_sum(piece, field.shape, SPACING, correlation)
    assert found == pytest.approx(covariance_of_sums(field, field, SPACING, correlation), rel=2e-3)
    # tiles need no more than a tile and its margins, cells no more than a strip
    assert max(w.height for w in read) < 120 or reach < 4000


def test_a_total_worked_by_hand():
    # two pixels of 2 ha and half of 2 ha, 100 m apart
    correlation = Correlation(Shape.EXPONENTIAL, 100 / math.log(2))
    pixels = Zone(
        np.array([[100.0, 200.0, np.nan]]),
        np.array([[10.0, 30.0, np.nan]]),
        np.array([[2.0, 1.0, 0.5]]),
        np.array([[1.0, 2.0, np.nan]]),
    )
    found = estimate_total(pixels, Spacing(100, 100), correlation, carbon=Carbon(0.5, 0.01))
    assert (found.area, found.missing) == (3.0, 0.5)
    assert found.total.value == pytest.approx(400)
    assert found.se_residual == pytest.approx(math.sqrt(20**2 + 30**2 + 2 * 0.5 * 20 * 30))
    assert found.se_common == pytest.approx(4)
    assert found.se_independent == pytest.approx(math.hypot(20, 30))
    assert found.total.se == pytest.approx(math.hypot(found.se_residual, 4))
    assert found.total.high - found.total.value == pytest.approx(1.959964 * found.total.se)
    assert found.mean.value == pytest.approx(400 / 3)
    assert found.mean.se == pytest.approx(found.total.se / 3)
    assert found.carbon.value == pytest.approx(200)
    assert found.carbon.se == pytest.approx(math.hypot(0.5 * found.total.se, 4))
    assert found.co2e.value == pytest.approx(200 * 44 / 12)


def test_the_default_fraction_is_the_ipccs():
    found = estimate_total(zone(), SPACING, Correlation(Shape.NUGGET, 0))
    assert found.carbon.value == pytest.approx(0.47 * found.total.value)
    assert found.carbon.se == pytest.approx(0.47 * found.total.se)
    assert found.se_residual == pytest.approx(found.se_independent)


@settings(deadline=None, max_examples=25)
@given(st.floats(1, 300), st.floats(1.01, 20), st.integers(0, 99))
def test_variance_grows_with_the_range_up_to_its_bound(length, factor, seed):
    pixels = zone(seed)
    short, long = (
        estimate_total(pixels, SPACING, Correlation(Shape.EXPONENTIAL, r)).se_residual
        for r in (length, length * factor)
    )
    assert short <= long * (1 + 1e-9)
    assert long <= pixels.times(pixels.sd).sum() * (1 + 1e-9)


@settings(deadline=None, max_examples=25)
@given(correlations, st.integers(0, 99))
def test_disjoint_zones_add_up(correlation, seed):
    whole = zone(seed, common=3.0)
    left = np.arange(17) < 7
    parts = [Zone(whole.value, whole.sd, whole.weight * m, whole.common) for m in (left, ~left)]
    one, two, all_of_it = (estimate_total(z, SPACING, correlation) for z in (*parts, whole))
    assert one.total.value + two.total.value == pytest.approx(all_of_it.total.value)
    assert one.area + two.area == pytest.approx(all_of_it.area)
    assert one.se_common + two.se_common == pytest.approx(all_of_it.se_common)
    shared = covariance_between_zones(*parts, SPACING, correlation)
    assert one.se_residual**2 + two.se_residual**2 + 2 * shared == pytest.approx(
        all_of_it.se_residual**2
    )


def test_a_zone_in_pieces_is_the_zone():
    whole = zone(5, common=2.0)
    correlation = Correlation(Shape.SPHERICAL, 40)
    rows = [slice(0, 6), slice(6, 13)]
    sums = [
        sum_zone(Zone(whole.value[r], whole.sd[r], whole.weight[r], whole.common[r])) for r in rows
    ]
    field = whole.times(whole.sd)
    variance = variance_by_tiles(lambda w: field[w.slices], field.shape, SPACING, correlation, 6)
    pieces = total_from_sums(sums[0] + sums[1], variance)
    found = estimate_total(whole, SPACING, correlation)
    assert pieces.total.se == pytest.approx(found.total.se)
    assert pieces.co2e.high == pytest.approx(found.co2e.high)
    assert pieces.se_independent == pytest.approx(found.se_independent)


def test_change_worked_by_hand():
    correlation = Correlation(Shape.EXPONENTIAL, 60.0, 0.1)
    before, after = zone(3, common=4.0), zone(3, common=6.0)
    after = Zone(after.value + 20, after.sd * 1.3, after.weight, after.common)
    first, second = (z.times(z.sd) for z in (before, after))
    ones, twos = 4 * before.weight.sum(), 6 * before.weight.sum()
    for r, q in [(0.0, 0.0), (0.6, 1.0), (1.0, 0.5)]:
        found = estimate_change(
            before, after, SPACING, correlation, residuals_between=r, common_between=q
        )
        expected = (
            double_sum(first, first, SPACING, correlation)
            + double_sum(second, second, SPACING, correlation)
            - 2 * r * double_sum(first, second, SPACING, correlation)
        )
        assert (found.residuals_between, found.common_between) == (r, q)
        assert found.change.value == pytest.approx(20 * before.weight.sum())
        assert found.mean.value == pytest.approx(20)
        assert found.se_residual == pytest.approx(math.sqrt(expected))
        assert found.se_common == pytest.approx(math.sqrt(ones**2 + twos**2 - 2 * q * ones * twos))


def test_two_dates_that_err_alike_know_their_change():
    pixels = zone(4, common=5.0)
    found = estimate_change(
        pixels,
        Zone(pixels.value + 1, pixels.sd, pixels.weight, pixels.common),
        SPACING,
        Correlation(Shape.EXPONENTIAL, 50),
        residuals_between=1,
        common_between=1,
    )
    assert found.change.se == pytest.approx(0, abs=1e-6)


def test_a_zone_without_values_says_so():
    empty = Zone(np.full((2, 2), np.nan), np.ones((2, 2)), np.ones((2, 2)))
    found = estimate_total(empty, SPACING, Correlation(Shape.NUGGET, 0))
    assert (found.area, found.missing, found.total.value) == (0, 4, 0)
    assert math.isnan(found.mean.value)


def test_impossible_zones_are_refused():
    ones = np.ones((2, 2))
    with pytest.raises(ValueError, match="one shape"):
        Zone(ones, ones[:1], ones)
    with pytest.raises(ValueError, match="not negative"):
        Zone(ones, ones, -ones)
    with pytest.raises(ValueError, match="no standard deviation"):
        Zone(ones, ones * np.nan, ones)
    with pytest.raises(ValueError, match="same weights"):
        estimate_change(
            Zone(ones, ones, ones),
            Zone(ones, ones, 2 * ones),
            SPACING,
            Correlation(Shape.NUGGET, 0),
            residuals_between=0,
            common_between=0,
        )
    with pytest.raises(ValueError, match="not possible"):
        Carbon(1.2)
