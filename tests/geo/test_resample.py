import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.geo.lattice import Lattice
from engine.geo.resample import needed_window, resample
from engine.geo.window import Window

factors = st.one_of(
    st.sampled_from([1.0, 2.0, 3.0, 1.5, 0.5, 1 / 3]), st.floats(0.2, 5.0, allow_subnormal=False)
)


@st.composite
def cases(draw):
    shape = draw(st.integers(3, 60)), draw(st.integers(3, 60))
    pair = draw(factors), draw(factors)
    lattice = Lattice(shape, pair)
    rows, cols = lattice.shape
    row, col = draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1))
    want = Window(row, col, draw(st.integers(1, rows - row)), draw(st.integers(1, cols - col)))
    return lattice, want


@given(cases(), st.integers(0, 2**32 - 1))
def test_a_pixels_bits_do_not_depend_on_the_window(case, seed):
    lattice, want = case
    rng = np.random.default_rng(seed)
    data = rng.random((2, *lattice.source_shape), np.float32)
    valid = rng.random(lattice.source_shape) > 0.2
    everything = Window(0, 0, *lattice.shape)
    whole, share = resample(
        data, valid, Window(0, 0, *lattice.source_shape), everything, lattice.factors
    )
    have = lattice.source_for(want)
    part, part_share = resample(
        data[:, *have.slices], valid[have.slices], have, want, lattice.factors
    )
    found = share[want.slices] > 0
    assert np.array_equal(part_share > 0, found)
    if valid[have.slices].all() == valid.all():
        assert np.array_equal(part[:, found], whole[:, *want.slices][:, found])
    else:
        np.testing.assert_allclose(part[:, found], whole[:, *want.slices][:, found], atol=1e-6)


@given(cases())
def test_a_constant_stays_constant_and_invalid_pixels_do_not_count(case):
    lattice, want = case
    data = np.full((1, *lattice.source_shape), 7, np.float32)
    valid = np.ones(lattice.source_shape, bool)
    valid[::2, ::2] = False
    data[:, ~valid] = 1e9
    have = lattice.source_for(want)
    out, share = resample(data[:, *have.slices], valid[have.slices], have, want, lattice.factors)
    np.testing.assert_allclose(out[0][share > 1e-3], 7, rtol=1e-4)


def test_shrinking_is_the_area_mean():
    data = np.arange(36, dtype=np.float32).reshape(1, 6, 6)
    window = Window(0, 0, 6, 6)
    out, _ = resample(data, None, window, Window(0, 0, 2, 2), (3.0, 3.0))
    expected = data[0].reshape(2, 3, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(out[0], expected, rtol=1e-6)


def test_shrinking_by_a_fraction_weighs_cut_pixels():
    data = np.array([[[0, 10, 20]]], np.float32)
    out, _ = resample(data, None, Window(0, 0, 1, 3), Window(0, 0, 1, 2), (1.0, 1.5))
    np.testing.assert_allclose(out[0, 0], [10 / 3, 50 / 3], rtol=1e-6)


def test_enlarging_is_linear_between_centres():
    data = np.array([[[0, 4]]], np.float32)
    out, _ = resample(data, None, Window(0, 0, 1, 2), Window(0, 0, 1, 4), (1.0, 0.5))
    np.testing.assert_allclose(out[0, 0], [0, 1, 3, 4])


@given(cases(), st.data())
def test_windows_of_the_lattice_that_partition_own_source_pixels_that_do(case, data):
    lattice, _ = case
    rows, cols = lattice.shape
    cut = data.draw(st.integers(0, rows))
    upper, lower = Window(0, 0, cut, cols), Window(cut, 0, rows - cut, cols)
    owned = [lattice.owned(w) for w in (upper, lower)]
    assert owned[0].row_stop == owned[1].row
    assert (owned[0].row, owned[1].row_stop) == (0, lattice.source_shape[0])
    assert owned[0].width == lattice.source_shape[1]


@given(cases())
def test_cover_contains_every_source_pixel(case):
    lattice, want = case
    source = lattice.owned(want)
    if not source.is_empty:
        assert lattice.owned(lattice.cover(source)).contains(source)


@pytest.mark.parametrize("factor", [0.25, 1.0, 2.5])
def test_needed_pixels_stay_within_the_input(factor):
    window = needed_window(Window(0, 0, 4, 4), (factor, factor), (3, 3))
    assert Window(0, 0, 3, 3).contains(window)
    assert not window.is_empty
