"""Sample designs: sizes, shares, and draws that stream."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.sampling import (
    Allocation,
    allocate,
    choose_ordinals,
    count_classes,
    locate,
    sample_size,
)
from engine.geo.window import Window


def test_olofsson_2014_sample_size():
    shares, expected = [0.02, 0.015, 0.32, 0.645], [0.70, 0.60, 0.90, 0.95]
    assert sample_size(shares, expected, 0.01) == 641
    assert sample_size([w * 1e6 for w in shares], expected, 0.01) == 641
    assert sample_size(shares, expected, 0.01, 1e7) == 641
    assert sample_size(shares, expected, 0.01, 1000) < 641
    assert sample_size([1], [0.5], 0.05) == 100


@pytest.mark.parametrize(
    "arguments",
    [([1], [1.2], 0.1), ([1], [0.5], 0), ([0, 0], [0.5, 0.5], 0.1), ([1, 1], [0.5], 0.1)],
)
def test_impossible_designs_are_refused(arguments):
    with pytest.raises(ValueError, match=r"must|not as many"):
        sample_size(*arguments)


COUNTS = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}


def test_allocations_worked_by_hand():
    assert allocate(640, COUNTS, method=Allocation.EQUAL) == dict.fromkeys(COUNTS, 160)
    assert allocate(1000, COUNTS) == {1: 20, 2: 15, 3: 320, 4: 645}
    rare = allocate(641, COUNTS, least=75)  # 491 left at 3.2 : 6.45
    assert rare == {1: 75, 2: 75, 3: 163, 4: 328}
    accuracies = {1: 0.5, 2: 0.5, 3: 1.0, 4: 1.0}
    assert allocate(70, COUNTS, method=Allocation.NEYMAN, expected=accuracies) == {
        1: 40,
        2: 30,
        3: 0,
        4: 0,
    }


def test_small_classes_are_taken_whole():
    assert allocate(100, {1: 3, 2: 1000, 9: 0}, least=20) == {1: 3, 2: 97, 9: 0}
    assert allocate(100, {1: 3, 2: 4}) == {1: 3, 2: 4}
    with pytest.raises(ValueError, match="more than the 10"):
        allocate(10, {1: 100, 2: 100}, least=6)
    with pytest.raises(ValueError, match="no class"):
        allocate(10, {1: 0})
    with pytest.raises(ValueError, match=r"accuracies of the classes \[2\]"):
        allocate(10, {1: 9, 2: 9}, method=Allocation.NEYMAN, expected={1: 0.5})


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=7).filter(any),
    st.integers(1, 3000),
    st.integers(0, 50),
    st.sampled_from([Allocation.PROPORTIONAL, Allocation.EQUAL, Allocation.NEYMAN]),
)
def test_an_allocation_uses_what_there_is(sizes, total, least, method):
    counts = dict(enumerate(sizes))
    expected = {k: 0.5 + 0.07 * k for k in counts}
    floor = {k: min(least, n) for k, n in counts.items()}
    if sum(floor.values()) > total:
        return
    found = allocate(total, counts, method=method, least=least, expected=expected)
    assert sum(found.values()) == min(total, sum(sizes))
    assert all(floor[k] <= n <= counts[k] for k, n in found.items())


def blocks(ids, step):
    for row in range(0, ids.shape[0], step):
        for col in range(0, ids.shape[1], step):
            part = ids[row : row + step, col : col + step]
            yield Window(row, col, *part.shape), part


def draw(ids, wanted, seed, step=16):
    counts = count_classes(blocks(ids, step), (1, 2, 3))
    return list(locate(blocks(ids, step), choose_ordinals(counts, wanted, seed)))


def test_a_draw_lies_in_its_classes_and_is_the_same_again():
    rng = np.random.default_rng(3)
    ids = rng.choice([0, 1, 2, 3], (50, 70), p=[0.1, 0.6, 0.25, 0.05]).astype(np.uint8)
    wanted = {1: 40, 2: 30, 3: 10}
    found = draw(ids, wanted, 7)
    assert Counter(d.class_id for d in found) == wanted
    assert all(ids[d.row, d.col] == d.class_id for d in found)
    assert len({(d.row, d.col) for d in found}) == 80
    assert draw(ids, wanted, 7) == found
    assert draw(ids, wanted, 8) != found
    # more of one class leaves the others as they were
    more = draw(ids, wanted | {1: 41}, 7)
    assert [d for d in more if d.class_id == 2] == [d for d in found if d.class_id == 2]


def test_every_pixel_of_a_class_is_as_likely():
    ids = np.array([[1, 1, 2, 1], [2, 1, 1, 1]])
    hits = Counter((d.row, d.col) for seed in range(3000) for d in draw(ids, {1: 2}, seed, 2))
    assert len(hits) == 6
    assert all(abs(n - 1000) < 120 for n in hits.values())


def test_a_map_that_changed_between_the_passes_is_noticed():
    ids = np.ones((4, 4), int)
    chosen = choose_ordinals({1: 16}, {1: 16}, 0)
    ids[3] = 2
    with pytest.raises(ValueError, match="4 chosen pixels"):
        list(locate(blocks(ids, 2), chosen))
    with pytest.raises(ValueError, match="fewer than the 17"):
        choose_ordinals({1: 16}, {1: 17}, 0)


def test_billions_of_pixels_cost_no_memory():
    chosen = choose_ordinals({1: 10**11}, {1: 500}, 0)[1]
    assert len(np.unique(chosen)) == 500
    assert chosen.max() > 10**10
