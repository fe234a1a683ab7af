"""Stratified estimators against the worked examples of their papers, to all printed digits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.stratified import estimate_from_counts, estimate_stratified

COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = [200_000, 150_000, 3_200_000, 6_450_000]
HECTARES = [0.09 * n for n in PIXELS]
HALF = 1.959963984540054


def printed(estimates):
    return [(round(e.value, 2), round(HALF * e.se, 2)) for e in estimates]


def test_olofsson_2014_accuracies():
    found = estimate_from_counts(COUNTS, PIXELS, [1, 2, 3, 4])
    assert printed([found.overall]) == [(0.95, 0.02)]
    assert (round(found.overall.value, 4), round(HALF * found.overall.se, 4)) == (0.9465, 0.0185)
    user = [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    assert printed(c.user for c in found.classes) == user
    producer = [(0.75, 0.21), (0.85, 0.25), (0.93, 0.03), (0.96, 0.02)]
    assert printed(c.producer for c in found.classes) == producer


def test_olofsson_2014_areas():
    pixels = estimate_from_counts(COUNTS, PIXELS, [1, 2, 3, 4])
    assert round(pixels.classes[0].area.value) == 235_086
    found = estimate_from_counts(COUNTS, HECTARES, [1, 2, 3, 4])
    areas = [c.area for c in found.classes]
    assert [round(a.value) for a in areas] == [21_158, 11_686, 285_770, 581_386]
    # the paper multiplies by 1.96
    assert [round(1.96 * a.se) for a in areas] == [6_158, 3_756, 15_510, 16_282]
    assert areas[0].high - areas[0].value == pytest.approx(6_158, abs=1)
    assert [round(c.mapped_share, 4) for c in found.classes] == [0.02, 0.015, 0.32, 0.645]


def stehman():
    strata = np.repeat([1, 2, 3, 4], 10)
    names = {"A": 1, "B": 2, "C": 3, "D": 4}
    mapped = "AAAAAAABBB" + "ABBBBBBBBB" + "BBCCCCCCBB" + "DDDDDDDDDD"
    reference = "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"
    sizes = {1: 40_000, 2: 30_000, 3: 20_000, 4: 10_000}
    ids = [np.array([names[c] for c in text]) for text in (mapped, reference)]
    return (strata, *ids), {"sizes": sizes, "classes": (1, 2, 3, 4)}


@pytest.mark.parametrize("finite", [False, True])
def test_stehman_2014(finite):
    samples, rest = stehman()
    found = estimate_stratified(*samples, **rest, finite=finite)
    a, b, c, _ = found.classes
    for estimate, value, se in [
        (found.overall, 0.63, 0.085),
        (a.share, 0.35, 0.082),
        (c.share, 0.20, 0.064),
        (b.user, 0.574, 0.125),
        (b.producer, 0.794, 0.117),
    ]:
        assert (round(estimate.value, 3), round(estimate.se, 3)) == (value, se)
    assert found.cells[1, 2] == pytest.approx(0.08)
    assert found.cells.sum() == pytest.approx(1)


def test_the_finite_correction_ends_in_certainty():
    samples, rest = stehman()
    rest["sizes"] = dict.fromkeys((1, 2, 3, 4), 10)
    assert estimate_stratified(*samples, **rest, finite=True).overall.se == 0


def test_f1_and_iou_are_ratios_of_the_cells():
    found = estimate_from_counts(COUNTS, PIXELS, [1, 2, 3, 4])
    cells = found.cells
    for k, member in enumerate(found.classes):
        both, row, column = cells[k, k], cells[k].sum(), cells[:, k].sum()
        assert member.iou.value == pytest.approx(both / (row + column - both))
        assert member.f1.value == pytest.approx(2 * both / (row + column))
        assert member.f1.se > 0


def test_a_stratum_without_two_samples_is_named():
    samples, rest = stehman()
    rest["sizes"] |= {7: 5_000}
    with pytest.raises(ValueError, match="stratum 7 has 0 samples"):
        estimate_stratified(*samples, **rest)
    rest["sizes"].pop(7)
    rest["sizes"].pop(4)
    with pytest.raises(ValueError, match=r"\[4\] are neither"):
        estimate_stratified(*samples, **rest)


@settings(deadline=None)
@given(
    st.lists(st.integers(2, 60), min_size=2, max_size=6),
    st.lists(st.integers(1, 10**9), min_size=6, max_size=6),
)
def test_a_perfect_map_keeps_its_areas(right, sizes):
    sizes = sizes[: len(right)]
    found = estimate_from_counts(np.diag(right), sizes, list(range(len(right))))
    assert found.overall.value == pytest.approx(1)
    for member, size in zip(found.classes, sizes, strict=True):
        assert member.area.value == pytest.approx(size)
        assert member.area.se == pytest.approx(0, abs=1e-6 * size)
        assert member.user.value == pytest.approx(1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_estimates_are_unbiased_and_areas_add_up(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 40, (3, 3))
    sizes = rng.integers(1, 10**6, 3)
    found = estimate_from_counts(counts, sizes.tolist(), [1, 2, 3])
    assert sum(c.area.value for c in found.classes) == pytest.approx(sizes.sum())
    assert np.allclose(found.cells.sum(axis=1), sizes / sizes.sum())


def test_the_interval_covers_over_repeated_samples():
    rng = np.random.default_rng(5)
    truth = np.array([[0.9, 0.1], [0.05, 0.95]])
    share = np.array([0.2, 0.8]) @ truth[:, 0]
    inside = 0
    for _ in range(1000):
        first, second = rng.binomial(100, truth[0, 0]), rng.binomial(150, truth[1, 0])
        counts = np.array([[first, 100 - first], [second, 150 - second]])
        area = estimate_from_counts(counts, [0.2, 0.8], [1, 2]).classes[0].share
        inside += area.low <= share <= area.high
    assert 0.92 <= inside / 1000 <= 0.97
