"""Agreement at simple random samples: counted right, with intervals that are right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.assess.confusion import cohens_kappa, count_confusion, measure_agreement
from engine.assess.estimate import normal_interval, student_interval, wilson_interval

CLASSES = (1, 2, 5)


def test_the_matrix_counts_pairs_and_says_what_it_left_out():
    mapped = np.array([1, 1, 2, 5, 0, 2, 1])
    reference = np.array([1, 2, 2, 5, 1, 0, 0])
    found = count_confusion(mapped, reference, CLASSES, nodata=(0,))
    assert found.matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert (found.unlabelled, found.unmapped) == (2, 1)


def test_blocks_add_up():
    rng = np.random.default_rng(1)
    mapped, reference = rng.choice(CLASSES, (2, 500))
    whole = count_confusion(mapped, reference, CLASSES)
    parts = count_confusion(mapped[:99], reference[:99], CLASSES) + count_confusion(
        mapped[99:], reference[99:], CLASSES
    )
    assert np.array_equal(whole.matrix, parts.matrix)
    with pytest.raises(ValueError, match="different classes"):
        _ = whole + count_confusion(mapped, reference, (1, 2, 5, 6))


def test_accuracies_worked_by_hand():
    # rows map: class 1: 40 right, 10 of class 2; class 2: 5 of class 1, 45 right
    found = count_confusion(
        np.repeat([1, 1, 2, 2], [40, 10, 5, 45]), np.repeat([1, 2, 1, 2], [40, 10, 5, 45]), (1, 2)
    )
    agreement = measure_agreement(found, kappa=True)
    first = agreement.classes[0]
    assert agreement.overall.value == pytest.approx(0.85)
    assert first.user.value == pytest.approx(0.8)
    assert first.producer.value == pytest.approx(40 / 45)
    assert first.iou.value == pytest.approx(40 / 55)
    assert first.f1.value == pytest.approx(80 / 95)
    assert agreement.kappa == pytest.approx(0.7)
    assert measure_agreement(found).kappa is None


def test_wilson_agrees_with_the_published_table():
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    for right, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)]:
        found = wilson_interval(right / n, n)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert wilson_interval(0, 20).low == 0
    assert round(wilson_interval(0, 20).high, 4) == 0.1611
    assert wilson_interval(1 / 29, 29).low == pytest.approx(0.0061, abs=5e-5)


def test_wilson_covers_as_it_says():
    rng = np.random.default_rng(0)
    draws = rng.binomial(60, 0.93, 4000)
    inside = [i.low <= 0.93 <= i.high for i in (wilson_interval(d / 60, 60) for d in draws)]
    assert 0.93 <= np.mean(inside) <= 0.98


def test_weights_of_one_size_change_nothing_but_unequal_ones_widen():
    rng = np.random.default_rng(2)
    mapped, reference = rng.choice(CLASSES, (2, 300))
    plain = measure_agreement(count_confusion(mapped, reference, CLASSES))
    same = measure_agreement(count_confusion(mapped, reference, CLASSES, weights=np.full(300, 7.0)))
    assert same.overall.low == pytest.approx(plain.overall.low)
    weights = rng.lognormal(0, 1, 300)
    uneven = measure_agreement(count_confusion(mapped, reference, CLASSES, weights=weights))
    assert uneven.overall.high - uneven.overall.low > plain.overall.high - plain.overall.low


def test_a_class_that_never_occurs_has_no_figures():
    found = measure_agreement(count_confusion(np.array([1, 1]), np.array([1, 1]), (1, 2)))
    assert np.isnan(found.classes[1].user.value)
    assert np.isnan(found.classes[1].iou.low)
    assert np.isnan(found.classes[1].f1.value)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (([1, 9], [1, 1], CLASSES, {}), "neither classes nor nodata"),
        (([1], [1, 1], CLASSES, {}), "different numbers"),
        (([1], [1], (1, 1), {}), "each of them once"),
        (([1], [1], CLASSES, {"weights": np.array([-1.0])}), "not negative"),
    ],
)
def test_impossible_samples_are_refused(arguments, reason):
    mapped, reference, classes, more = arguments
    with pytest.raises(ValueError, match=reason):
        count_confusion(np.array(mapped), np.array(reference), classes, **more)


def test_no_common_sample_is_refused():
    with pytest.raises(ValueError, match="no sample has both"):
        measure_agreement(count_confusion(np.array([0]), np.array([1]), CLASSES, nodata=(0,)))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1))
def test_figures_hold_together(pairs):
    mapped, reference = np.array(pairs).T
    counts = count_confusion(mapped, reference, CLASSES)
    found = measure_agreement(counts)
    assert found.overall.low <= found.overall.value <= found.overall.high
    for member in found.classes:
        u, p, f1 = member.user.value, member.producer.value, member.f1.value
        if u + p > 0:
            assert f1 == pytest.approx(2 * u * p / (u + p))
            assert member.f1.low <= f1 <= member.f1.high
    kappa = cohens_kappa(counts.matrix)
    assert np.isnan(kappa) or kappa <= 1 + 1e-9


def test_student_is_wider_than_normal_and_both_keep_their_bounds():
    assert student_interval(1, 0.1, 4).high > normal_interval(1, 0.1).high
    assert normal_interval(0.99, 0.1, 0.95, (0, 1)).high == 1
    assert student_interval(0, 1, 10).high == pytest.approx(2.2281, abs=5e-5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        normal_interval(0, 1, 95)
