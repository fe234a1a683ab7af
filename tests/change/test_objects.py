"""Objects of two maps, matched by their overlap."""

import time
from collections import Counter

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from engine.change.objects import Sight, match_objects

MIRROR = {"new": "gone", "gone": "new", "split": "merged", "merged": "split"}


def boxes(*corners):
    return np.array([shapely.box(*c) for c in corners], object)


def statuses(old, new, sight=None, least=0.5):
    found = match_objects(old, new, sight or Sight.full(len(old)), least)
    return [(m.status, m.old, m.new) for m in found.matches]


rectangles = npst.arrays(
    np.int64, st.tuples(st.integers(0, 14), st.just(4)), elements=st.integers(0, 12)
).map(lambda a: shapely.box(a[:, 0], a[:, 1], a[:, 0] + 1 + a[:, 2] % 6, a[:, 1] + 1 + a[:, 3] % 6))
"""Small rectangles in a small place: they overlap, touch, and hide each other."""


@given(rectangles)
def test_a_map_is_all_kept_in_itself(old):
    found = match_objects(old, old.copy(), Sight.full(len(old)))
    assert (
        Counter(found.old) == Counter(found.new) == Counter({"kept": len(old)} if len(old) else {})
    )
    assert [m.iou for m in found.matches] == pytest.approx([1.0] * len(old))


@given(rectangles, rectangles, st.sampled_from([0.2, 0.5, 0.8]))
@settings(max_examples=300)
def test_every_object_is_decided_on_once_and_each_pair_is_one_to_one(old, new, least):
    found = match_objects(old, new, Sight.full(len(old)), least)
    assert len(found.old) == len(old)
    assert len(found.new) == len(new)
    named = [m.new for m in found.matches if m.new is not None]
    assert sorted(named) == sorted(set(named)) if "merged" not in found.old else True
    assert set(named) == set(range(len(new)))
    assert {o for m in found.matches for o in m.old} == set(range(len(old)))
    kept = [m for m in found.matches if m.status == "kept"]
    assert len({m.old for m in kept}) == len({m.new for m in kept}) == len(kept)
    assert all(m.iou >= least - 1e-9 for m in kept)
    assert Counter(found.old)["kept"] == Counter(found.new)["kept"] == len(kept)
    for match in found.matches:
        assert (match.iou is None) == (match.status in ("new", "gone"))
        if match.new is not None and match.old:
            common = shapely.area(shapely.intersection(old[match.old[0]], new[match.new]))
            assert common > 0


@given(rectangles, rectangles)
@settings(max_examples=200)
def test_swapped_maps_mirror_what_came_and_what_went(old, new):
    there = match_objects(old, new, Sight.full(len(old)), 0.55)
    back = match_objects(new, old, Sight.full(len(new)), 0.55)
    came, went = ({(m.old, m.new) for m in there.matches if m.status == s} for s in ("new", "gone"))
    assert {((), m.old[0]) for m in back.matches if m.status == "gone"} == came
    assert {((m.new,), None) for m in back.matches if m.status == "new"} == went


@given(rectangles, rectangles)
def test_the_order_of_the_objects_does_not_matter(old, new):
    plain = match_objects(old, new, Sight.full(len(old)), 0.55)
    turned = match_objects(old[::-1], new[::-1], Sight.full(len(old)), 0.55)
    assert Counter(plain.old) == Counter(turned.old)
    assert Counter(plain.new) == Counter(turned.new)


def test_one_of_each_kind():
    old = boxes(
        (0, 0, 10, 10),  # the same
        (20, 0, 30, 10),  # half as large
        (40, 0, 50, 10),  # two now
        (60, 0, 65, 10),  # these two are one now
        (66, 0, 71, 10),
        (80, 0, 90, 10),  # nothing there
    )
    new = boxes(
        (0.5, 0, 10.5, 10),
        (20, 0, 24, 10),
        (40, 0, 44, 10),
        (46, 0, 50, 10),
        (60, 0, 71, 10),
        (100, 0, 110, 10),
    )
    found = match_objects(old, new, Sight.full(len(old)))
    assert [(m.status, m.old, m.new) for m in found.matches] == [
        ("kept", (0,), 0),
        ("reshaped", (1,), 1),
        ("split", (2,), 2),
        ("split", (2,), 3),
        ("merged", (3, 4), 4),
        ("gone", (5,), None),
        ("new", (), 5),
    ]
    assert found.matches[0].iou == pytest.approx(95 / 105)
    assert found.matches[1].iou == pytest.approx(0.4)
    assert found.matches[4].iou == pytest.approx(100 / 110)
    assert found.old == ("kept", "reshaped", "split", "merged", "merged", "gone")


def test_parts_beside_an_object_that_is_kept():
    old, new = boxes((0, 0, 10, 10)), boxes((0, 0, 7, 10), (7.5, 0, 10, 10))
    assert statuses(old, new) == [("kept", (0,), 0), ("split", (0,), 1)]
    assert statuses(new, old) == [("kept", (0,), 0), ("merged", (1,), 0)]


def test_a_neighbour_that_is_only_touched_is_nobodys_successor():
    old, new = boxes((0, 0, 10, 10)), boxes((9, 0, 19, 10))
    assert statuses(old, new) == [("gone", (0,), None), ("new", (), 0)]


def test_the_assignment_is_the_best_one_not_the_greedy_one():
    # greedy takes 0-1 (0.6) first and leaves 1 and 0 alone
    old = boxes((0, 0, 10, 1), (4, 0, 14, 1))
    new = boxes((-4, 0, 6, 1), (2, 0, 12, 1))
    pairs = [(m.old[0], m.new) for m in match_objects(old, new, Sight.full(2), 0.4).matches]
    assert pairs == [(0, 0), (1, 1)]


def test_what_is_not_seen_is_not_gone():
    old = boxes(*((20 * n, 0, 20 * n + 10, 10) for n in range(5)))
    nothing = np.zeros(0, object)
    sight = Sight(np.array([1, 1, 1, 0.9, 0.0]), np.array([1, 0.6, 0.4, 1, 1]))
    found = match_objects(old, nothing, sight)
    assert found.old == ("gone", "gone", "unseen", "outside", "outside")


def test_only_the_seen_part_of_an_object_counts():
    old, new = boxes((0, 0, 10, 10)), boxes((0, 0, 3, 10))
    assert statuses(old, new)[0][0] == "reshaped"
    cut = Sight(np.array([0.3]), np.ones(1))
    found = match_objects(old, new, cut).matches
    assert [m.status for m in found] == ["kept"]
    assert found[0].iou == pytest.approx(1)


def test_empty_maps():
    nothing = np.zeros(0, object)
    assert match_objects(nothing, nothing, Sight.full(0)).matches == ()
    assert statuses(boxes((0, 0, 1, 1)), nothing) == [("gone", (0,), None)]
    assert statuses(nothing, boxes((0, 0, 1, 1))) == [("new", (), 0)]


def test_a_town_takes_seconds():
    rng = np.random.default_rng(0)
    side = 120
    x, y = (20.0 * a.ravel() for a in np.meshgrid(np.arange(side), np.arange(side)))
    old = shapely.box(x, y, x + rng.uniform(5, 15, x.size), y + rng.uniform(5, 15, x.size))
    new = shapely.transform(old[rng.permutation(x.size)], lambda xy: xy + rng.normal(0, 0.5, 2))
    began = time.perf_counter()
    found = match_objects(old, new, Sight.full(len(old)))
    assert Counter(found.old)["kept"] > 0.99 * len(old)
    assert time.perf_counter() - began < 30
