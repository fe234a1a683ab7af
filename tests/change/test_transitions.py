"""Matrices of transitions and joint legends: arithmetic that can be checked by hand."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.change.legends import united
from engine.change.transitions import Coding, Counting
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.crs import parse_crs
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.models.transition import (
    LARGEST,
    NO_PAIR,
    Transition,
    codes_of,
    paired,
    transition_from_json,
    transition_to_json,
)


def legend(*names, first=1):
    return tuple(ModelClass(first + n, name, "") for n, name in enumerate(names))


def grid(shape):
    transform = Affine(10, 0, 500_000, 0, -10, 5_000_000)
    return Grid(parse_crs("EPSG:32632").to_wkt(), transform, shape)


def counted(before, after, valid=None, block=None):
    pairs = paired(before, after)
    if valid is not None:
        pairs[~valid] = NO_PAIR
    counting = Counting(grid(pairs.shape), None)
    step = block or max(pairs.shape)
    for row in range(0, pairs.shape[0], step):
        for col in range(0, pairs.shape[1], step):
            window = Window(row, col, step, step).intersect(Window(0, 0, *pairs.shape))
            counting.add(window, pairs[window.slices_in(Window(0, 0, *pairs.shape))])
    return counting.matrix()


def maps(seed, shape=(70, 90), classes=5):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, classes, shape) for _ in range(2))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(20, 100))
def test_rows_and_columns_sum_to_the_classes_exactly(seed, block):
    before, after = maps(seed)
    matrix = counted(before, after, block=block)
    for code in matrix.codes:
        assert matrix.before(code).pixels == (before == code).sum()
        assert matrix.after(code).pixels == (after == code).sum()
        row = [c.cover.area_m2 for c in matrix.cells if c.before == code]
        shown = f"{sum(round(100 * a) for a in row) / 100:.2f}"
        assert f"{matrix.before(code).area_m2:.2f}" == shown
    assert matrix.whole.pixels == before.size
    assert matrix.changed.pixels == (before != after).sum()


def test_swapped_maps_give_the_transposed_matrix():
    before, after = maps(3)
    forth, back = counted(before, after), counted(after, before)
    turned = {(c.after, c.before): c.cover for c in back.cells}
    assert turned == {(c.before, c.after): c.cover for c in forth.cells}


def test_pixels_without_data_count_nowhere():
    before, after = maps(4)
    valid = np.random.default_rng(5).random(before.shape) < 0.5
    matrix = counted(before, after, valid)
    assert matrix.whole.pixels == valid.sum()


def test_areas_are_those_of_the_ellipsoid():
    before = np.zeros((100, 100), int)
    matrix = counted(before, before + 1)
    assert matrix.whole.area_m2 == pytest.approx(1e6, rel=2e-3)
    assert matrix.whole.area_m2 != 1e6


@given(st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_pairs_can_be_taken_apart(before, after):
    pair = paired(np.array([before]), np.array([after]))
    assert codes_of(int(pair[0])) == (before, after)
    assert pair[0] != NO_PAIR


@pytest.mark.parametrize(
    ("largest", "base", "dtype"),
    [
        (9, 10, "uint8"),
        (10, 100, "uint16"),
        (99, 100, "uint16"),
        (100, 1000, "uint32"),
        (9999, 10_000, "uint32"),
        (LARGEST, 65_536, "uint32"),
    ],
)
def test_the_rasters_numbers_fit_and_can_be_read(largest, base, dtype):
    coding = Coding.up_to(largest)
    assert (coding.base, coding.dtype) == (base, dtype)
    codes = np.array([0, largest, largest])
    pairs = np.append(paired(codes, codes[::-1]), np.uint32(NO_PAIR))
    numbers = coding.encoded(pairs)
    wanted = [largest, largest * base + largest, largest * base, coding.nodata]
    assert numbers.dtype == dtype
    assert numbers.tolist() == wanted
    assert len(set(wanted)) == 4


def test_one_legend_stays_what_it_is():
    joint = united(legend("water", "forest"), legend("Water", "forest "))
    assert not joint.transition.renumber
    assert [c.name for c in joint.transition.classes] == ["water", "forest"]


def test_names_win_over_codes():
    before = legend("water", "forest", "crops")
    after = (ModelClass(3, "water", ""), ModelClass(7, "crops", ""), ModelClass(1, "forest", ""))
    joint = united(before, after)
    assert dict(joint.transition.renumber) == {3: 1, 7: 3, 1: 2}
    assert "matched by name" in joint.sentence
    assert "3 is taken as 1" in joint.sentence
    found = joint.transition.renumbered(np.array([3, 7, 1, 9]))
    assert found.tolist() == [1, 3, 2, 9]


def test_a_class_that_only_the_second_map_has_gets_a_code_of_its_own():
    before = legend("water", "forest")
    after = (ModelClass(1, "crops", ""), ModelClass(2, "water", ""), ModelClass(3, "forest", ""))
    joint = united(before, after).transition
    assert dict(joint.renumber) == {1: 4, 2: 1, 3: 2}
    assert joint.name(4) == "crops"


def test_a_renamed_class_is_refused_since_nobody_can_tell():
    with pytest.raises(EngineError) as caught:
        united(legend("water", "forest"), legend("water", "wood"))
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    assert "2 is «forest» in the first and «wood» in the second" in caught.value.message


def test_a_legend_of_one_map_is_taken_for_both():
    joint = united((), legend("water", "forest"))
    assert joint.transition.pair_name(1, 2) == "water → forest"
    assert joint.transition.pair_name(2, 17) == "forest → 17"
    assert "Only the second map" in joint.sentence


def test_colours_of_a_table_without_names_are_kept():
    painted = (ModelClass(1, "", "#123456"), ModelClass(2, "", "#654321"))
    joint = united(legend("water"), painted).transition
    assert joint.color(1) == "#123456"
    assert joint.color(2) == "#654321"
    assert joint.largest == 1, "colours alone are no classes"
    assert len({joint.color(code) for code in range(3, 40)}) == 37


def test_what_a_card_keeps_comes_back():
    told = Transition(legend("water", "wald ü"), ((3, 1),), ((4,), (1, 2)))
    assert transition_from_json(transition_to_json(told)) == told
